"""Fsck: compare the rows with the blobs, in both directions, and the database with itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import ColumnElement, select, update

from vectorstore.errors import IntegrityError
from vectorstore.reference import short_name
from vectorstore.store.deletion import needed
from vectorstore.store.schema import BlobRow, VersionBlobRow, VersionRow
from vectorstore.store.store import Store
from vectorstore.store.upkeep import soundness
from vectorstore.store.upkeep.problems import BATCH, Checked, Problem, pages
from vectorstore.store.upkeep.quarantine import put_aside

SHOWN = 5
_RESTORE = "restore it from a backup, or save the same vector again"


def check(store: Store, *, full: bool = False, quarantine: bool = False) -> Checked:
    """Compare rows with files, files with rows, versions with their manifests, and events with their chain.

    It reads a page at a time, so writers are never kept waiting, and asks again about whatever they might have changed.

    Args:
        store: the library.
        full: read and hash every byte, and check every vector as if it came from a stranger.
        quarantine: put damaged files, and files that belong to nobody, aside.

    Raises:
        UnavailableError: when database or blobs cannot be used.
    """
    checked = Checked(full)
    for problems in (_bytes, _files, _marks, *soundness.CHECKS):
        checked.problems += problems(store, checked)
    if quarantine:
        aside = {problem.subject for problem in checked.problems if problem.kind in ("damaged", "orphan")}
        checked.quarantined = [away for name in sorted(aside) if (away := put_aside(store, name)) is not None]
    return checked


def _bytes(store: Store, checked: Checked) -> Iterator[Problem]:
    """Every blob that versions need has its bytes."""
    live = select(BlobRow.digest, BlobRow.size).where(BlobRow.state == "live")
    for rows in pages(store, live, BlobRow.digest):
        sound = []
        for name, size in rows:
            checked.blobs += 1
            problem = _lasting_trouble(store, name, size, full=checked.full)
            if problem is None:
                sound.append(name)
            elif users := _users(store, name):
                yield replace(problem, detail=f"{problem.detail}; needed by {', '.join(users)}")
        if checked.full and sound:
            _note(store, sound)


def _note(store: Store, sound: list[str]) -> None:
    """Note that these were verified now; locked in the order of all transactions, so that none waits in a circle."""
    mine = BlobRow.digest.in_(sound)
    with store.database.write() as session:
        session.scalars(select(BlobRow.digest).where(mine).order_by(BlobRow.digest).with_for_update()).all()
        session.execute(update(BlobRow).where(mine).values(verified_at=datetime.now(UTC)))


def _lasting_trouble(store: Store, name: str, size: int, *, full: bool) -> Problem | None:
    """Return what is wrong with a blob while it stayed live: not if it was deleted, nor if it was then saved anew."""
    while (lease := _live_lease(store, name)) is not None:
        problem = _trouble(store, name, size, full=full)
        if problem is None or _live_lease(store, name) == lease:
            return problem
    return None


def _live_lease(store: Store, name: str) -> datetime | None:
    """Return until when a live blob was leased, which each save of it renews; None where it is live no more."""
    with store.database.read() as session:
        mine = select(BlobRow.leased_until).where(BlobRow.digest == name, BlobRow.state == "live")
        return session.scalar(mine)


def _trouble(store: Store, name: str, size: int, *, full: bool) -> Problem | None:
    try:
        store.blobs.verify(name, size, full=full)
    except IntegrityError as error:
        return Problem("damaged" if store.blobs.exists(name) else "missing", name, error.problem, _RESTORE)
    return None


def _users(store: Store, name: str) -> list[str]:
    """Return the first versions that need a blob; none where it was deleted meanwhile."""
    own = select(VersionBlobRow.version_id).where(VersionBlobRow.digest == name)
    named = select(VersionRow.full_name, VersionRow.number).order_by(VersionRow.id).limit(SHOWN)
    with store.database.read() as session:
        rows = session.execute(named.where(VersionRow.id.in_(own) | (VersionRow.digest == name))).all()
    return [f"{short_name(full_name)}@{number}" for full_name, number in rows]


def _files(store: Store, checked: Checked) -> Iterator[Problem]:
    """Every file has its row: the row comes first, and goes last."""
    stored = store.blobs.all()
    while page := [file.digest for file in islice(stored, BATCH)]:
        checked.files += len(page)
        with store.database.read() as session:
            known = set(session.scalars(select(BlobRow.digest).where(BlobRow.digest.in_(page))))
        for name in page:
            if name not in known and _is_orphan(store, name):
                hint = "--quarantine puts it aside; `steer db rebuild` finds versions in such files"
                yield Problem("orphan", name, "no row of the library knows this file", hint)


def _is_orphan(store: Store, name: str) -> bool:
    """Look again, in the order in which a save makes the row and the file, and gc takes away the file and the row."""
    with store.database.read() as session:
        row = select(BlobRow.digest).where(BlobRow.digest == name)
        return store.blobs.exists(name) and session.scalar(row) is None and store.blobs.exists(name)


def _marks(store: Store, _checked: Checked) -> Iterator[Problem]:
    """A blob is live exactly while a version needs it."""
    unneeded: ColumnElement[bool] = (BlobRow.state == "live") & ~needed()
    unmarked: ColumnElement[bool] = (BlobRow.state != "live") & needed()
    for kind, wrong, said in (
        ("unneeded", unneeded, "it is kept as live, but no version needs it"),
        ("unmarked", unmarked, "a version needs it, but it may be collected"),
    ):
        for rows in pages(store, select(BlobRow.digest).where(wrong), BlobRow.digest):
            yield from (Problem(kind, name, said, "restore the database from a backup") for (name,) in rows)
