"""Canonical JSON and digests: one value, one spelling; and nothing is read that could not be written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectorstore.canonical import MAX_DEPTH, MAX_DIGITS, MAX_MARKS, canonical_bytes, digest, is_digest, strict_loads
from vectorstore.errors import IntegrityError, InvalidInputError

WORDS = st.text(st.characters(codec="utf-8"), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4))


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_keys_are_sorted_and_nothing_is_spaced():
    assert canonical_bytes({"b": [1, 2.0, None], "a": {"d": True, "c": "é/\n"}}) == (
        '{"a":{"c":"é/\\n","d":true},"b":[1,2.0,null]}'.encode()
    )


@given(JSON)
def test_what_is_written_reads_back_equal_and_writes_the_same_bytes(value: Any):
    data = canonical_bytes(value)
    assert strict_loads(data, "it") == value
    assert canonical_bytes(strict_loads(data, "it")) == data


@given(st.dictionaries(WORDS, LEAVES, max_size=6), st.randoms())
def test_the_order_of_keys_does_not_matter(value: dict[str, Any], random: Any):
    keys = list(value)
    random.shuffle(keys)
    assert canonical_bytes({key: value[key] for key in keys}) == canonical_bytes(value)


@pytest.mark.parametrize(
    "value", [float("nan"), [float("inf")], {"a": -float("inf")}, "\ud800", {"\udfff": 1}, {1, 2}, b"bytes"]
)
def test_what_json_has_no_word_for_is_refused(value: Any):
    with pytest.raises(InvalidInputError, match="cannot be kept as JSON"):
        canonical_bytes(value)


def test_a_value_that_holds_itself_is_refused():
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InvalidInputError, match="Circular"):
        canonical_bytes(value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Expecting value at character 1"),
        (b'{"a": 1', "delimiter at character 8"),
        (b'{"a": 1} x', "Extra data at character 10"),
        (b"{'a': 1}", "double quotes at character 2"),
        (b'"a\nb"', "control character"),
        (b"NaN", "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b"[1e999]", "1e999 is too large"),
        (b"[-1e999]", "-1e999 is too large"),
        (b'"\\ud800"', "surrogates not allowed"),
        (b'{"\\udc00": 1}', "surrogates not allowed"),
        (b"\xff", "can't decode byte 0xff"),
        (b"\xed\xa0\x80", "can't decode byte 0xed"),
        (b"\xef\xbb\xbf{}", "BOM"),
        ("{}".encode("utf-16"), "can't decode"),
        (b"9" * (MAX_DIGITS + 1), "a whole number of 1001 digits, where 1000 are allowed"),
        (b"-" + b"9" * MAX_DIGITS, "a whole number of 1001 digits, where 1000 are allowed"),
        (b'{"a": 1, "b": 2, "a": 1}', "key 'a' occurs twice"),
        (b'[{"a": {"b": 1, "b": 2}}]', "key 'b' occurs twice"),
        (nested(MAX_DEPTH + 1), "nested deeper than 64"),
        (nested(20_000), "recursion"),
        (b'{"a":' * 20_000, "recursion"),
        (nested(100_000), "100000 brackets, commas and colons, where 49152 are allowed"),
    ],
    ids=lambda value: str(value[:24]),
)
def test_json_that_is_not_strict_is_refused_by_name(data: bytes, reason: str):
    with pytest.raises(IntegrityError, match="the header is not valid JSON") as caught:
        strict_loads(data, "the header")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 300


def test_escaped_pairs_of_surrogates_are_whole_characters():
    assert strict_loads(b'"\\ud83d\\ude00"', "it") == "😀"


def test_json_may_nest_as_deep_as_the_limit():
    assert strict_loads(nested(MAX_DEPTH), "it") == json.loads(nested(MAX_DEPTH))


def test_json_may_have_as_many_marks_as_the_limit():
    assert len(strict_loads(b"[" + b"0," * (MAX_MARKS - 1) + b"0]", "it")) == MAX_MARKS
    with pytest.raises(IntegrityError, match=r"it is not valid JSON \(49153 brackets, commas and colons"):
        strict_loads(b"[" + b"0," * MAX_MARKS + b"0]", "it")


def test_whole_numbers_may_be_as_long_as_the_limit():
    assert strict_loads(b"9" * MAX_DIGITS, "it") == 10**MAX_DIGITS - 1


@pytest.mark.timeout(20)
def test_one_duplicate_among_many_keys_is_found_at_once():
    keys = [*range(24_000), 23_999]
    data = b"{" + b",".join(b'"%d":0' % key for key in keys) + b"}"
    with pytest.raises(IntegrityError, match="key '23999' occurs twice"):
        strict_loads(data, "the header")


@given(st.binary(max_size=64))
def test_any_bytes_are_json_or_an_integrity_error(data: bytes):
    try:
        value = strict_loads(data, "it")
    except IntegrityError:
        return
    assert value == json.loads(data)


@given(st.binary() | st.binary().map(bytearray) | st.binary().map(memoryview))
def test_a_digest_is_sha256_and_64_hex_digits(data: bytes):
    assert is_digest(digest(data))


def test_the_digest_of_nothing_is_the_one_in_the_standard():
    assert digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "a" * 64,
        f"sha256:{'a' * 63}",
        f"sha256:{'a' * 65}",
        f"sha256:{'A' * 64}",
        f"sha512:{'a' * 64}",
        f"sha256:{'a' * 64}\n",
        f" sha256:{'a' * 64}",
        f"sha256:../../{'a' * 58}",
        f"sha256:{'٣' * 64}",
    ],
)
def test_other_texts_are_no_digests(text: str):
    assert not is_digest(text)
