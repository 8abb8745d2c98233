"""Pages: the options of lists that may be long, and what is said where one goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from vectorstore.store.lists.listing import MAX_LIMIT

_LIMIT = click.option(
    "--limit",
    default=MAX_LIMIT,
    show_default=True,
    type=click.IntRange(1, MAX_LIMIT),
    metavar="N",
    help="At most so many.",
)
_AFTER = click.option("--after", default=None, metavar="CURSOR", help="Go on after this cursor of the page before.")


def page_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--limit` and `--after`."""
    return _LIMIT(_AFTER(function))


def going_on(cursor: str | None) -> Sequence[str]:
    """Return what to type for the next page."""
    return [f"there are more: add --after {cursor}"] if cursor else []
