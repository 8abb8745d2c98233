"""Bar: progress on a terminal, drawn by rich; it is gone when the work is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as rich
from rich.console import Console, RenderableType

from .progress import Progress


class Bar(Progress):
    """A line with a spinner, the time that has passed, and a bar once the length is known."""

    def __init__(self, drawn: rich.Progress, line: str) -> None:
        """Start with a line."""
        self._drawn = drawn
        self._task = drawn.add_task(line, total=None)

    def say(self, line: str) -> None:
        """Show another line, and start again."""
        self._drawn.reset(self._task, description=line, total=None)

    def advance(self, done: int, total: int) -> None:
        """Show how much is done, and of how much."""
        self._drawn.update(self._task, completed=done, total=total)


class _KnownBar(rich.BarColumn):
    """A bar that is drawn only once the length is known."""

    def render(self, task: rich.Task) -> RenderableType:  # type: ignore[override]
        return super().render(task) if task.total else ""


@contextmanager
def shown(line: str) -> Iterator[Bar]:
    """Draw while the block runs."""
    columns = (
        rich.SpinnerColumn(),
        rich.TextColumn("{task.description}", markup=False),
        _KnownBar(bar_width=30),
        rich.TimeElapsedColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        yield Bar(drawn, line)
