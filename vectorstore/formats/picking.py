"""Picking: which tensors of a file are meant, before any model is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vectorstore.codec import DTYPES
from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError
from vectorstore.formats.keys import key_layer
from vectorstore.formats.tensor_file import TensorFile
from vectorstore.vector import Array

SHOWN = 8


@dataclass(frozen=True, eq=False)
class Picked:
    """A tensor of a file.

    Attributes:
        key: its name in the file; empty for a file that is one array.
        array: `[d]`, `[t, d]` or `[layers, d]`, finite.
        layer: the layer that its name says, or that it was picked for; negatives count from the end.
    """

    key: str
    array: Array
    layer: int | None


def pick(file: TensorFile, keys: Sequence[str] = ()) -> tuple[Picked, ...]:
    """Return the tensors that `keys` name; without them, all that could be directions.

    Args:
        file: what was read.
        keys: `NAME`, or `NAME=6` for another layer than its name says. `NAME` also stands for every `NAME.x`.

    Raises:
        NotFoundError: for a key that the file does not have.
        InvalidInputError: for tensors that are no directions: integers, other shapes.
        IntegrityError: for NaN and infinite values.
    """
    found = [picked for key in keys for picked in _named(file, key)] if keys else _likely(file)
    for picked in found:
        _check(file, picked)
    return tuple(found)


def listed(tensors: Mapping[str, Array]) -> str:
    """Return `layer.6 [32], bias [32] int64, …`."""
    texts = [
        f"{key[:60] or 'one tensor'} {list(array.shape)}{'' if _is_float(array) else f' {array.dtype}'}"
        for key, array in tensors.items()
    ]
    return f"{', '.join(texts[:SHOWN])}{', …' if len(texts) > SHOWN else ''}" or "nothing"


def _likely(file: TensorFile) -> list[Picked]:
    likely = {key: array for key, array in file.tensors.items() if _is_float(array) and array.ndim in (1, 2)}
    if not likely and len(file.tensors) == 1:
        likely = dict(file.tensors)  # to be refused for what it is
    if not likely:
        raise InvalidInputError(
            f"{file.name} has no directions: it has {listed(file.tensors)}", "directions are floats, [d] or [t, d]"
        )
    return [Picked(key, array, key_layer(key)) for key, array in likely.items()]


def _named(file: TensorFile, text: str) -> Iterator[Picked]:
    name, _, layer = text.rpartition("=")
    chosen = None if text in file.tensors or not name else key_layer(layer)
    if chosen is not None:
        text = name
    members = [key for key in file.tensors if key == text or key.startswith(f"{text}.")]
    if not members:
        raise NotFoundError(f"{file.name} has no tensor '{text[:80]}'", f"it has {listed(file.tensors)}")
    for key in members:
        named = key_layer(key)
        picked = Picked(key, file.tensors[key], key_layer(key.removeprefix(f"{text}.")) if named is None else named)
        yield picked if chosen is None else replace(picked, layer=chosen)


def _check(file: TensorFile, picked: Picked) -> None:
    array, what = picked.array, f"'{picked.key[:80]}' of {file.name}" if picked.key else file.name
    if not _is_float(array):
        raise InvalidInputError(f"{what} has dtype {array.dtype}", f"directions are {', '.join(map(str, _FLOATS))}")
    if array.ndim not in (1, 2) or not array.size:
        raise InvalidInputError(f"{what} has shape {list(array.shape)}", "save the part you mean: [d] or [t, d]")
    if not np.isfinite(array).all():
        raise IntegrityError(f"{what} has NaN or infinite values", "compute it again in float32")


_FLOATS = tuple(DTYPES.values())


def _is_float(array: Array) -> bool:
    return array.dtype in _FLOATS
