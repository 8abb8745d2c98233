"""Model: the options that say which language model to load and how, and its loading without the libraries' chatter."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

import click

from vectorstore.card import Card

from .progress import Progress

if TYPE_CHECKING:
    from vectorstore.models.load import Dtype
    from vectorstore.models.pretrained import Loaded

DTYPES = ("auto", "float32", "bfloat16", "float16")
"""Those of `load_model`, without importing torch."""


@dataclass(frozen=True)
class ModelChoice:
    """What to load.

    Attributes:
        reference: `demo`, a folder, a .gguf file or a hub id.
        device, dtype, trust_remote_code: as for `load_model`.
    """

    reference: str
    device: str
    dtype: Dtype
    trust_remote_code: bool

    def load(self, progress: Progress) -> Loaded:
        """Load the model and its tokenizer."""
        from vectorstore.models import load_model  # noqa: PLC0415 - torch takes seconds, and some need no model

        return load_model(
            self.reference,
            device=self.device,
            dtype=self.dtype,
            trust_remote_code=self.trust_remote_code,
            progress=progress.say,
        )

    def as_recorded(self, card: Card) -> ModelChoice:
        """Return the choice with what it leaves open taken from the card."""
        revision = f"@{card.model.revision}" if card.model.revision else ""
        recorded = cast("Dtype", card.model.dtype) if card.model.dtype in DTYPES else "auto"
        return replace(
            self,
            reference=self.reference or f"{card.model.reference}{revision}",
            dtype=recorded if self.dtype == "auto" else self.dtype,
        )


def model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--model` and how to load it; the function gets a `choice`."""
    return _model_options(function, required=True)


def optional_model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same options for a command that may do without; the function gets None as `choice` where it does."""
    return _model_options(function, required=False)


def recorded_model_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same options for a command that knows the model from a card; `choice.reference` is empty by default."""
    return _model_options(function, required=False, default="")


def _model_options(function: Callable[..., Any], *, required: bool, default: str | None = None) -> Callable[..., Any]:
    # click takes a default that is written out, None too, for a value: then nothing is ever missing.
    needed: dict[str, Any] = {"required": True} if required else {"default": default}

    @click.option(
        "--model",
        "reference",
        **needed,
        metavar="REF",
        help="demo, a folder, a .gguf file or OWNER/MODEL@REVISION.",
    )
    @click.option("--device", default="cpu", show_default=True, help="Where to run it: cpu, cuda, cuda:1, mps.")
    @click.option("--dtype", type=click.Choice(DTYPES), default="auto", show_default=True, help="Of its weights.")
    @click.option("--trust-remote-code", is_flag=True, help="Run code that comes with the model.")
    @wraps(function)
    def with_model(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click's values
        choice = ModelChoice(**{name: kwargs.pop(name) for name in ModelChoice.__dataclass_fields__})
        return function(*args, choice=None if choice.reference is None else choice, **kwargs)

    return with_model


@contextmanager
def notes() -> Iterator[list[str]]:
    """Keep the libraries' warnings and log lines from the user; give the list in which our own warnings gather."""
    from vectorstore.hooks.fit import CompatibleModelWarning  # noqa: PLC0415 - as above
    from vectorstore.models.quiet import quiet  # noqa: PLC0415 - as above

    said: list[str] = []

    def hear(message: Warning | str, category: type[Warning], *_: object) -> None:
        if issubclass(category, CompatibleModelWarning):
            said.append(str(message))

    with quiet():
        warnings.filterwarnings("always", category=CompatibleModelWarning)
        warnings.showwarning = hear  # type: ignore[assignment]
        yield said
