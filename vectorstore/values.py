"""Values of tensors, looked at in blocks: quickly, and without a copy as large as the tensor."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vectorstore.vector import Array

BLOCK = 1 << 18  # the values that are checked at once: they fit into the cache, and into any memory
SHORT = 64


def is_finite(array: Array) -> bool:
    """Return whether no value is NaN or infinite, by the bits: as fast in bfloat16 as in float32."""
    dtype = array.dtype
    unsigned = np.dtype(f"u{dtype.itemsize}")
    magnitude = np.array(np.inf, dtype).view(unsigned)  # NaN and infinity are the patterns from this one on
    sign = unsigned.type(1 << (8 * dtype.itemsize - 1))
    flat = array.reshape(-1).view(unsigned)
    return all((flat[start : start + BLOCK] & ~sign).max() < magnitude for start in range(0, flat.size, BLOCK))


def block_norm(direction: Array) -> float:
    """Return what `direction_norm` does, to its last digits or so, in blocks: no copy as large as the blob is made."""
    width = direction.shape[-1]
    rows = direction.reshape(-1, width)  # (positions, width)
    high = max(1, BLOCK // width)
    room = np.empty(min(BLOCK, direction.size))  # one for all blocks: fresh memory costs more than the sums
    with np.errstate(over="ignore", invalid="ignore"):  # signaling NaN too
        blocks = (rows[top : top + high] for top in range(0, len(rows), high))
        squares = [np.max(sum(_squares(part, room) for part in _columns(block))) for block in blocks]
    return float(np.sqrt(np.max(squares)))


def _columns(block: Array) -> Iterator[Array]:
    """Yield all columns of a block, as many at a time as fit into one room."""
    wide = min(block.shape[1], BLOCK)
    return (block[:, left : left + wide] for left in range(0, block.shape[1], wide))


def _squares(part: Array, room: Array) -> Array:
    """Return the sum of squares of each row of `[positions, columns]`, `[positions]`, which may lie in `room`."""
    wide = room[: part.size].reshape(part.shape)
    wide[...] = part
    np.square(wide, out=wide)
    if part.shape[1] == 1:
        return wide[:, 0]
    # numpy's own sum is slow over short rows, and BLAS over long ones where its threads have no cores to themselves
    return wide @ np.ones(part.shape[1]) if part.shape[1] < SHORT else wide.sum(axis=1)
