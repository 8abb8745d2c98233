"""Canonical JSON and digests: the same value always gives the same bytes, on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from vectorstore.errors import IntegrityError

Json = dict[str, Any]


def canonical_bytes(value: object) -> bytes:
    """Return `value` as JSON: sorted keys, no spaces, UTF-8, no NaN.

    Raises:
        ValueError: for NaN or infinity, which JSON has no word for.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def strict_loads(data: bytes, what: str) -> Any:  # noqa: ANN401 - JSON is any of its types
    """Parse JSON that somebody else wrote: no duplicate keys, no NaN, UTF-8 only.

    Raises:
        IntegrityError: for anything else; `what` names the bytes in the message.
    """
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{what} is not valid JSON ({error})", "get the file again from where it came") from error


def digest(data: bytes | bytearray | memoryview) -> str:
    """Return `sha256:` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice[:60]!r} occurs twice")
    return result


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
