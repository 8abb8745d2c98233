"""The bytes of a vector: safetensors, with the card as its one metadata key; and every check on foreign bytes.

`pack` and `unpack` are inverse: the same vector and card always give the same bytes. safetensors' own reader accepts
duplicate names, paths as names, NaN, and headers of tens of megabytes, so everything is checked here before any
tensor is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
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
from vectorstore.values import block_norm, is_finite
from vectorstore.vector import Array, SteeringVector

CARD_KEY = "card"
REFERENCE_SUFFIX = ".reference"
MAX_HEADER = 1 << 20
MAX_TENSORS = 1024
MAX_BLOB = 1 << 27  # 126 layers of width 16,384 in float32 take 8 MB; 16 times that is read in some 0.1 s
DTYPES: Mapping[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
KNOWN_HEADER = 1 << 15
_AGAIN = "get the file again from where it came, or compute the vector again"


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of the header: its dtype, shape, and byte range after the header."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int

    def array(self, data: memoryview) -> Array:
        """Return the tensor, a view of the data behind the header."""
        return np.ndarray(self.shape, self.dtype, data, self.start)


@dataclass(frozen=True)
class Layout:
    """What a header says: the card, and where in the data behind the header each direction and reference lies."""

    card: Card
    card_text: bytes
    directions: Mapping[Place, TensorEntry]
    references: Mapping[Place, TensorEntry]

    def vector(self, data: memoryview) -> SteeringVector:
        """Return the vector of views of `data`, which is read-only."""
        return SteeringVector.of_views(
            {place: entry.array(data) for place, entry in self.directions.items()},
            {place: entry.array(data) for place, entry in self.references.items()},
        )


def pack(vector: SteeringVector, card: Card) -> bytes:
    """Return the blob of a vector: always the same bytes for the same vector and card.

    Raises:
        InvalidInputError: for what `unpack` would refuse: a card of other directions, NaN, a card that is too large.
    """
    tensors = _tensors(vector)
    if not _finite(vector):
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
    header, base = _header_bytes(view)
    layout = (_known if trusted and len(header) <= KNOWN_HEADER else _layout)(header, len(view) - base)
    vector = layout.vector(view[base:])
    if not trusted:
        _check_values(vector, layout)
    return vector, layout.card


def read_header(view: memoryview) -> tuple[dict[str, TensorEntry], Mapping[str, str], int]:
    """Return the tensors of a safetensors file, its metadata, and where its data begins.

    Checks sizes first, then strict JSON, names' count, dtypes, shapes, and that the tensors tile the file exactly.

    Raises:
        IntegrityError: naming the first thing that is wrong.
    """
    header, base = _header_bytes(view)
    return *_entries(header, len(view) - base), base


def check_card(vector: SteeringVector, card: Card) -> None:
    """Check that `card` describes `vector`: places, widths and norms.

    Raises:
        InvalidInputError: naming the first difference.
    """
    _check_shapes({place: direction.shape for place, direction in vector.directions.items()}, card)
    for place, direction in vector.directions.items():
        norm = block_norm(direction)
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


def _layout(header: bytes, size: int) -> Layout:
    """Return what a header says of `size` bytes of tensors, after every check that needs no look at them."""
    entries, metadata = _entries(header, size)
    if set(metadata) != {CARD_KEY}:
        raise IntegrityError(
            f"the blob's metadata is not the one key '{CARD_KEY}'", "use `steer import` for other files"
        )
    text = metadata[CARD_KEY].encode()
    card = Card.from_json(strict_loads(text, "the card"))
    directions: dict[Place, TensorEntry] = {}
    references: dict[Place, TensorEntry] = {}
    with _integrity("the blob is not a steering vector: "):
        for name, entry in entries.items():
            kind = references if name.endswith(REFERENCE_SUFFIX) else directions
            kind[Place.parse(name.removesuffix(REFERENCE_SUFFIX))] = entry
    with _integrity():
        _check_shapes({place: entry.shape for place, entry in directions.items()}, card)
    _check_references(directions, references)
    return Layout(card, text, _in_order(directions), _in_order(references))


def _in_order(entries: Mapping[Place, TensorEntry]) -> dict[Place, TensorEntry]:
    return {place: entries[place] for place in sorted(entries, key=lambda place: place.order)}


def _check_references(directions: Mapping[Place, TensorEntry], references: Mapping[Place, TensorEntry]) -> None:
    for place, entry in references.items():
        if place not in directions or entry.shape != directions[place].shape[-1:]:
            raise IntegrityError(
                f"the blob is not a steering vector: the reference at {place} belongs to no direction of its width",
                _AGAIN,
            )


_known = lru_cache(maxsize=512)(_layout)
"""Headers that were read before, byte for byte: reading one again takes longer than reading its tensors."""


def _check_shapes(shapes: Mapping[Place, tuple[int, ...]], card: Card) -> None:
    if set(card.places) != set(shapes):
        raise InvalidInputError("the card names other layers or sites than the vector has", "use the card of compute()")
    for place, shape in shapes.items():
        width = card.model.widths.get(place.site)
        if shape[-1] != width or place.layer >= card.model.layer_count:
            raise InvalidInputError(
                f"the direction at {place} has width {shape[-1]}, but the card's model has width {width} "
                f"and {card.model.layer_count} layers",
                "use the card of compute()",
            )


def _check_values(vector: SteeringVector, layout: Layout) -> None:
    if canonical_bytes(layout.card.to_json()) != layout.card_text:
        raise IntegrityError("the card is not in its canonical form", _AGAIN)
    if not _finite(vector):
        raise IntegrityError("the blob has NaN or infinite values", _AGAIN)
    with _integrity():
        check_card(vector, layout.card)


def _finite(vector: SteeringVector) -> bool:
    return all(map(is_finite, (*vector.directions.values(), *vector.references.values())))


@contextmanager
def _integrity(start: str = "") -> Iterator[None]:
    """Say of bytes that somebody else made what we say of values that somebody gives."""
    try:
        yield
    except InvalidInputError as error:
        raise IntegrityError(f"{start}{error.problem}", _AGAIN) from error


def _header_bytes(view: memoryview) -> tuple[bytes, int]:
    if not 8 < len(view) <= MAX_BLOB:  # noqa: PLR2004 - the length of the length
        raise IntegrityError(f"the blob has {len(view)} bytes", f"9 to {MAX_BLOB} are allowed; {_AGAIN}")
    length = int.from_bytes(view[:8], "little")
    if length > min(MAX_HEADER, len(view) - 8):
        raise IntegrityError(f"the blob is truncated, or its header is too long ({length} bytes)", _AGAIN)
    return bytes(view[8 : 8 + length]), 8 + length


def _entries(header: bytes, size: int) -> tuple[dict[str, TensorEntry], Mapping[str, str]]:
    if not header.startswith(b"{"):
        raise IntegrityError("the header is not a JSON object", _AGAIN)
    fields = strict_loads(header, "the header")
    metadata = Fields({"metadata": fields.pop("__metadata__", {})}, "the header").mapping("metadata", str)
    if not 0 < len(fields) <= MAX_TENSORS:
        raise IntegrityError(f"the blob has {len(fields)} tensors", f"1 to {MAX_TENSORS} are allowed")
    entries = {name: _entry(name, value) for name, value in fields.items()}
    _check_tiling(entries, size)
    return entries, metadata


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
