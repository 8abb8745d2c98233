"""Tensors and cards that somebody else made: each blob is a vector with a true card, or one IntegrityError."""

from __future__ import annotations

import json
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.blobs import BLOB, CARD, DATA, HEADER, LEAVES, Header, Path, altered, carded, made, paths, raw, replaced
from tests.builders import make_card, make_vector
from tests.golden import TWO, golden_card, golden_vector
from vectorstore.canonical import canonical_bytes
from vectorstore.codec import pack, unpack
from vectorstore.errors import IntegrityError
from vectorstore.vector import SteeringVector

NAMES = ["attn_out.10", "resid_pre.2", "resid_pre.2.reference"]


def survives(blob: bytes) -> None:
    """Check that `blob` is refused, or is a vector that packs and reads back as itself."""
    try:
        vector, card = unpack(blob)
    except IntegrityError:
        return
    assert unpack(pack(vector, card)) == (vector, card)


def swap(header: Header) -> None:
    """Let the first tensor lie behind the second one."""
    header["attn_out.10"]["data_offsets"] = [16, 48]
    header["resid_pre.2"]["data_offsets"] = [0, 16]


def test_tensors_that_lie_in_another_order_are_read_where_they_lie():
    data = DATA[32:48] + DATA[:32] + DATA[48:]
    assert unpack(altered(swap, data)) == (golden_vector(), golden_card())


def test_tensors_that_changed_places_no_longer_match_the_card():
    with pytest.raises(IntegrityError, match="the card says norm"):
        unpack(altered(swap))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64])
def test_values_that_are_no_numbers_are_refused(dtype: type, value: float, name: str):
    blob = bytearray(pack(golden_vector(dtype), golden_card()))
    base = 8 + int.from_bytes(blob[:8], "little")
    start = base + json.loads(blob[8:base])[name]["data_offsets"][0]
    bits = np.array(value, dtype).tobytes()
    blob[start : start + len(bits)] = bits
    with pytest.raises(IntegrityError, match="the blob has NaN or infinite values"):
        unpack(bytes(blob))


def test_finite_values_whose_norm_is_not_are_refused():
    vector = SteeringVector({TWO: np.ones(4)})
    blob = pack(vector, make_card(vector))
    with pytest.raises(IntegrityError, match="but it is inf"):
        unpack(blob[:-32] + np.full(4, 1e200).tobytes())


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64])
def test_one_other_value_no_longer_matches_the_card(dtype: type):
    vector = make_vector(dtype=dtype)
    blob = bytearray(pack(vector, make_card(vector)))
    values = np.frombuffer(blob, dtype)
    values[-1] = values[-1] * 2 + 1
    with pytest.raises(IntegrityError, match="the card says norm"):
        unpack(bytes(blob))


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        (lambda card: card["norms"].update({"resid_pre.2": 5.001}), "the card says norm 5.001 at resid_pre.2"),
        (lambda card: card["norms"].update({"resid_pre.2": -5.0}), "the card says norm -5 at resid_pre.2"),
        (lambda card: card["norms"].update({"resid_pre.2": 5}), "not in its canonical form"),
        (lambda card: card["model"]["widths"].update(resid_pre=8), "width 4, but the card's model has width 8"),
        (lambda card: card["model"]["widths"].pop("attn_out"), "width 4, but the card's model has width None"),
        (lambda card: card["model"].update(layer_count=10), "width 4 and 10 layers"),
        (lambda card: card.update(note="kilroy"), "not in its canonical form"),
        (lambda card: card["model"].update(note="kilroy"), "not in its canonical form"),
        (lambda card: card["data"].update(items=None), "not in its canonical form"),
    ],
)
def test_a_card_that_is_not_true_or_not_canonical_is_refused(change: Callable[[Header], object], trouble: str):
    card = json.loads(json.dumps(CARD))
    change(card)
    with pytest.raises(IntegrityError) as caught:
        unpack(carded(card))
    assert trouble in str(caught.value)


def test_a_card_of_other_places_is_refused():
    vector = make_vector(4, width=4)
    with pytest.raises(IntegrityError, match="the card names other layers or sites than the vector has"):
        unpack(carded(make_card(vector).to_json()))


def test_items_above_64_kib_inside_the_card_are_refused():
    card = make_card(golden_vector(), items=({"positive": "x" * 65_536, "negative": ""},))
    inline = card.to_json()
    inline["data"]["items"] = list(card.data.items or ())
    with pytest.raises(IntegrityError, match="not in its canonical form"):
        unpack(carded(inline))


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
@example(7, 128)
@example(8, 1)
def test_a_flipped_byte_is_refused_or_harmless(position: int, bits: int):
    blob = bytearray(BLOB)
    blob[position] ^= bits
    survives(bytes(blob))


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200) | st.binary(max_size=200).map(raw) | st.binary(max_size=99).map(lambda x: raw(b"{" + x)))
def test_any_bytes_are_refused(data: bytes):
    with pytest.raises(IntegrityError):
        unpack(data)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(paths(HEADER), key=str)), LEAVES)
def test_any_part_of_the_header_may_be_of_another_type(path: Path, leaf: object):
    survives(made(replaced(HEADER, path, leaf)))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(paths(CARD), key=str)), LEAVES)
def test_any_part_of_the_card_may_be_of_another_type(path: Path, leaf: object):
    card = replaced(CARD, path, leaf)
    try:
        _, read = unpack(carded(card))
    except IntegrityError:
        return
    assert canonical_bytes(read.to_json()) == canonical_bytes(card)
