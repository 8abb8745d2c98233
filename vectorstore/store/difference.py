"""Difference: one part in which two versions differ, and the whole answer that consists of such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vectorstore.canonical import Json
from vectorstore.place import Place
from vectorstore.store.version import Version
from vectorstore.vector import Array, direction_norm


@dataclass(frozen=True)
class Difference:
    """A part that is not the same on both sides.

    Attributes:
        part: `method.params.scale`, `labels.topic`.
        left, right: JSON values; None where a side has no such part.
    """

    part: str
    left: Any
    right: Any

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return dict(vars(self))


@dataclass(frozen=True)
class Items:
    """How the data differ that two vectors were computed from.

    Attributes:
        removed: items that only the left one has, in its order.
        added: items that only the right one has, in its order.
        kept: how many items both have.
    """

    removed: tuple[Json, ...]
    added: tuple[Json, ...]
    kept: int

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {"removed": list(self.removed), "added": list(self.added), "kept": self.kept}


@dataclass(frozen=True)
class DirectionPair:
    """The directions of both sides at one place.

    Attributes:
        place: where.
        left, right: the directions; None where a side has none.
    """

    place: Place
    left: Array | None
    right: Array | None

    @property
    def equal(self) -> bool:
        """Whether both are the same values of one dtype."""
        if self.left is None or self.right is None:
            return False
        return self.left.dtype == self.right.dtype and np.array_equal(self.left, self.right)

    @property
    def cosine(self) -> float | None:
        """Of all values where the shapes agree; of the sums over rows where only the widths do; else None."""
        if self.left is None or self.right is None or self.left.shape[-1] != self.right.shape[-1]:
            return None
        left, right = self.left.astype(np.float64), self.right.astype(np.float64)
        if left.shape != right.shape:
            left, right = (side.reshape(-1, side.shape[-1]).sum(axis=0) for side in (left, right))  # [t, d] -> [d]
        norms = float(np.linalg.norm(left)) * float(np.linalg.norm(right))
        return max(-1.0, min(1.0, float(np.vdot(left, right)) / norms)) if norms else None

    @property
    def distance(self) -> float | None:
        """The norm of the difference divided by the left one's norm; None where shapes differ, or that norm is 0."""
        if self.left is None or self.right is None or self.left.shape != self.right.shape:
            return None
        left, right = self.left.astype(np.float64), self.right.astype(np.float64)
        norm = float(np.linalg.norm(left))
        return float(np.linalg.norm(right - left)) / norm if norm else None

    def to_json(self) -> Json:
        """Return norms, shapes and how they compare, for programs."""
        return {
            "place": str(self.place),
            "site": self.place.site,
            "layer": self.place.layer,
            "left": _side(self.left),
            "right": _side(self.right),
            "equal": self.equal,
            "cosine": self.cosine,
            "distance": self.distance,
        }


@dataclass(frozen=True)
class Diff:
    """How two versions differ.

    Attributes:
        left, right: the versions.
        fixed: parts of what the computation fixed, or of what a recipe says and pins.
        movable: parts of what people may change.
        items: of the data, where both have them at hand and they differ.
        directions: of vectors, at every place that either has.
        notes: lines for people.
    """

    left: Version
    right: Version
    fixed: tuple[Difference, ...] = ()
    movable: tuple[Difference, ...] = ()
    items: Items | None = None
    directions: tuple[DirectionPair, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def same_version(self) -> bool:
        """Whether both are one version."""
        return str(self.left) == str(self.right)

    @property
    def same_blobs(self) -> bool:
        """Whether both have the very same bytes: directions and card, or recipe, with all items."""
        return [blob.digest for blob in self.left.blobs] == [blob.digest for blob in self.right.blobs]

    def to_json(self) -> Json:
        """Return everything, for programs."""
        return {
            "left": _version(self.left),
            "right": _version(self.right),
            "same_version": self.same_version,
            "same_blobs": self.same_blobs,
            "fixed": [difference.to_json() for difference in self.fixed],
            "movable": [difference.to_json() for difference in self.movable],
            "items": self.items.to_json() if self.items else None,
            "directions": [pair.to_json() for pair in self.directions],
            "notes": list(self.notes),
        }


def differences(left: Mapping[str, Any], right: Mapping[str, Any], prefix: str = "") -> list[Difference]:
    """Return the parts in which two JSON objects differ; objects within them are compared part by part."""
    found: list[Difference] = []
    for key in dict.fromkeys((*left, *right)):
        one, other, part = left.get(key), right.get(key), f"{prefix}{key}"
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differences(one, other, f"{part}.")
        elif one != other:
            found.append(Difference(part, one, other))
    return found


def _side(direction: Array | None) -> Json | None:
    if direction is None:
        return None
    return {"norm": direction_norm(direction), "shape": list(direction.shape), "dtype": str(direction.dtype)}


def _version(version: Version) -> Json:
    return {"reference": version.reference, "digest": version.digest, "kind": version.kind}
