"""`.safetensors` of any tool, with the checks that our own blobs go through."""

from __future__ import annotations

from math import prod

import numpy as np

from vectorstore.card import Card
from vectorstore.codec import CARD_KEY, read_header, unpack
from vectorstore.vector import Array, SteeringVector


def read_safetensors(data: bytes, limit: int) -> dict[str, Array]:  # noqa: ARG001 - readers share a signature
    """Return the tensors by name, as views of `data`.

    Raises:
        IntegrityError: naming the first thing that is wrong.
    """
    entries, _, base = read_header(memoryview(data))
    return {
        name: np.frombuffer(data, entry.dtype, prod(entry.shape), base + entry.start).reshape(entry.shape)
        for name, entry in entries.items()
    }


def read_blob(data: bytes) -> tuple[SteeringVector, Card] | None:
    """Return the vector and card of one of our own blobs; None for another tool's file.

    Raises:
        IntegrityError: when it is broken, or its card is not true.
    """
    _, metadata, _ = read_header(memoryview(data))
    return unpack(data) if set(metadata) == {CARD_KEY} else None
