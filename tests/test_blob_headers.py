"""Headers that somebody else made are refused before any tensor is built, in one line."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest

from tests.blobs import BASE, BLOB, CARD, HEADER, Header, altered, carded, made, raw
from tests.golden import golden_card, golden_vector
from vectorstore.codec import MAX_HEADER, unpack
from vectorstore.errors import IntegrityError


def tensor(**changes: object) -> Callable[[Header], object]:
    """Change parts of the last tensor's entry."""
    return lambda header: header["resid_pre.2.reference"].update(changes)


def test_the_blob_that_all_others_are_made_of_is_read():
    assert unpack(made(HEADER)) == (golden_vector(), golden_card())
    assert unpack(carded(CARD)) == (golden_vector(), golden_card())


@pytest.mark.parametrize("trusted", [False, True])
def test_a_blob_truncated_anywhere_is_refused(trusted: bool):  # noqa: FBT001 - a parameter of the test
    for length in range(len(BLOB)):
        with pytest.raises(IntegrityError):
            unpack(BLOB[:length], trusted=trusted)


@pytest.mark.parametrize("more", [b"\0", b"x" * 64, BLOB])
def test_trailing_bytes_are_refused(more: bytes):
    with pytest.raises(IntegrityError, match=f"the tensors take 64 bytes, but the file has {64 + len(more)}"):
        unpack(BLOB + more)


@pytest.mark.parametrize("length", [0, 1, BASE - 9, BASE - 7, len(BLOB) - 8, len(BLOB) - 7, MAX_HEADER + 1, 2**64 - 1])
def test_a_header_length_that_lies_is_refused(length: int):
    with pytest.raises(IntegrityError):
        unpack(length.to_bytes(8, "little") + BLOB[8:])


@pytest.mark.timeout(30)
def test_a_header_of_79_mb_is_refused_before_it_is_parsed():
    blob = raw(b"{" + b'"resid_pre.2":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},' * 1_300_000 + b"}", b"")
    assert len(blob) > 79_000_000
    tracemalloc.start()
    with pytest.raises(IntegrityError, match="header is too long"):
        unpack(blob)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize("opening", [b'{"a":', b"["])
def test_a_header_of_nothing_but_nesting_is_refused(opening: bytes):
    nest = opening * ((MAX_HEADER - 8) // len(opening))
    with pytest.raises(IntegrityError):
        unpack(raw(b'{"a":' + nest))


def test_a_card_nested_deeper_than_any_computation_makes_is_refused():
    params: object = 1
    for _ in range(900):
        params = [params]
    with pytest.raises(IntegrityError, match=r"the card is not valid JSON \(nested deeper than 64\)"):
        unpack(carded(CARD | {"method": CARD["method"] | {"params": {"x": params}}}))


@pytest.mark.parametrize(
    ("header", "trouble"),
    [
        (b" " + json.dumps(HEADER).encode(), "the header is not a JSON object"),
        (b"[]" + b" " * 40, "the header is not a JSON object"),
        (b'"header"', "the header is not a JSON object"),
        (json.dumps(HEADER).encode() + b"}", "Extra data"),
        (json.dumps(HEADER).encode() + b"\0", "Extra data"),
        (json.dumps(HEADER).encode()[:-1] + b',"resid_pre.2":1}', "key 'resid_pre.2' occurs twice"),
        (json.dumps(HEADER).encode()[:-1] + b',"__metadata__":{}}', "key '__metadata__' occurs twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "the header is not valid JSON"),
        (b'{"a": ' + b"9" * 1001 + b"}", "a whole number of 1001 digits"),
        (b'{"\xff": 1}', "can't decode byte 0xff"),
        (b'{"\\ud800": 1}', "surrogates not allowed"),
        (b"{}", "the blob has 0 tensors"),
    ],
    ids=lambda value: str(value[-24:]),
)
def test_a_header_that_is_not_strict_json_is_refused(header: bytes, trouble: str):
    with pytest.raises(IntegrityError) as caught:
        unpack(raw(header))
    assert trouble in str(caught.value)


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        (tensor(dtype="I64"), "has dtype I64; allowed: F64, F32, F16, BF16"),
        (tensor(dtype="f32"), "has dtype f32"),
        (tensor(dtype="F8_E4M3"), "has dtype F8_E4M3"),
        (tensor(dtype=None), "has a dtype that is not text"),
        (tensor(dtype="F64"), "shape that does not fill its bytes"),
        (tensor(shape=[0], data_offsets=[48, 48]), "has shape [0] or offsets that are not allowed"),
        (tensor(shape=[]), "has shape []"),
        (tensor(shape=[1, 1, 4]), "has shape [1, 1, 4]"),
        (tensor(shape=[-4]), "has shape [-4]"),
        (tensor(shape=[-2, -2]), "has shape [-2, -2]"),
        (tensor(shape=[4.0]), "has a shape that is not a whole number"),
        (tensor(shape=[True, 4]), "has a shape that is not a whole number"),
        (tensor(shape=["4"]), "has a shape that is not a whole number"),
        (tensor(shape=[10**30]), "has a number in shape that is too large"),
        (tensor(shape=[10**900]), "has a number in shape that is too large"),
        (tensor(shape=[2**62, 2**62]), "shape that does not fill its bytes"),
        (tensor(shape=4), "has a shape that is not a list"),
        (tensor(shape=[3]), "shape that does not fill its bytes"),
        (tensor(data_offsets=[48, 64, 64]), "offsets that are not allowed"),
        (tensor(data_offsets=[48]), "offsets that are not allowed"),
        (tensor(data_offsets=[64, 48]), "shape that does not fill its bytes"),
        (tensor(data_offsets=[-16, 0]), "offsets that are not allowed"),
        (tensor(data_offsets=[48.0, 64.0]), "data_offsets that is not a whole number"),
        (tensor(data_offsets=[False, 16]), "data_offsets that is not a whole number"),
        (tensor(data_offsets=[10**30, 10**30 + 16]), "number in data_offsets that is too large"),
        (tensor(data_offsets=[32, 48]), "overlaps another or leaves a gap"),
        (tensor(data_offsets=[40, 56]), "overlaps another or leaves a gap"),
        (tensor(data_offsets=[52, 68]), "overlaps another or leaves a gap"),
        (tensor(extra=1), "has an unknown part 'extra'"),
        (lambda header: header["resid_pre.2"].pop("shape"), "has no shape"),
        (lambda header: header.update({"resid_pre.2": None}), "tensor 'resid_pre.2' is not a JSON object"),
        (lambda header: header.pop("resid_pre.2.reference"), "the tensors take 48 bytes, but the file has 64"),
        (lambda header: header.pop("resid_pre.2"), "overlaps another or leaves a gap"),
        (lambda header: header.pop("__metadata__"), "metadata is not the one key 'card'"),
        (lambda header: header.update(__metadata__={}), "metadata is not the one key 'card'"),
        (lambda header: header["__metadata__"].update(format="pt"), "metadata is not the one key 'card'"),
        (lambda header: header.update(__metadata__=None), "has a metadata that is not an object"),
        (lambda header: header["__metadata__"].update(card=CARD), "has a metadata that is not text"),
        (lambda header: header["__metadata__"].update(card="\ud800"), "surrogates not allowed"),
        (lambda header: header["__metadata__"].update(card="{"), "the card is not valid JSON"),
        (lambda header: header["__metadata__"].update(card="[]"), "the card is not a JSON object"),
        (lambda header: header["__metadata__"].update(card=" " + header["__metadata__"]["card"]), "canonical form"),
    ],
)
def test_a_tensor_or_metadata_that_pack_would_not_write_is_refused(change: Callable[[Header], object], trouble: str):
    with pytest.raises(IntegrityError) as caught:
        unpack(altered(change))
    assert trouble in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "resid_pre/2",
        "resid_pre.02",
        "resid_pre.-2",
        "resid_pre.2.reference.reference",
        "resid_pre.3.reference",
        ".reference",
        "",
        "hidden.2",
        "resid_pre.٢",
        "resid_pre.2\x1b[2J",
        "x" * 100_000,
    ],
    ids=lambda name: ascii(name[:32]),
)
def test_a_tensor_with_another_name_is_refused_in_one_safe_line(name: str):
    def rename(header: Header) -> None:
        header[name] = header.pop("resid_pre.2.reference")

    with pytest.raises(IntegrityError, match="the blob is not a steering vector") as caught:
        unpack(altered(rename))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_more_than_1024_tensors_are_refused():
    entries = {
        f"resid_pre.{n}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]} for n in range(1025)
    }
    with pytest.raises(IntegrityError, match="the blob has 1025 tensors; 1 to 1024 are allowed"):
        unpack(made({"__metadata__": HEADER["__metadata__"], **entries}, bytes(4 * 1025)))
