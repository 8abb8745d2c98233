"""Sampling: the options that say how text is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from vectorstore.hooks.writer import Sampling


def sampling_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of Sampling; the function gets `sampling`."""

    @click.option("--max-new-tokens", type=click.IntRange(1), default=40, show_default=True, help="How much to write.")
    @click.option(
        "--temperature", type=click.FloatRange(0), default=0, help="How freely to sample; 0, the default, is greedy."
    )
    @click.option(
        "--top-p",
        type=click.FloatRange(0, 1, min_open=True),
        default=1,
        show_default=True,
        help="Sample the likeliest tokens of this share.",
    )
    @click.option(
        "--repetition-penalty",
        type=click.FloatRange(0, min_open=True),
        default=1,
        show_default=True,
        help="Above 1, repeat less.",
    )
    @click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Of the sampling.")
    @wraps(function)
    def with_sampling(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click's values
        sampling = Sampling(**{name: kwargs.pop(name) for name in Sampling.__dataclass_fields__})
        return function(*args, sampling=sampling, **kwargs)

    return with_sampling
