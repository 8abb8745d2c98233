"""Space: the directions that can be compared with each other: of one model, at one place, of one width."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from vectorstore.canonical import digest
from vectorstore.codec import read_header
from vectorstore.errors import IntegrityError
from vectorstore.place import Place
from vectorstore.vector import Array


@dataclass(frozen=True)
class Space:
    """What directions have in common that can be compared.

    Attributes:
        fingerprint: of the model's weights.
        place: their site and layer.
        width: d.
    """

    fingerprint: str
    place: Place
    width: int

    @property
    def folder(self) -> str:
        """A relative path of its own, whatever characters the fingerprint has."""
        return f"{digest(self.fingerprint.encode())[7:23]}/{self.place}.{self.width}"

    def read(self, blob: memoryview) -> Array:
        """Return the unit direction `[d]` of a vector's blob, whose card is not read.

        Raises:
            IntegrityError: when the blob is damaged, or has no such direction.
        """
        entries, _, base = read_header(blob)
        entry = entries.get(str(self.place))
        if entry is None or entry.shape[-1] != self.width:
            raise IntegrityError(f"a blob has no direction of width {self.width} at {self.place}", "see: steer fsck")
        direction = np.frombuffer(blob, entry.dtype, prod(entry.shape), base + entry.start).reshape(entry.shape)
        unit = unit_direction(direction)
        if not np.isfinite(unit).all():
            raise IntegrityError(f"a blob has NaN or infinite values at {self.place}", "see: steer fsck")
        return unit.astype(np.float32)


def unit_direction(direction: Array) -> Array:
    """Return `[d]` of length 1, in float64: of the sum over the rows for `[t, d]`; zeros where that is zero."""
    wide = direction.astype(np.float64)
    total = wide if wide.ndim == 1 else wide.sum(axis=0)  # [t, d] -> [d]; their mean has the same direction
    largest = np.abs(total).max()
    if not largest:
        return total
    scaled = total / largest  # squares of values near the ends of float64 would be infinite, or zero
    unit: Array = scaled / np.linalg.norm(scaled)
    return unit
