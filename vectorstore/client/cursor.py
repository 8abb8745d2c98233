"""Cursor: how far the events of a namespace of a remote were followed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from vectorstore.canonical import canonical_bytes, digest
from vectorstore.client.remote import Remote
from vectorstore.errors import ConflictError
from vectorstore.settings import Settings
from vectorstore.store import Store
from vectorstore.store.team_schema import CursorRow


@dataclass(frozen=True)
class Cursor:
    """The last event that was followed: its number, and its hash, which covers all before it."""

    seq: int = 0
    hash: str = ""


def read_cursor(store: Store, remote: Remote, namespace: str) -> Cursor:
    """Return how far a namespace was followed."""
    with store.database.read() as session:
        row = session.get(CursorRow, (remote.key, namespace))
        return Cursor() if row is None else Cursor(row.seq, row.hash)


def write_cursor(store: Store, remote: Remote, namespace: str, cursor: Cursor) -> None:
    """Keep how far a namespace was followed."""
    with store.database.write() as session:
        session.merge(CursorRow(remote=remote.key, namespace=namespace, seq=cursor.seq, hash=cursor.hash))


@contextmanager
def alone(store: Store, remote: Remote, namespace: str) -> Iterator[None]:
    """Let no other program of this machine follow the same namespace into the same library.

    Raises:
        ConflictError: when one does already.
    """
    folder = Settings.load().cache / "sync"
    folder.mkdir(parents=True, exist_ok=True)
    what = canonical_bytes([str(store.database.url), remote.key, namespace])
    lock = FileLock(folder / f"{digest(what)[7:39]}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConflictError(
            f"{remote.name}//{namespace} is being followed already", "wait until that is done"
        ) from error
    try:
        yield
    finally:
        lock.release()
