"""Progress: a spinner or a bar on stderr while long work runs; nothing at all where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """What runs where nobody watches: it takes everything and shows nothing."""

    def say(self, line: str) -> None:
        """Show another line from now on."""

    def advance(self, done: int, total: int) -> None:
        """Show how much is done, and of how much."""


@contextmanager
def progress(line: str) -> Iterator[Progress]:
    """Show `line` with a spinner while the block runs; it becomes a bar once `advance` is called."""
    if not sys.stderr.isatty():
        yield Progress()
        return
    from .bar import shown  # noqa: PLC0415 - rich takes a while to import, and help and lists need none of it

    with shown(line) as bar:
        yield bar
