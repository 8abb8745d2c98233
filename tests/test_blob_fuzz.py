"""Fuzzing the reader: blobs taken apart and put together otherwise are refused, or are what safetensors reads too."""

from __future__ import annotations

import json
from typing import Any

import safetensors
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests.blobs import BASE, BLOB, CARD, DATA, HEADER, LEAVES, Header, carded, made, paths, raw, replaced
from tests.golden import DTYPES, golden_blob
from vectorstore.codec import pack, unpack
from vectorstore.errors import IntegrityError

OFFSETS = st.integers(-8, 80) | st.sampled_from([2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 10**30])
DTYPE_NAMES = st.sampled_from(["F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "f32", "", "../x"])
NAMES = st.sampled_from(
    [*(name for name in HEADER if name != "__metadata__"), "resid_pre.3", "mlp_out.999999", "resid_pre.02", "x", ""]
)
TENSORS = st.fixed_dictionaries(
    {"dtype": DTYPE_NAMES, "shape": st.lists(OFFSETS, max_size=3), "data_offsets": st.lists(OFFSETS, max_size=3)},
    optional={"extra": LEAVES},
)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))
BLOBS = [golden_blob(dtype) for dtype in DTYPES]
DATAS = st.just(DATA) | st.binary(max_size=96) | st.integers(0, 96).map(bytes)


def refusal(blob: bytes) -> str:
    """Return why `blob` is refused, or nothing."""
    try:
        unpack(blob)
    except IntegrityError as error:
        return str(error)
    return ""


def check(blob: bytes) -> None:
    """Check that `blob` is refused, or packs again, and has the tensors that safetensors finds in it."""
    if trouble := refusal(blob):
        assert trouble.isprintable()
        assert len(trouble) < 500
        event("refused")
        return
    event("accepted")
    vector, card = unpack(blob)
    again = pack(vector, card)
    assert unpack(again) == unpack(blob, trusted=True) == (vector, card)
    assert pack(*unpack(again)) == again
    ours = {str(place): direction for place, direction in vector.directions.items()}
    ours |= {f"{place}.reference": reference for place, reference in vector.references.items()}
    theirs = {name: (tensor["shape"], bytes(tensor["data"])) for name, tensor in safetensors.deserialize(blob)}
    assert theirs == {name: (list(array.shape), array.tobytes()) for name, array in ours.items()}


@st.composite
def headers(draw: st.DrawFn) -> Header:
    """Draw the golden header with up to four parts of it changed, dropped, added or renamed."""
    header: Any = json.loads(json.dumps(HEADER))
    for _ in range(draw(st.integers(0, 4))):
        change = draw(st.sampled_from(["part", "drop", "tensor", "rename", "order"]))
        if change == "part" and header:
            header = replaced(header, draw(st.sampled_from(sorted(paths(header), key=str))), draw(LEAVES | OFFSETS))
        elif change == "drop" and header:
            header.pop(draw(st.sampled_from(sorted(header))))
        elif change == "tensor":
            header[draw(NAMES)] = draw(TENSORS)
        elif change == "rename" and header:
            header[draw(NAMES)] = header.pop(draw(st.sampled_from(sorted(header))))
        elif change == "order":
            header = {name: header[name] for name in draw(st.permutations(sorted(header)))}
    return header


@st.composite
def spliced(draw: st.DrawFn) -> bytes:
    """Draw a valid blob with up to four ranges of its bytes replaced, doubled or cut."""
    blob = draw(st.sampled_from(BLOBS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(blob)))
        stop = draw(st.integers(start, min(len(blob), start + 16)))
        blob = blob[:start] + draw(st.binary(max_size=16) | st.just(blob[start:stop] * 2)) + blob[stop:]
    return blob


@settings(deadline=None, max_examples=300)
@given(headers(), DATAS)
def test_any_header_over_any_data(header: Header, data: bytes):
    check(made(header, data))


@settings(deadline=None, max_examples=300)
@given(spliced())
@example(BLOB)
@example(raw(BLOB[8:BASE] + b" ", DATA))
def test_any_bytes_replaced_doubled_or_cut(blob: bytes):
    check(blob)


@st.composite
def cards(draw: st.DrawFn) -> Any:
    """Draw the golden card with two parts of it replaced by other JSON."""
    card: Any = CARD
    for _ in range(2):
        card = replaced(card, draw(st.sampled_from(sorted(paths(card), key=str))), draw(JSON))
    return card


@settings(deadline=None, max_examples=300)
@given(cards())
def test_any_two_parts_of_the_card(card: object):
    check(carded(card))


@settings(deadline=None, max_examples=300)
@given(JSON, DATAS)
def test_any_json_as_header(header: object, data: bytes):
    check(made(header, data))


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**64 - 1) | st.integers(0, 2**21), st.binary(max_size=256))
def test_any_length_and_any_bytes(length: int, rest: bytes):
    check(length.to_bytes(8, "little") + rest)
