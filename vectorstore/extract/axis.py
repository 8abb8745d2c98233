"""Axis: the principal axis of many differences, which way it points, and how near it is to their mean."""

from __future__ import annotations

import numpy as np

from vectorstore.errors import InvalidInputError
from vectorstore.extract.protocols import Direction
from vectorstore.vector import Array

COSINE_TO_MEAN = "cosine_to_mean"
"""The figure under which a card keeps a direction's cosine with the mean difference of its pairs."""

APART = 0.5
"""A direction whose cosine with the mean difference is below this is little of what the pairs have in common."""

_ALIKE = 1e-6  # of the differences' norm: float32 activations of one text in two batches differ by less


def differences(positive: Array, negative: Array) -> Array:
    """Return `positive - negative` `[n, d]` in float64."""
    wide: Array = positive.astype(np.float64) - negative
    return wide


def centred(rows: Array, name: str) -> Array:
    """Return `rows` `[n, d]` less their mean; `name` is the method that asks.

    Raises:
        InvalidInputError: when nothing is left of them: there is one row, or all are alike.
    """
    rest: Array = rows - rows.mean(axis=0)
    if np.linalg.norm(rest) <= _ALIKE * np.linalg.norm(rows):
        raise InvalidInputError(
            f"{name} takes the mean off the differences of {len(rows)} pairs, and nothing is left",
            "give pairs that differ in several ways, or use mean_difference",
        )
    return rest


def principal_axis(rows: Array) -> Array:
    """Return the unit axis `[d]` along which rows `[n, d]` are longest, by least squares; zero where all rows are.

    It is the first right singular vector, from the smaller of both Gram matrices, `[n, n]` or `[d, d]`. Take the mean
    off first where variance is meant. Which of its two ways it points is left to chance: see `towards`.
    """
    if not rows.any():
        return np.zeros(rows.shape[1])
    count, width = rows.shape
    gram = rows @ rows.T if count < width else rows.T @ rows
    longest = np.linalg.eigh(gram).eigenvectors[:, -1]
    axis: Array = longest @ rows if count < width else longest
    unit: Array = axis / np.linalg.norm(axis)
    return unit


def towards(axis: Array, rows: Array) -> Array:
    """Return `axis` or its opposite: the way that more of the rows `[n, d]` point.

    Where as many point either way, their sum decides; where that is zero too, the axis' largest part is positive.
    """
    along = rows @ axis
    votes = (np.sign(along).sum(), along.sum(), axis[np.abs(axis).argmax()])
    return -axis if next((vote for vote in votes if vote), 1) < 0 else axis


def beside_mean(direction: Array, rows: Array) -> Direction:
    """Return the direction with its cosine with the mean of `rows` `[n, d]`, for the card; 0 where that is zero."""
    mean = rows.mean(axis=0)
    lengths = float(np.linalg.norm(direction) * np.linalg.norm(mean))
    cosine = float(direction @ mean) / lengths if lengths else 0.0
    return Direction(direction, figures={COSINE_TO_MEAN: cosine})
