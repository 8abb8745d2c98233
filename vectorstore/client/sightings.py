"""Sightings: what references to a remote meant when it was last asked, and which versions came from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select

from vectorstore.canonical import digest as digest_of
from vectorstore.client.remote import Remote
from vectorstore.store import Store
from vectorstore.store.found import find_pinned
from vectorstore.store.schema import NAME_LENGTH, VersionRow
from vectorstore.store.team_schema import SightingRow
from vectorstore.store.version import Found


@dataclass(frozen=True)
class Sighting:
    """What a reference meant, and when."""

    digest: str
    seen_at: datetime

    @property
    def age(self) -> str:
        """How long ago that was: `3 minutes`, `2 days`."""
        seconds = max(int((datetime.now(UTC) - self.seen_at).total_seconds()), 0)
        for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
            if seconds >= length:
                return f"{seconds // length} {unit}{'' if seconds // length == 1 else 's'}"
        return "moments"


def note(store: Store, remote: Remote, reference: str, digest: str) -> None:
    """Keep what a reference means now; one that came from a remote is kept as `team/love@sha256:…`, too."""
    row = SightingRow(remote=_key(remote), reference=reference, digest=digest, seen_at=datetime.now(UTC))
    with store.database.write() as session:
        session.merge(row)


def find(store: Store, remote: Remote, reference: str) -> Sighting | None:
    """Return what a reference meant when the remote was last asked."""
    with store.database.read() as session:
        row = session.get(SightingRow, (_key(remote), reference))
        return None if row is None else Sighting(row.digest, row.seen_at)


def forget(store: Store, remote: Remote, reference: str) -> None:
    """Forget a reference that means nothing any more."""
    mine = SightingRow.remote == _key(remote), SightingRow.reference == reference
    with store.database.write() as session:
        session.execute(delete(SightingRow).where(*mine))


def seen_at(store: Store, remotes: Mapping[str, Remote], digest: str) -> tuple[str, str] | None:
    """Return the name of a remote where a version was seen, and what it is called there, or None."""
    by_key = {_key(each): name for name, each in remotes.items()}
    query = select(SightingRow.remote, SightingRow.reference).where(SightingRow.digest == digest)
    with store.database.read() as session:
        found = session.execute(query).all()
    return min(((by_key[key], text.partition("@")[0]) for key, text in found if key in by_key), default=None)


def has_others(store: Store, remote: Remote, full_name: str, number: int | None) -> bool:
    """Say whether a name has versions that did not come from a remote, and none that is newer than `number`."""
    query = select(VersionRow.number, VersionRow.digest).where(VersionRow.full_name == full_name)
    with store.database.look() as connection:
        versions = connection.execute(query).all()
        if number is not None and any(version.number > number for version in versions):
            return False
        digests = {version.digest for version in versions}
        mine = select(SightingRow.digest).where(SightingRow.remote == _key(remote), SightingRow.digest.in_(digests))
        return bool(digests - set(connection.scalars(mine)))


def here(store: Store, digest: str, full_name: str) -> Found | None:
    """Return the version of a digest in this library: that of this name before all others."""
    with store.database.look() as connection:
        found = find_pinned(connection, [digest])
    return min(found.values(), key=lambda each: (each.full_name != full_name, str(each)), default=None)


def _key(remote: Remote) -> str:
    """Return what a remote is kept under: its URL, or a digest of a long one."""
    return remote.key if len(remote.key) <= NAME_LENGTH else digest_of(remote.key.encode())
