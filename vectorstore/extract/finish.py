"""Finish: what a method found, as a vector of the dtype asked for, with everything about it checked."""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np

from vectorstore.errors import InvalidInputError
from vectorstore.extract.protocols import Direction
from vectorstore.extract.run import Job
from vectorstore.place import Place
from vectorstore.vector import Array, SteeringVector

DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}


def vector_of(found: Mapping[Place, Direction], job: Job, dtype: str) -> SteeringVector:
    """Return the vector of what `job` found.

    Raises:
        InvalidInputError: for nothing, a place that was not asked for, a direction that is zero, or values that
            `dtype` cannot hold.
    """
    _check_places(found, job)
    references = {place: each.reference for place, each in found.items() if each.reference is not None}
    vector = SteeringVector({place: each.direction for place, each in found.items()}, references)
    _check_directions(vector)
    return _cast(vector, dtype)


def _check_places(found: Mapping[Place, Direction], job: Job) -> None:
    if not found:
        raise InvalidInputError(f"{job.method.name} found no direction at any layer asked for", "choose other layers")
    for place in found:
        if place not in job.request.places:
            raise InvalidInputError(
                f"{job.method.name} gives a direction at {place}, which was not asked for", "mend the method"
            )


def _check_directions(vector: SteeringVector) -> None:
    for place, norm in vector.norms.items():
        if norm == 0:
            raise InvalidInputError(
                f"the direction at {place} is zero: what was read of both sides is the same there",
                "choose prompts that differ, or another layer",
            )


def _cast(vector: SteeringVector, dtype: str) -> SteeringVector:
    def cast(array: Array) -> Array:
        with np.errstate(over="ignore"):
            return array.astype(DTYPES[dtype])

    result = SteeringVector(
        {place: cast(direction) for place, direction in vector.directions.items()},
        {place: cast(reference) for place, reference in vector.references.items()},
    )
    for place, array in (*result.directions.items(), *result.references.items()):
        if not np.isfinite(array).all():
            raise InvalidInputError(f"the direction at {place} has values that {dtype} cannot hold", "use float32")
    return result
