"""Synced: what a sync did, and what it left."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from vectorstore.canonical import Json


@dataclass(frozen=True)
class Conflict:
    """Something that is one thing here and another one there."""

    what: str
    here: str
    there: str


@dataclass
class Synced:
    """What a sync did.

    Attributes:
        new: versions that came in.
        changed: versions of which something is said anew: `team/love@2 label topic`.
        aliases: that were moved or removed.
        deleted: versions that were deleted here too.
        kept: versions that were deleted there and stay here, and why.
        conflicts: what was left as it is here.
        seq: the number of the last event that was followed.
    """

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    seq: int = 0

    def to_json(self) -> Json:
        """Return everything, for programs."""
        return asdict(self)
