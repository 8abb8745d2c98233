"""Blobs and JSON that somebody else might have made: the golden blob, taken apart and put together otherwise."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from tests.golden import golden_card, golden_vector
from vectorstore.codec import pack

Path = tuple[str | int, ...]
Header = dict[str, Any]
BLOB = pack(golden_vector(), golden_card())
BASE = 8 + int.from_bytes(BLOB[:8], "little")
HEADER: Header = json.loads(BLOB[8:BASE])
CARD: Header = json.loads(HEADER["__metadata__"]["card"])
DATA = BLOB[BASE:]
LEAVES = st.sampled_from(
    [None, True, False, 0, 1, -1, 2.5, -0.5, 10**30, 10**400, 1e308, "", "x", "../../etc/passwd", [], [1], {}, {"a": 1}]
)


def raw(header: bytes, data: bytes = DATA) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def made(header: object, data: bytes = DATA) -> bytes:
    """Return a blob of any JSON header, written as Python writes it: NaN and lone surrogates too."""
    return raw(json.dumps(header).encode(), data)


def altered(change: Callable[[Header], object], data: bytes = DATA) -> bytes:
    header = json.loads(json.dumps(HEADER))
    change(header)
    return made(header, data)


def carded(card: object) -> bytes:
    """Return the blob with another card, in canonical form where it has one."""
    text = json.dumps(card, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return altered(lambda header: header["__metadata__"].update(card=text))


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    """Yield the path to every part of a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from paths(child, (*path, key))


def replaced(value: Any, path: Path, leaf: object) -> Any:
    """Return `value` with another part at `path`."""
    value = copy.deepcopy(value)
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = leaf
    return value
