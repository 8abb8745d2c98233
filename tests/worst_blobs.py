"""Blobs that cost most to refuse: as large as they may be, and wrong at the very end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from tests.blobs import CARD, DATA, HEADER, raw
from tests.builders import make_card, make_vector
from vectorstore.canonical import MAX_DEPTH, MAX_DIGITS, MAX_MARKS, canonical_bytes
from vectorstore.codec import DTYPES, MAX_BLOB, MAX_HEADER, MAX_TENSORS

Blob = bytes | memoryview
ROOM = MAX_HEADER - 2**12
PIECES: Mapping[str, str] = {
    "empty lists": "[]",
    "empty objects": "{}",
    "objects of lists": '{"a":[]}',
    "nested lists": "[" * (MAX_DEPTH - 8) + "]" * (MAX_DEPTH - 8),
    "small numbers": "1",
    "long numbers": "9" * MAX_DIGITS,
    "decimal numbers": "0.1234567890123456",
    "long fractions": "0." + "1" * 4096,
    "texts": '"é€"',
    "texts of emoji": f'"{"😀" * 256}"',
    "escapes": f'"{chr(92)}u0001{chr(92)}n"',
}


def filled(piece: str, *, marks: int = MAX_MARKS - 64, room: int = ROOM) -> str:
    """Return a JSON list of as many pieces as the limits leave room for, of which the last is padded with spaces."""
    each = 1 + sum(map(piece.count, "[{,:"))
    body = ",".join([piece] * min(marks // each, room // (len(piece.encode()) + 1)))
    return f"[{body}{' ' * (room - len(body.encode()))}]"


def in_header(piece: str) -> bytes:
    """Return a header of pieces, where a tensor's entry is due."""
    return raw(f'{{"a":{filled(piece)}}}'.encode())


def in_card(piece: str) -> bytes:
    """Return a card with a parameter of pieces that is true but for its spaces."""
    written = json.dumps({**CARD, "method": {**CARD["method"], "params": {"x": "X"}}}, ensure_ascii=False)
    escaped = len(json.dumps(piece, ensure_ascii=False).encode()) - 2  # of how much space the card has in the header
    room = ROOM * len(piece.encode()) // escaped - 2**12
    text = written.replace('"X"', filled(piece, marks=MAX_MARKS - 256, room=room))
    return raw(json.dumps({**HEADER, "__metadata__": {"card": text}}, ensure_ascii=False).encode(), DATA)


def many_names() -> bytes:
    """Return as many tensors as there may be, whose long names are no places."""
    entries = {
        f"{number:04}{'x' * 900}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * number, 4 * number + 4]}
        for number in range(MAX_TENSORS)
    }
    return raw(json.dumps({"__metadata__": HEADER["__metadata__"], **entries}).encode(), bytes(4 * MAX_TENSORS))


def twice_at_the_end() -> bytes:
    """Return as many keys as there may be, the first of which comes again at the end."""
    keys = [*range(MAX_MARKS // 2 - 1), 0]
    return raw(f"{{{','.join(f'{chr(34)}{key}{chr(34)}:0' for key in keys)}}}".encode())


def last_value(dtype: str, value: float, *, width: int = 1 << 14) -> memoryview:
    """Return the largest blob of zeros, `[positions, width]`, whose last value is another one."""
    place = make_vector().places[0]
    vector = make_vector(width=width)
    card = replace(make_card(vector), norms={place: 0.0})
    metadata = {"card": canonical_bytes(card.to_json()).decode()}
    itemsize = DTYPES[dtype].itemsize
    rows = (MAX_BLOB - 2**13) // (width * itemsize)
    size = rows * width * itemsize
    entry = {"dtype": dtype, "shape": [rows, width], "data_offsets": [0, size]}
    start = raw(json.dumps({"__metadata__": metadata, str(place): entry}).encode(), b"")
    blob = np.zeros(len(start) + size, np.uint8)
    blob[: len(start)] = np.frombuffer(start, np.uint8)
    blob[-itemsize:] = np.frombuffer(np.array(value, DTYPES[dtype]).tobytes(), np.uint8)
    return memoryview(blob)


HEADERS: Mapping[str, Callable[[], Blob]] = {
    **{f"header of {name}": partial(in_header, piece) for name, piece in PIECES.items()},
    **{f"card of {name}": partial(in_card, piece) for name, piece in PIECES.items()},
    "header of more brackets than allowed": lambda: raw(f'{{"a":{"[]," * (ROOM // 3)}[]}}'.encode()),
    "header of nothing but nesting": lambda: raw(b'{"a":' * (ROOM // 5)),
    "a key twice, at the end": twice_at_the_end,
    "1,024 tensors with long names": many_names,
}
VALUES: Mapping[str, Callable[[], Blob]] = {
    **{f"NaN at the end, {dtype}": partial(last_value, dtype, np.nan) for dtype in DTYPES},
    **{f"a false norm at the end, {dtype}": partial(last_value, dtype, 1.0) for dtype in DTYPES},
    "a false norm at the end, width 1": partial(last_value, "BF16", 1.0, width=1),
    "a false norm at the end, width 2": partial(last_value, "BF16", 1.0, width=2),
    "a false norm at the end, width 33,000,000": partial(last_value, "F32", 1.0, width=33_000_000),
}
