"""Canonical JSON and digests: the same value always gives the same bytes, on every machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from math import isinf
from typing import Any

from vectorstore.errors import IntegrityError, InvalidInputError

Json = dict[str, Any]
MAX_DEPTH = 64
MAX_DIGITS = 1000
MAX_MARKS = 3 << 14
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def canonical_bytes(value: object) -> bytes:
    """Return `value` as JSON: sorted keys, no spaces, UTF-8, no NaN.

    Raises:
        InvalidInputError: for what JSON has no word for: NaN, infinity, half a surrogate pair, other types.
    """
    try:
        return _ENCODER.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"a value cannot be kept as JSON ({error})", "use finite numbers, well-formed text, lists and mappings"
        ) from error


def strict_loads(data: bytes, what: str) -> Any:  # noqa: ANN401 - JSON is any of its types
    """Parse JSON that somebody else wrote: UTF-8, no duplicate keys, no NaN, and no more of anything than needed.

    It may have MAX_MARKS brackets, commas and colons, whole numbers of MAX_DIGITS, and nest as deep as MAX_DEPTH: what
    is larger is refused in milliseconds. What it returns can always be written again by `canonical_bytes`.

    Raises:
        IntegrityError: for anything else; `what` names the bytes in the message.
    """
    try:
        _check_marks(data)
        value = json.loads(data.decode(), **_STRICTLY)
        _check_depth(value)
        if b"\\u" in data:
            canonical_bytes(value)  # refuses lone surrogates, which nothing else can spell
    except (ValueError, RecursionError, InvalidInputError) as error:
        raise IntegrityError(
            f"{what} is not valid JSON ({_reason(error)})", "get the file again from where it came"
        ) from error
    return value


def check_text(text: str, what: str) -> str:
    """Return `text` where it can be written as UTF-8.

    Raises:
        InvalidInputError: where it has lone surrogates, as bytes of another encoding become on the command line.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{what} is not valid UTF-8 (at character {error.start + 1})", "write it in UTF-8"
        ) from error
    return text


def digest(data: bytes | bytearray | memoryview) -> str:
    """Return `sha256:` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def is_digest(text: str) -> bool:
    """Return whether `text` is `sha256:` and 64 lower-case hex digits."""
    return _DIGEST.fullmatch(text) is not None


def _check_marks(data: bytes) -> None:
    """Bound what parsing costs before it starts: each value takes a mark, and some 100 bytes and 500 ns."""
    marks = sum(map(data.count, (b"[", b"{", b",", b":")))
    if marks > MAX_MARKS:
        raise ValueError(f"{marks} brackets, commas and colons, where {MAX_MARKS} are allowed")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:  # the time to read one grows with the square of its length
        raise ValueError(f"a whole number of {len(text)} digits, where {MAX_DIGITS} are allowed")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"{text[:60]} is too large")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {twice[:60]!r} occurs twice")
    return result


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        children = (
            item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)
        )
        level = [item for values in children for item in values]
        if not level:
            return
    raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos + 1}"
    return error.problem if isinstance(error, InvalidInputError) else str(error)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_STRICTLY: dict[str, Any] = {
    "object_pairs_hook": _unique,
    "parse_constant": _no_constant,
    "parse_int": _integer,
    "parse_float": _finite,
}
