"""The bytes of a vector: safetensors, with the card as its one metadata key; and every check on foreign bytes.

`pack` and `unpack` are inverse: the same vector and card always give the same bytes. safetensors' own reader accepts
duplicate names, paths as names, NaN, and headers of tens of megabytes, so everything is checked here before any
tensor is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isclose, prod
from typing import Any

import ml_dtypes
import numpy as np
import safetensors.numpy

from vectorstore.canonical import canonical_bytes, strict_loads
from vectorstore.card import Card
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.fields import Fields
from vectorstore.place import Place
from vectorstore.vector import Array, SteeringVector

CARD_KEY = "card"
REFERENCE_SUFFIX = ".reference"
MAX_HEADER = 1 << 20
MAX_TENSORS = 1024
MAX_BLOB = 1 << 27  # 126 layers of width 16,384 in float32 take 8 MB; 16 times that is read in some 0.1 s
BLOCK = 1 << 18  # the values that are checked at once: they fit into the cache, and into any memory
DTYPES: Mapping[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_AGAIN = "get the file again from where it came, or compute the vector again"


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of the header: its dtype, shape, and byte range after the header."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int


def pack(vector: SteeringVector, card: Card) -> bytes:
    """Return the blob of a vector: always the same bytes for the same vector and card.

    Raises:
        InvalidInputError: for what `unpack` would refuse: a card of other directions, NaN, a card that is too large.
    """
    tensors = _tensors(vector)
    if not finite(vector):
        raise InvalidInputError("the vector has NaN or infinite values", "compute it again in float32")
    check_card(vector, card)
    blob = safetensors.numpy.save(tensors, {CARD_KEY: canonical_bytes(card.to_json()).decode()})
    try:
        unpack(blob, trusted=True)  # what cannot be read again must not be kept
    except IntegrityError as error:
        raise InvalidInputError(f"this vector and card cannot be kept: {error.problem}", "mend the card") from error
    return blob


def unpack(data: bytes | memoryview, *, trusted: bool = False) -> tuple[SteeringVector, Card]:
    """Return the vector and card of a blob, after every check; directions are views of `data`, not copies.

    Args:
        data: the whole blob; the memoryview of a mapped file stays on disk until it is read.
        trusted: skip the checks that read every value (NaN, norms), for bytes that were checked when they entered.

    Raises:
        IntegrityError: for bytes that are broken or hostile, or a card that is not canonical or not true.
    """
    view = memoryview(data).cast("B").toreadonly()
    entries, metadata, base = read_header(view)
    if set(metadata) != {CARD_KEY}:
        raise IntegrityError(
            f"the blob's metadata is not the one key '{CARD_KEY}'", "use `steer import` for other files"
        )
    card = Card.from_json(strict_loads(metadata[CARD_KEY].encode(), "the card"))
    vector = _vector({name: _map(view, base, entry) for name, entry in entries.items()})
    if not trusted and canonical_bytes(card.to_json()) != metadata[CARD_KEY].encode():
        raise IntegrityError("the card is not in its canonical form", _AGAIN)
    if not trusted and not finite(vector):
        raise IntegrityError("the blob has NaN or infinite values", _AGAIN)
    try:
        check_card(vector, card, norms=not trusted)
    except InvalidInputError as error:
        raise IntegrityError(error.problem, _AGAIN) from error
    return vector, card


def read_header(view: memoryview) -> tuple[dict[str, TensorEntry], Mapping[str, str], int]:
    """Return the tensors of a safetensors file, its metadata, and where its data begins.

    Checks sizes first, then strict JSON, names' count, dtypes, shapes, and that the tensors tile the file exactly.

    Raises:
        IntegrityError: naming the first thing that is wrong.
    """
    header, base = _header_bytes(view)
    if not header.startswith(b"{"):
        raise IntegrityError("the header is not a JSON object", _AGAIN)
    fields = strict_loads(header, "the header")
    metadata = Fields({"metadata": fields.pop("__metadata__", {})}, "the header").mapping("metadata", str)
    if not 0 < len(fields) <= MAX_TENSORS:
        raise IntegrityError(f"the blob has {len(fields)} tensors", f"1 to {MAX_TENSORS} are allowed")
    entries = {name: _entry(name, value) for name, value in fields.items()}
    _check_tiling(entries, len(view) - base)
    return entries, metadata, base


def check_card(vector: SteeringVector, card: Card, *, norms: bool = True) -> None:
    """Check that `card` describes `vector`: places, widths and (unless told otherwise) norms.

    Raises:
        InvalidInputError: naming the first difference.
    """
    if set(card.places) != set(vector.places):
        raise InvalidInputError("the card names other layers or sites than the vector has", "use the card of compute()")
    for place, direction in vector.directions.items():
        width = card.model.widths.get(place.site)
        if direction.shape[-1] != width or place.layer >= card.model.layer_count:
            raise InvalidInputError(
                f"the direction at {place} has width {direction.shape[-1]}, but the card's model has width {width} "
                f"and {card.model.layer_count} layers",
                "use the card of compute()",
            )
    for place, direction in vector.directions.items() if norms else ():
        norm = _norm(direction)
        if not isclose(norm, card.norms[place], rel_tol=1e-6):
            raise InvalidInputError(
                f"the card says norm {card.norms[place]:.6g} at {place}, but it is {norm:.6g}",
                "use the card of compute()",
            )


def _tensors(vector: SteeringVector) -> dict[str, Array]:
    named = {str(place): direction for place, direction in vector.directions.items()}
    named |= {f"{place}{REFERENCE_SUFFIX}": reference for place, reference in vector.references.items()}
    for name, tensor in named.items():
        if tensor.dtype not in DTYPES.values():
            raise InvalidInputError(f"{name} has dtype {tensor.dtype}", "use float32, bfloat16, float16 or float64")
    return {name: np.ascontiguousarray(tensor) for name, tensor in sorted(named.items())}


def _vector(tensors: Mapping[str, Array]) -> SteeringVector:
    directions, references = {}, {}
    try:
        for name, tensor in tensors.items():
            if name.endswith(REFERENCE_SUFFIX):
                references[Place.parse(name.removesuffix(REFERENCE_SUFFIX))] = tensor
            else:
                directions[Place.parse(name)] = tensor
        return SteeringVector(directions, references)
    except InvalidInputError as error:
        raise IntegrityError(f"the blob is not a steering vector: {error.problem}", _AGAIN) from error


def finite(vector: SteeringVector) -> bool:
    """Return whether no value is NaN or infinite, by the bits and in blocks: as fast in bfloat16 as in float32."""
    arrays = (*vector.directions.values(), *vector.references.values())
    return all(_finite(array) for array in arrays)


def _finite(array: Array) -> bool:
    dtype = array.dtype
    unsigned = np.dtype(f"u{dtype.itemsize}")
    magnitude = np.array(np.inf, dtype).view(unsigned)  # NaN and infinity are the patterns from this one on
    sign = unsigned.type(1 << (8 * dtype.itemsize - 1))
    flat = array.reshape(-1).view(unsigned)
    return all((flat[start : start + BLOCK] & ~sign).max() < magnitude for start in range(0, flat.size, BLOCK))


def _norm(direction: Array) -> float:
    """Return what `direction_norm` does, to its last digits or so, in blocks: no copy as large as the blob is made."""
    width = direction.shape[-1]
    rows = direction.reshape(-1, width)  # (positions, width)
    high = max(1, BLOCK // width)
    room = np.empty(BLOCK)  # one for all blocks: fresh memory costs more than the sums
    with np.errstate(over="ignore"):
        blocks = (rows[top : top + high] for top in range(0, len(rows), high))
        squares = [np.max(sum(_squares(part, room) for part in _columns(block))) for block in blocks]
    return float(np.sqrt(np.max(squares)))


def _columns(block: Array) -> Iterator[Array]:
    """Yield all columns of a block, as many at a time as fit into one room."""
    wide = min(block.shape[1], BLOCK)
    return (block[:, left : left + wide] for left in range(0, block.shape[1], wide))


def _squares(part: Array, room: Array) -> Array:
    """Return the sum of squares of each row of `[positions, columns]`, `[positions]`, which may lie in `room`."""
    wide = room[: part.size].reshape(part.shape)
    wide[...] = part
    np.square(wide, out=wide)
    return wide[:, 0] if part.shape[1] == 1 else wide @ np.ones(part.shape[1])


def _header_bytes(view: memoryview) -> tuple[bytes, int]:
    if not 8 < len(view) <= MAX_BLOB:  # noqa: PLR2004 - the length of the length
        raise IntegrityError(f"the blob has {len(view)} bytes", f"9 to {MAX_BLOB} are allowed; {_AGAIN}")
    length = int.from_bytes(view[:8], "little")
    if length > min(MAX_HEADER, len(view) - 8):
        raise IntegrityError(f"the blob is truncated, or its header is too long ({length} bytes)", _AGAIN)
    return bytes(view[8 : 8 + length]), 8 + length


def _entry(name: str, value: object) -> TensorEntry:
    fields = Fields(value, f"tensor '{name[:60]}'")
    fields.only({"dtype", "shape", "data_offsets"})
    dtype, shape, offsets = fields.text("dtype"), fields.sequence("shape", int), fields.sequence("data_offsets", int)
    if dtype not in DTYPES:
        raise IntegrityError(f"tensor '{name[:60]}' has dtype {dtype[:20]}", f"allowed: {', '.join(DTYPES)}")
    if len(shape) not in (1, 2) or min(shape) < 1 or len(offsets) != 2 or min(offsets) < 0:  # noqa: PLR2004
        raise IntegrityError(
            f"tensor '{name[:60]}' has shape {list(shape)[:4]} or offsets that are not allowed", _AGAIN
        )
    if prod(shape) * DTYPES[dtype].itemsize != offsets[1] - offsets[0]:
        raise IntegrityError(f"tensor '{name[:60]}' has a shape that does not fill its bytes", _AGAIN)
    return TensorEntry(DTYPES[dtype], shape, *offsets)


def _check_tiling(entries: Mapping[str, TensorEntry], size: int) -> None:
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].start):
        if entry.start != position:
            raise IntegrityError(f"tensor '{name[:60]}' overlaps another or leaves a gap", _AGAIN)
        position = entry.stop
    if position != size:
        raise IntegrityError(f"the tensors take {position} bytes, but the file has {size}", _AGAIN)


def _map(view: memoryview, base: int, entry: TensorEntry) -> Array:
    return np.frombuffer(view, entry.dtype, prod(entry.shape), base + entry.start).reshape(entry.shape)
