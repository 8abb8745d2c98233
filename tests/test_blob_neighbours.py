"""The legal side of each limit: blobs that nobody would write, and that are read all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import safetensors

from tests.blobs import BASE, BLOB, DATA, HEADER, altered, made, raw
from tests.builders import make_card, make_vector
from tests.golden import DTYPES, TWO, golden_blob, golden_card, golden_vector
from vectorstore.canonical import MAX_MARKS
from vectorstore.card import INLINE_ITEMS, ReadPositions
from vectorstore.codec import MAX_HEADER, MAX_TENSORS, pack, unpack
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.place import Place
from vectorstore.vector import SteeringVector


def packed(vector: SteeringVector) -> bytes:
    return pack(vector, make_card(vector))


def spaced(length: int) -> bytes:
    """Return the golden blob with a header of `length` bytes."""
    return raw(BLOB[8:BASE].rstrip() + b" " * (length - len(BLOB[8:BASE].rstrip())), DATA)


def spoken(text: str) -> bytes:
    """Return the golden vector, read at a token of this text."""
    return pack(golden_vector(), replace(golden_card(), read=ReadPositions("all", ((text,),))))


def inline(text: str) -> bytes:
    vector = make_vector()
    return pack(vector, make_card(vector, items=({"positive": text, "negative": ""},)))


ITEM = INLINE_ITEMS - len(b'{"negative":"","positive":""}\n')
ACCEPTED: dict[str, Callable[[], bytes]] = {
    **{dtype: lambda dtype=dtype: golden_blob(dtype) for dtype in DTYPES},
    "1,024 tensors": lambda: packed(make_vector(range(MAX_TENSORS), width=1)),
    "512 directions with references": lambda: packed(
        SteeringVector(
            make_vector(range(512), width=2).directions,
            {Place("resid_pre", layer): np.ones(2, np.float32) for layer in range(512)},
        )
    ),
    "a header of 1 MiB": lambda: spaced(MAX_HEADER),
    "a header of no round length": lambda: spaced(BASE - 8 + 3),
    "the shortest header": lambda: raw(BLOB[8:BASE].rstrip(), DATA),
    "a header with escapes": lambda: made(HEADER),
    "a header with spaces": lambda: raw(json.dumps(HEADER, indent=4).encode(), DATA),
    "the card behind the tensors": lambda: made(dict(reversed(HEADER.items()))),
    "one number": lambda: packed(make_vector(0, width=1)),
    "one row": lambda: packed(make_vector(positions=1)),
    "more rows than columns": lambda: packed(make_vector(positions=5000, width=1)),
    "a direction of 0": lambda: packed(make_vector() * 0),
    "minus 0": lambda: packed(SteeringVector({TWO: np.array([-0.0, 1], np.float32)})),
    "the smallest numbers": lambda: packed(SteeringVector({TWO: np.full(4, 5e-324)})),
    "the largest float16": lambda: packed(SteeringVector({TWO: np.full(4, 65504, np.float16)})),
    "the largest bfloat16": lambda: packed(SteeringVector({TWO: np.full(4, 3.3895e38).astype(DTYPES["bfloat16"])})),
    "the largest float32": lambda: packed(SteeringVector({TWO: np.full(4, np.finfo(np.float32).max)})),
    "a float64 whose norm is finite": lambda: packed(SteeringVector({TWO: np.array([1e154, 0, 0, 0])})),
    "the largest layer number": lambda: packed(make_vector(999_999)),
    "all dtypes at once": lambda: packed(
        SteeringVector({Place("mlp_out", n): np.ones(4, kind) for n, kind in enumerate(DTYPES.values())})
    ),
    "emoji": lambda: spoken("😀👩‍👩‍👧"),
    "text from right to left": lambda: spoken("\u202eאבג"),
    "control characters": lambda: spoken("\0\x01\x1b[2J\x7f\n\u2028"),
    "quotes and braces": lambda: spoken('"}{\\"][,:'),
    "a card of 200 KB": lambda: spoken("é" * 100_000),
    "items of 64 KiB in the card": lambda: inline("x" * ITEM),
    "items of 45 KB of commas": lambda: inline("," * (ITEM - 20_000)),
}


@pytest.mark.parametrize("make", ACCEPTED.values(), ids=ACCEPTED)
def test_it_is_read_packed_again_and_read_alike_by_safetensors(make: Callable[[], bytes]):
    blob = make()
    vector, card = unpack(blob)
    assert unpack(pack(vector, card)) == unpack(blob, trusted=True) == (vector, card)
    theirs = {name: (tensor["shape"], bytes(tensor["data"])) for name, tensor in safetensors.deserialize(blob)}
    ours = {str(place): direction for place, direction in vector.directions.items()}
    ours |= {f"{place}.reference": reference for place, reference in vector.references.items()}
    assert theirs == {name: (list(array.shape), array.tobytes()) for name, array in ours.items()}


@pytest.mark.parametrize(
    ("blob", "trouble"),
    [
        (spaced(MAX_HEADER + 1), "header is too long"),
        (BLOB[:8], "the blob has 8 bytes; 9 to 134217728 are allowed"),
        (b"", "the blob has 0 bytes"),
        (raw(b"", b"x"), "the header is not a JSON object"),
        (altered(lambda header: header.update({"resid_pre.1000000": header.pop("resid_pre.2")})), "is not a place"),
        (made(HEADER, DATA[:-1]), "the tensors take 64 bytes, but the file has 63"),
    ],
    ids=lambda value: str(value[:32]),
)
def test_one_step_further_it_is_refused(blob: bytes, trouble: str):
    with pytest.raises(IntegrityError) as caught:
        unpack(blob)
    assert trouble in str(caught.value)


def test_a_card_of_more_parts_than_are_read_is_not_packed():
    card = replace(golden_card(), read=ReadPositions("all", (("",) * MAX_MARKS,)))
    with pytest.raises(InvalidInputError, match=r"cannot be kept: the header is not valid JSON .* brackets, commas"):
        pack(golden_vector(), card)
