"""Neighbour: a version whose direction is near that of another, and the answers that consist of such."""

from __future__ import annotations

from dataclasses import dataclass

from vectorstore.canonical import Json
from vectorstore.place import Place
from vectorstore.store.version import Version

SAME = 0.9999
"""Directions whose cosine is at least this are taken for the same one, found again or rescaled."""


@dataclass(frozen=True)
class Neighbour:
    """A version, and how near its direction at one place is.

    Attributes:
        version: as it is now; yanked ones are among them.
        cosine: with the direction that was asked about, at this place.
        norm: of its direction there.
        same_blob: whether it has the very same bytes, under another name or number.
        same_name: whether it is another version of the name that was asked about.
    """

    version: Version
    cosine: float
    norm: float
    same_blob: bool
    same_name: bool

    @property
    def relation(self) -> str:
        """`same bytes`, `duplicate`, `opposite`, or nothing special."""
        if self.same_blob:
            return "same bytes"
        if abs(self.cosine) < SAME:
            return ""
        return "duplicate" if self.cosine > 0 else "opposite"

    @property
    def order(self) -> tuple[float, bool, bool]:
        """The key that sorts neighbours: by absolute cosine; of equal ones the same bytes first, opposite ones last."""
        return -round(abs(self.cosine), 6), not self.same_blob, self.cosine < 0

    def to_json(self) -> Json:
        """Return the fields, for programs; of the version, what tells it from others."""
        version = self.version
        return {
            "reference": version.reference,
            "cosine": self.cosine,
            "norm": self.norm,
            "relation": self.relation,
            "same_blob": self.same_blob,
            "same_name": self.same_name,
            "digest": version.digest,
            "method": version.method,
            "description": version.description,
            "labels": dict(version.labels),
            "aliases": list(version.aliases),
            "yanked": version.yanked,
            "created_at": version.created_at.isoformat(),
        }


@dataclass(frozen=True)
class Neighbourhood:
    """What is near one direction.

    Attributes:
        place: of all of them.
        norm: of the direction that was asked about.
        neighbours: by absolute cosine, so that opposite directions are found; of equal ones the same bytes
            first, then the newest.
    """

    place: Place
    norm: float
    neighbours: tuple[Neighbour, ...]

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {
            "place": str(self.place),
            "site": self.place.site,
            "layer": self.place.layer,
            "norm": self.norm,
            "neighbours": [neighbour.to_json() for neighbour in self.neighbours],
        }


@dataclass(frozen=True)
class Similar:
    """The answer: a neighbourhood for each place that was asked about.

    Attributes:
        version: the one that was asked about.
        places: in order.
        notes: lines for people: what could not be compared, and why.
    """

    version: Version
    places: tuple[Neighbourhood, ...]
    notes: tuple[str, ...] = ()

    def nearest(self, limit: int) -> list[tuple[Place, Neighbour]]:
        """Return each version at the place where it is nearest, nearest first."""
        best: dict[str, tuple[Place, Neighbour]] = {}
        for hood in self.places:
            for neighbour in hood.neighbours:
                name = str(neighbour.version)
                if name not in best or abs(neighbour.cosine) > abs(best[name][1].cosine):
                    best[name] = hood.place, neighbour
        return sorted(best.values(), key=lambda found: found[1].order)[:limit]

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {
            "reference": self.version.reference,
            "digest": self.version.digest,
            "places": [hood.to_json() for hood in self.places],
            "notes": list(self.notes),
        }
