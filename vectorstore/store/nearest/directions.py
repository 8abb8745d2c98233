"""Directions: the unit directions of a space, in a file that is mapped and not read.

A cache in a folder of its own: `<name>.rows` holds the rows, little-endian float32, and `index` says which rows count,
from which blobs they are, and up to which events of the library they are all. Rows are appended first, and then the
index is replaced whole; so what a killed program leaves behind is rows that do not count, which the next one writes
over. Whatever is damaged counts as not there, and is made again from the blobs.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from filelock import FileLock

from vectorstore.canonical import canonical_bytes, digest
from vectorstore.store.nearest.news import Seen
from vectorstore.vector import Array

FORMAT = 1
WAIT_SECONDS = 60
BLOCK = 1 << 20  # bytes of rows that a processor's cache holds
WORKERS = min(8, os.cpu_count() or 1)  # more than that wait for memory
TOLERANCE = 2e-6  # what sums of float32 may differ by, however they are added up
ENTRY = np.dtype([("digest", "V32"), ("check", "<f4"), ("zero", "?")])


class DamagedError(Exception):
    """Rows of the cache are not what they were when they were written."""


@dataclass(frozen=True)
class Index:
    """Which rows count.

    Attributes:
        name: of the file with the rows.
        entries: for each row its blob's digest, its product with `check_row`, and whether it is zero.
        seen: up to which events of the library these are all; empty while some are still to come.
        unread: sizes by digest of the blobs that could not be read.
    """

    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    entries: Array = field(default_factory=lambda: np.empty(0, ENTRY))
    seen: Seen = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)

    @property
    def digests(self) -> set[str]:
        """The blobs that the rows are from."""
        return set(map(digest_of, self.entries["digest"]))

    def to_bytes(self) -> bytes:
        """Return the file: its digest, a line of JSON, and the entries."""
        header = {"format": FORMAT, "name": self.name, "seen": self.seen, "unread": dict(self.unread)}
        body = canonical_bytes(header) + b"\n" + self.entries.tobytes()
        return digest(body).encode() + b"\n" + body

    @classmethod
    def from_bytes(cls, data: bytes) -> Index:
        """Read the file.

        Raises:
            DamagedError: for anything that `to_bytes` has not written.
        """
        seal, _, body = data.partition(b"\n")
        if seal != digest(body).encode():
            raise DamagedError
        header, _, entries = body.partition(b"\n")
        fields = json.loads(header)
        if fields["format"] != FORMAT:
            raise DamagedError
        seen = {name: (seq, last) for name, (seq, last) in fields["seen"].items()}
        return cls(fields["name"], np.frombuffer(entries, ENTRY), seen, fields["unread"])


@dataclass(frozen=True)
class Directions:
    """Unit directions, some of them mapped from a file.

    Attributes:
        parts: rows `[n, d]`, float32, each part with its entries `[n]`.
    """

    parts: Sequence[tuple[Array, Array]]

    @property
    def entries(self) -> Array:
        """The entries of all rows, [n]."""
        return np.concatenate([entries for _, entries in self.parts])

    def cosines(self, unit: Array) -> Array:
        """Return the cosine of each row with `unit`, [n]; NaN for rows that are zero.

        Raises:
            DamagedError: when a row is not what it was when it was written.
        """
        return np.concatenate([_cosines(rows, entries, unit) for rows, entries in self.parts])

    def row(self, number: int) -> Array:
        """Return one row, [d]."""
        for rows, _ in self.parts:
            if number < len(rows):
                return np.asarray(rows[number])
            number -= len(rows)
        raise IndexError(number)


class DirectionsFolder:
    """The folder that keeps the directions of one space."""

    def __init__(self, path: Path, width: int) -> None:
        """Use the folder at `path`; it is made when it is first locked."""
        self.path = path
        self.width = width

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only program that writes here.

        Raises:
            OSError: when nothing can be written here, or another program does for a long time.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "lock", timeout=WAIT_SECONDS):
            yield

    def read(self) -> tuple[Index, Array]:
        """Return the index and its rows `[n, d]`; none where there are none that can be trusted."""
        try:
            index = Index.from_bytes((self.path / "index").read_bytes())
            return index, self.rows(index)
        except (OSError, DamagedError, ValueError, LookupError, TypeError, AttributeError):
            return Index(), np.empty((0, self.width), np.float32)

    def rows(self, index: Index) -> Array:
        """Map the rows that count, `[n, d]`.

        Raises:
            OSError, ValueError: when the file is not there, or is too short.
        """
        count = len(index.entries)
        if not count:
            return np.empty((0, self.width), np.float32)
        return np.asarray(np.memmap(self._rows_path(index), "<f4", "r", shape=(count, self.width)))

    def append(self, index: Index, digests: Sequence[str], rows: Array) -> Index:
        """Add rows `[n, d]` and return their index, which is not written yet; hold the lock."""
        count, path = len(index.entries), self._rows_path(index)
        with path.open("r+b" if count else "wb") as file:
            file.truncate(count * self.width * 4)
            file.seek(0, 2)
            file.write(np.ascontiguousarray(rows, "<f4").data)
        return replace(index, entries=np.concatenate([index.entries, entries_of(digests, rows)]))

    def write(self, index: Index) -> None:
        """Let the rows of `index` count from now on, and no others; hold the lock."""
        written = self.path / "index.new"
        written.write_bytes(index.to_bytes())
        written.replace(self.path / "index")
        for path in self.path.glob("*.rows"):
            if path != self._rows_path(index):
                with suppress(OSError):  # some systems keep what another program has mapped
                    path.unlink()

    def _rows_path(self, index: Index) -> Path:
        return self.path / f"{index.name}.rows"


def entries_of(digests: Sequence[str], rows: Array) -> Array:
    """Return the entries of rows `[n, d]`."""
    entries = np.empty(len(digests), ENTRY)
    entries["digest"] = [bytes.fromhex(blob[7:]) for blob in digests]
    entries["check"] = rows.astype(np.float64) @ check_row(rows.shape[1]).astype(np.float64)
    entries["zero"] = ~rows.any(axis=1)
    return entries


def digest_of(value: np.void) -> str:
    """Return the digest that an entry keeps as 32 bytes."""
    return f"sha256:{value.tobytes().hex()}"


def check_row(width: int) -> Array:
    """Return the row `[d]` of length 1 whose product with each row tells whether that row was altered."""
    spread = (np.arange(1, width + 1, dtype=np.uint64) * 2654435761) % 2**32 / 2**32 - 0.5
    return (spread / np.linalg.norm(spread)).astype(np.float32)


def _cosines(rows: Array, entries: Array, unit: Array) -> Array:
    cosines, checks = _products(rows, unit.astype(np.float32), check_row(rows.shape[1]))
    with np.errstate(invalid="ignore"):  # altered rows may hold anything
        if not (np.abs(checks - entries["check"]) <= TOLERANCE).all():
            raise DamagedError
    cosines[entries["zero"]] = np.nan
    return cosines


def _products(rows: Array, one: Array, other: Array) -> tuple[Array, Array]:
    """Return the product of each row `[n, d]` with two directions `[d]`: [n] and [n].

    Memory is the bottleneck, so that each block of rows is taken with both while the processor's cache holds it. BLAS
    has no product of a tall matrix with just two columns that is as fast.
    """
    results = np.empty((2, len(rows)), np.float32)
    step = max(1, BLOCK // (4 * rows.shape[1]))
    workers = min(WORKERS, len(rows) // step + 1)

    def take(share: Iterable[int]) -> None:
        with np.errstate(all="ignore"):
            for start in share:
                block = slice(start, start + step)
                np.vecdot(rows[block], one, out=results[0, block])  # [step, d] x [d] -> [step]
                np.vecdot(rows[block], other, out=results[1, block])

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(take, _shares(range(0, len(rows), step), workers)):
            pass
    return results[0], results[1]


def _shares(starts: range, workers: int) -> list[range]:
    """Return a run of blocks for each worker."""
    length = -(-len(starts) // workers)
    return [starts[first : first + length] for first in range(0, len(starts), max(1, length))]
