"""Blobs: immutable bytes by digest, and what the store asks of any place that keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

Check = Callable[[memoryview], object]


@dataclass(frozen=True)
class Stored:
    """Bytes that are there: their digest, their number, and when they came."""

    digest: str
    size: int
    modified: datetime


class Staged(Protocol):
    """Bytes that were written, counted, hashed, checked and synced, but have no name yet."""

    @property
    def digest(self) -> str:
        """`sha256:` and 64 hex digits."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def publish(self) -> None:
        """Give the bytes their digest's name, for good; what was there before is replaced."""

    def discard(self) -> None:
        """Forget the bytes, if they were not published."""


class Blobs(Protocol):
    """What the store asks of any place that keeps blobs."""

    def stage(self, data: bytes | Iterable[bytes], check: Check | None = None) -> Staged:
        """Write `data` where nobody looks yet; `check` sees all of it and raises if it is bad."""

    def exists(self, digest: str) -> bool:
        """Return whether there are bytes of this digest."""

    def open(self, digest: str, size: int) -> memoryview:
        """Return the bytes, without reading them."""

    def file(self, digest: str, size: int) -> Path:
        """Return a local file that has the bytes, for who sends them on."""

    def link(self, digest: str, seconds: float) -> str | None:
        """Return a URL from which anybody may get the bytes for so long; None where there is no such thing."""

    def verify(self, digest: str, size: int, *, full: bool) -> None:
        """Raise an IntegrityError unless the bytes are where they are kept for good; `full` reads and hashes them."""

    def delete(self, digest: str) -> None:
        """Remove the bytes, if they are there."""

    def all(self) -> Iterator[Stored]:
        """Yield everything that is there, in the order of the digests."""

    def quarantine(self, digest: str) -> str:
        """Put the bytes where nobody reads them, and return where that is; the digest is free again."""

    def put_part(self, upload: str, offset: int, data: Iterable[bytes]) -> int:
        """Keep a part of what is being sent, over one that came there before; return its number of bytes."""

    def parts(self, upload: str) -> Iterator[bytes]:
        """Yield the parts of an upload, in order."""

    def drop_parts(self, upload: str) -> None:
        """Remove the parts of an upload, if there are any."""

    def leftovers(self, before: datetime) -> list[str]:
        """Return where bytes lie that were staged, or sent in parts, before this moment and never published."""

    def sweep(self, before: datetime) -> list[str]:
        """Remove those, and return where they lay."""
