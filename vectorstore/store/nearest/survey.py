"""Survey: the cosines of a direction with all others of its space, from a cache that is brought up to date first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vectorstore.canonical import digest
from vectorstore.errors import IntegrityError
from vectorstore.store.nearest.directions import (
    DamagedError,
    Directions,
    DirectionsFolder,
    Index,
    digest_of,
    entries_of,
)
from vectorstore.store.nearest.news import CHUNK, News, news
from vectorstore.store.nearest.space import Space
from vectorstore.store.store import Store
from vectorstore.vector import Array

BATCH = 1 << 25  # bytes of rows that are written at once


@dataclass(frozen=True)
class Survey:
    """All directions of a space, seen from one.

    Attributes:
        directions: all of them.
        unit: the one, `[d]`, in float64.
        cosines: of each with it, [n], in float32; NaN where a direction is zero.
        notes: lines for people: what was left out, and why.
    """

    directions: Directions
    unit: Array
    cosines: Array
    notes: tuple[str, ...]

    def nearest(self, size: int) -> Iterator[dict[str, float]]:
        """Yield exact cosines by blob, by falling absolute cosine: of `size` blobs first, then of the others in parts.

        The order is that of float32: within a part it may be off by 1e-6.
        """
        entries = self.directions.entries
        for numbers in _by_strength(np.abs(self.cosines), size):
            yield {digest_of(entries[number]["digest"]): self._exact(int(number)) for number in numbers}

    def _exact(self, number: int) -> float:
        cosine = float(self.directions.row(number).astype(np.float64) @ self.unit)
        return max(-1.0, min(1.0, cosine))


def survey(store: Store, space: Space, unit: Array) -> Survey:
    """Return the survey of `space` from the unit direction `[d]`.

    Blobs that cannot be read are left out, with a note; a cache that cannot be written is done without, with a note.
    """
    folder = DirectionsFolder(folder_of(store, space), space.width)
    directions, notes = _directions(store, space, folder)
    try:
        cosines = directions.cosines(unit)
    except DamagedError:
        directions, notes = _directions(store, space, folder, afresh=True)
        cosines = directions.cosines(unit)
    return Survey(directions, unit, cosines, tuple(notes))


def folder_of(store: Store, space: Space) -> Path:
    """Return where the directions of `space` are kept, apart from those of other libraries."""
    library = digest(store.database.url.render_as_string(hide_password=True).encode())[7:23]
    return store.cache / "directions" / library / space.folder


def _directions(
    store: Store, space: Space, folder: DirectionsFolder, *, afresh: bool = False
) -> tuple[Directions, list[str]]:
    """Return the directions that the library has now; `afresh` trusts nothing that is kept."""
    index, rows = (Index(), _no_rows(space)) if afresh else folder.read()
    found = _look(store, space, index)
    if not found.blobs and found.seen == index.seen:
        return Directions([(rows, index.entries)]), []
    try:
        with folder.lock():
            index = _filled(store, space, folder, Index() if afresh else folder.read()[0])
            return Directions([(folder.rows(index), index.entries)]), _left_out(index.unread)
    except (OSError, NotImplementedError) as error:  # the latter from file systems that know no locks
        return _unkept(store, space, Directions([(rows, index.entries)]), _lacking(found, index), error)


def _look(store: Store, space: Space, index: Index) -> News:
    with store.database.read() as session:
        return news(session, space, index.seen, tuple(index.unread))


def _filled(store: Store, space: Space, folder: DirectionsFolder, index: Index) -> Index:
    """Append what `index` lacks, and write it; what is done is kept where this is interrupted."""
    found, unread = _look(store, space, index), dict[str, int]()
    for digests, rows in _read(store, space, _lacking(found, index), unread):
        index = folder.append(index, digests, rows)
        if rows.nbytes >= BATCH:
            folder.write(index)
    index = replace(index, seen=found.seen, unread=unread)
    folder.write(index)
    return index


def _unkept(
    store: Store, space: Space, kept: Directions, found: Mapping[str, int], error: Exception
) -> tuple[Directions, list[str]]:
    """Return the directions that are kept and those that are not, without writing any."""
    unread: dict[str, int] = {}
    read = _read(store, space, found, unread)
    more = [(rows, entries_of(digests, rows)) for digests, rows in read]
    reason = getattr(error, "strerror", None) or str(error)
    note = f"nothing can be kept in {store.cache} ({reason}), so that every search reads every blob; see STEER_CACHE"
    return Directions([*kept.parts, *more]), [note, *_left_out(unread)]


def _lacking(found: News, index: Index) -> dict[str, int]:
    present = index.digests
    return {digest: size for digest, size in found.blobs.items() if digest not in present}


def _read(
    store: Store, space: Space, blobs: Mapping[str, int], unread: dict[str, int]
) -> Iterator[tuple[list[str], Array]]:
    """Yield digests and rows `[n, d]` of blobs, in batches; what cannot be read goes to `unread`."""
    digests: list[str] = []
    rows: list[Array] = []
    for blob, size in blobs.items():
        try:
            rows.append(space.read(store.blobs.open(blob, size)))
            digests.append(blob)
        except IntegrityError:
            unread[blob] = size
        if len(rows) * space.width * 4 >= BATCH:
            yield digests, np.stack(rows)
            digests, rows = [], []
    if rows:
        yield digests, np.stack(rows)


def _by_strength(strength: Array, size: int) -> Iterator[Array]:
    """Yield numbers of rows by falling strength `[n]`: the first `size`, then the others in parts; none for NaN."""
    strength = np.nan_to_num(strength, nan=-1.0)
    count = int((strength >= 0).sum())
    if count > size:  # sorting 100,000 takes longer than finding the first few
        nearest = np.argpartition(-strength, size)[:size]
        yield nearest[np.argsort(-strength[nearest], kind="stable")]
        strength[nearest] = -1.0
        count -= size
    order = np.argsort(-strength, kind="stable")[:count]
    for start in range(0, count, CHUNK):
        yield order[start : start + CHUNK]


def _no_rows(space: Space) -> Array:
    return np.empty((0, space.width), np.float32)


def _left_out(unread: Mapping[str, int]) -> list[str]:
    if not unread:
        return []
    blobs = "1 blob is" if len(unread) == 1 else f"{len(unread)} blobs are"
    return [f"{blobs} missing or damaged and left out; for which ones, see: steer fsck"]
