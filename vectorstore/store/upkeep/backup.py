"""Backup: a copy of an SQLite library that is a library itself: its database as of one moment, and every blob it needs.

PostgreSQL has tools of its own for this: see docs/storage.md.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL

from vectorstore.canonical import Json
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.settings import absolute_path
from vectorstore.store.blobs.folders import make_folder, sync_folder
from vectorstore.store.blobs.local_blobs import LocalBlobs
from vectorstore.store.blobs.protocol import Blobs
from vectorstore.store.database import Database, upgrade
from vectorstore.store.engine import read_url, translated
from vectorstore.store.store import Store
from vectorstore.store.upkeep.fsck import check

DATABASE = "library.db"
UNFINISHED = f"{DATABASE}.new"
_LOGS = ("-journal", "-wal")  # what SQLite leaves beside a database when its program is killed
_EVENT = "SELECT hash FROM events JOIN namespaces ON namespaces.id = events.namespace_id WHERE name = ? AND seq = ?"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Copied:
    """What is in the copy, and how much of it was not there before.

    Attributes:
        folder: where it is.
        versions: in the copy.
        blobs: in the copy.
        copied: blobs that were copied now.
        size: bytes of those.
    """

    folder: str
    versions: int
    blobs: int
    copied: int
    size: int

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return dict(vars(self))


def backup(store: Store, folder: str) -> Copied:
    """Copy the library to `folder` while others go on writing.

    The copy is a library: `STEER_HOME=FOLDER steer list` reads it. Blobs that are there from an older backup are not
    copied again; every other one is hashed on its way.

    Raises:
        InvalidInputError: for a library in PostgreSQL.
        ConflictError: when the folder holds something else, such as another library, or is the library's own.
        IntegrityError: when a blob is missing or damaged; the backup before stays as it was.
        UnavailableError: when the disk cannot take it.
    """
    source = _file_of(store.database.url)
    with _written(folder):
        target = _target(folder, source)
        make_folder(target)
    with _written(folder), translated(store.database.url):
        fresh = target / UNFINISHED
        _copy_database(source, fresh)
        copied = _copy_blobs(fresh, store.blobs, LocalBlobs(target / "blobs"), target)
        _settle(target / DATABASE)
        _put(fresh, target / DATABASE)
    return copied


@contextmanager
def _written(folder: str) -> Iterator[None]:
    """Say of a folder that takes no backup that it is the folder: otherwise one looks at the library, which is well."""
    hint = "check that the folder can be written and its disk has space, or name another"
    try:
        yield
    except OSError as error:
        problem = f"no backup can be written to {folder} ({error.strerror or error})"
        raise UnavailableError(problem, hint) from error
    except UnavailableError as error:
        if str(absolute_path(folder)) in error.problem and "STEER_HOME" in error.hint:
            raise UnavailableError(f"no backup can be written to {folder}: {error.problem}", hint) from error
        raise


def restore(folder: str, database_url: str, blobs: Blobs) -> Copied:
    """Make a library of a backup, where there is none yet; the backup is checked first, and stays as it is.

    Raises:
        NotFoundError: when there is no backup in `folder`.
        IntegrityError: when it is damaged.
        ConflictError: when there is a library already.
        UnavailableError: when the disk cannot take it.
    """
    source = absolute_path(folder)
    if not (source / DATABASE).is_file():
        raise NotFoundError(f"there is no backup in {source}", f"name the folder that has {DATABASE} and blobs in it")
    target = _file_of(read_url(database_url))
    _require_none(target)
    with translated(read_url(database_url)):
        make_folder(target.parent)
        fresh = target.with_name(f"{target.name}.new")
        try:
            _copy_database(source / DATABASE, fresh)
            copied = _copy_blobs(fresh, LocalBlobs(source / "blobs"), blobs, target.parent, full=True)
            _check(fresh, blobs)
            _put(fresh, target)
        finally:
            _remove(fresh)
    return copied


def _require_none(target: Path) -> None:
    if target.exists():
        raise ConflictError(f"there is a library at {target} already", "move it away, or name another place")
    for log in (target.with_name(f"{target.name}{ending}") for ending in _LOGS):
        if log.exists():  # SQLite would carry out what it says on whatever lies beside it
            raise ConflictError(f"{log} is there, the log of another database", "move it away, or name another place")


def _check(database: Path, blobs: Blobs) -> None:
    """Bring a copied database to this program's schema, and check it with its blobs."""
    url = f"sqlite:///{quote(str(database))}"
    upgrade(url)
    with Store(Database.open(url, create=False), blobs, database.parent) as store:
        # What is left of the library that was lost may know more blobs; `rebuild` finds versions in them.
        problems = [problem for problem in check(store).problems if problem.kind != "orphan"]
    if problems:
        raise IntegrityError(f"the backup is damaged: {problems[0].subject}: {problems[0].detail}", "use another one")


def _file_of(url: URL) -> Path:
    if url.get_backend_name() != "sqlite":
        raise InvalidInputError(
            "a library in PostgreSQL is copied with PostgreSQL's own tools",
            "use pg_dump, then copy the blobs; see docs/storage.md",
        )
    return Path(url.database or "")


def _target(folder: str, source: Path) -> Path:
    if not folder:
        raise InvalidInputError("the folder has no name", "say where the copy shall be")
    target = absolute_path(folder)
    if target.resolve() == source.parent.resolve():
        raise ConflictError(f"{target} is the library itself", "name another folder")
    ours = any((target / name).is_file() for name in (DATABASE, UNFINISHED))
    if target.is_dir() and any(target.iterdir()) and not ours:
        raise ConflictError(f"{target} holds something else", "name a new folder, or one with an older backup")
    _require_older(target / DATABASE, source)
    return target


def _require_older(copy: Path, source: Path) -> None:
    """Refuse to write over what is no earlier state of the library, by the last events of both."""
    if not copy.exists():
        return
    with translated(_url(copy)), closing(sqlite3.connect(copy)) as old, closing(sqlite3.connect(source)) as live:
        for name, seq, last in old.execute("SELECT name, event_seq, event_hash FROM namespaces WHERE event_seq > 0"):
            if live.execute(_EVENT, (name, seq)).fetchone() != (last,):
                raise ConflictError(f"{copy.parent} holds no older state of this library", "name a new folder")


def _settle(database: Path) -> None:
    """Bring into an older backup what programs that use it have in its log, which would ruin the one that follows."""
    if database.exists():
        with translated(_url(database)), closing(sqlite3.connect(database)) as old:
            old.execute("PRAGMA journal_mode=DELETE").close()


def _url(database: Path) -> URL:
    return URL.create("sqlite", database=str(database))


def _copy_database(source: Path, fresh: Path) -> None:
    """Copy one moment of the database, with SQLite's own means; the copy has no log beside it."""
    _remove(fresh)
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(fresh)) as copy:
        live.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE").close()


def _remove(database: Path) -> None:
    for ending in ("", *_LOGS, "-shm"):
        database.with_name(f"{database.name}{ending}").unlink(missing_ok=True)


def _copy_blobs(database: Path, source: Blobs, target: Blobs, folder: Path, *, full: bool = False) -> Copied:
    blobs = copied = size = 0
    with closing(sqlite3.connect(database)) as connection:
        (versions,) = connection.execute("SELECT count(*) FROM versions").fetchone()
        for digest, length in connection.execute("SELECT digest, size FROM blobs WHERE state = 'live'"):
            blobs += 1
            if not _present(target, digest, length, full=full):
                _copy_blob(source, target, digest, length)
                copied, size = copied + 1, size + length
    return Copied(str(folder), versions, blobs, copied, size)


def _present(target: Blobs, digest: str, length: int, *, full: bool) -> bool:
    """Return whether a blob is there already, of the right size; `full` hashes it."""
    try:
        if target.exists(digest):
            target.verify(digest, length, full=full)
            return True
    except IntegrityError:
        pass
    return False


def _copy_blob(source: Blobs, target: Blobs, digest: str, length: int) -> None:
    view = source.open(digest, length)
    staged = target.stage(bytes(view[at : at + CHUNK]) for at in range(0, length, CHUNK))
    try:
        if staged.digest != digest:
            raise IntegrityError(f"the blob {digest} is damaged", "see `steer fsck --full`")
        staged.publish()
    finally:
        staged.discard()


def _put(fresh: Path, target: Path) -> None:
    sync_folder(fresh)
    fresh.replace(target)
    sync_folder(target.parent)
