"""SteeringVector: directions by (site, layer), in numpy, with the algebra of a vector space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, SupportsFloat

import numpy as np
import numpy.typing as npt

from vectorstore.errors import InvalidInputError
from vectorstore.place import SITES, Place, layers_text

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class SteeringVector:
    """Directions by place. Frozen: operations return new vectors; arrays are read-only, and copied if they were not.

    Attributes:
        directions: `[d]` (one for every steered token) or `[t, d]` (one per prompt position).
        references: base points `[d]` for methods that need one (ACE's negative mean); places are among `directions`.

    Addition takes the union of places (a missing direction is zero) and works in float32 at least.
    """

    directions: Mapping[Place, Array]
    references: Mapping[Place, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes, sort by place and freeze the arrays."""
        if not self.directions:
            raise InvalidInputError("a steering vector needs at least one direction", "give a direction for one layer")
        for place, direction in self.directions.items():
            _check(place, direction)
        for place, reference in self.references.items():
            if place not in self.directions or np.shape(reference) != self.directions[place].shape[-1:]:
                raise InvalidInputError(
                    f"the reference at {place} belongs to no direction of its width", "give one [d] reference a place"
                )
        object.__setattr__(self, "directions", _frozen(self.directions))
        object.__setattr__(self, "references", _frozen(self.references))

    @classmethod
    def of_views(cls, directions: Mapping[Place, Array], references: Mapping[Place, Array]) -> SteeringVector:
        """Return the vector of read-only arrays that were checked, and are in the order of their places, already."""
        vector = object.__new__(cls)
        object.__setattr__(vector, "directions", MappingProxyType(directions))
        object.__setattr__(vector, "references", MappingProxyType(references))
        return vector

    @property
    def places(self) -> tuple[Place, ...]:
        """All places, by site and then by layer."""
        return tuple(self.directions)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers, ascending, each once."""
        return tuple(sorted({place.layer for place in self.directions}))

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites, each once, in the order of SITES."""
        return tuple(site for site in SITES if any(place.site == site for place in self.directions))

    @property
    def norms(self) -> dict[Place, float]:
        """The Euclidean norm of each direction; of the largest row for `[t, d]`."""
        return {place: direction_norm(direction) for place, direction in self.directions.items()}

    def select(self, layers: Iterable[int]) -> SteeringVector:
        """Keep only `layers`.

        Raises:
            InvalidInputError: when one of them has no direction.
        """
        wanted = set(layers)
        if missing := sorted(wanted - set(self.layers)):
            raise InvalidInputError(
                f"no direction at layer {missing[0]}", f"this vector has {layers_text(self.layers)}"
            )
        return SteeringVector(
            {place: a for place, a in self.directions.items() if place.layer in wanted},
            {place: a for place, a in self.references.items() if place.layer in wanted},
        )

    def map(self, function: Callable[[Place, Array], Array]) -> SteeringVector:
        """Return the vector of `function(place, direction)`; references do not carry over."""
        return SteeringVector({place: function(place, direction) for place, direction in self.directions.items()})

    def __add__(self, other: SteeringVector) -> SteeringVector:
        """Sum where both have a direction, the one there is elsewhere; references do not carry over."""
        if not isinstance(other, SteeringVector):
            return NotImplemented
        places = dict.fromkeys((*self.directions, *other.directions))
        return SteeringVector({place: _sum(place, self, other) for place in places})

    def __sub__(self, other: SteeringVector) -> SteeringVector:
        """Add the negative."""
        if not isinstance(other, SteeringVector):
            return NotImplemented
        return self + -other

    def __neg__(self) -> SteeringVector:
        """Turn every direction round."""
        return self * -1

    def __mul__(self, factor: SupportsFloat) -> SteeringVector:
        """Scale every direction; references do not carry over."""
        return self.map(lambda _, direction: _sealed(widened(direction) * float(factor)))

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        """Equal bits: the same places, dtypes, shapes and values."""
        if not isinstance(other, SteeringVector):
            return NotImplemented
        return _same(self.directions, other.directions) and _same(self.references, other.references)

    __hash__ = None  # type: ignore[assignment]


def direction_norm(direction: Array) -> float:
    """Return the Euclidean norm of `[d]`, or of the largest row of `[t, d]`, in float64; infinite where that is."""
    with np.errstate(over="ignore"):
        return float(np.linalg.norm(direction.astype(np.float64), axis=-1).max())


def widened(direction: Array) -> Array:
    """Return the direction in float32, or as it is where it is float64."""
    return direction if direction.dtype == np.float64 else direction.astype(np.float32, copy=False)


def _check(place: Place, direction: object) -> None:
    if place.site not in SITES or place.layer < 0:
        raise InvalidInputError(f"{place} is not a place", f"use a 0-based layer and one of {', '.join(SITES)}")
    if not isinstance(direction, np.ndarray):
        raise InvalidInputError(
            f"the direction at {place} is a {type(direction).__name__}", "give a numpy array, such as tensor.numpy()"
        )
    if direction.ndim not in (1, 2) or direction.size == 0:
        raise InvalidInputError(
            f"the direction at {place} has shape {list(direction.shape)}", "give [d], or [t, d] with a row per position"
        )


def _frozen(arrays: Mapping[Place, Array]) -> Mapping[Place, Array]:
    places = sorted(arrays, key=lambda place: place.order)
    return MappingProxyType({place: _read_only(arrays[place]) for place in places})


def _read_only(array: Array) -> Array:
    return _sealed(array.copy()) if array.flags.writeable else array


def _sealed(array: Array) -> Array:
    """Make an array that nobody else holds read-only."""
    array.flags.writeable = False
    return array


def _sum(place: Place, left: SteeringVector, right: SteeringVector) -> Array:
    a, b = left.directions.get(place), right.directions.get(place)
    if a is None or b is None:
        return widened(b if a is None else a)  # type: ignore[arg-type]
    if a.shape != b.shape:
        raise InvalidInputError(
            f"directions at {place} have shapes {list(a.shape)} and {list(b.shape)}",
            "only directions of one shape add up; vectors of different models or token counts do not",
        )
    return _sealed(widened(a) + widened(b))


def _same(left: Mapping[Place, Array], right: Mapping[Place, Array]) -> bool:
    return left.keys() == right.keys() and all(
        _fingerprint(a) == _fingerprint(right[place]) for place, a in left.items()
    )


def _fingerprint(array: Array) -> tuple[str, tuple[int, ...], bytes]:
    return str(array.dtype), array.shape, array.tobytes()
