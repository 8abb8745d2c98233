"""Turn: a model that is steered is run by one thread at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

from vectorstore.errors import ConflictError


class Turn:
    """Taken by a forward pass, and by `generate` from its first pass to its last; the thread that has it may again."""

    def __init__(self) -> None:
        """Begin with nobody's."""
        self._lock = RLock()

    def take(self) -> None:
        """Take the turn, until `give_back`.

        Raises:
            ConflictError: when another thread has it.
        """
        if not self._lock.acquire(blocking=False):
            raise in_two_threads()

    def give_back(self) -> None:
        """Let others take it, once for each time that it was taken."""
        self._lock.release()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn for a block."""
        self.take()
        try:
            yield
        finally:
            self.give_back()


def in_two_threads() -> ConflictError:
    """Return the error for a model that two threads steer at once."""
    return ConflictError(
        "two threads steer one model at once",
        "let one wait for the other, steer rows of one batch, or load the model twice",
    )
