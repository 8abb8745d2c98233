"""repeng's pca_center: the principal axis of all activations, each less the middle of its pair.

These are half of each difference and its opposite. Their mean is zero, so PCA takes nothing off, and the axis is that
of the differences themselves.
"""

from __future__ import annotations

from vectorstore.card import Apply, MethodUse
from vectorstore.extract.axis import beside_mean, differences, principal_axis, towards
from vectorstore.extract.positions import AT_INDEX, LAST_CONTENT, MEAN_ANSWER, MEAN_CONTENT, MEAN_NONSINK
from vectorstore.extract.protocols import ActivationMethod, Direction
from vectorstore.vector import Array


def direction(positive: Array, negative: Array, _use: MethodUse) -> Direction:
    """Return the unit axis `[d]`, pointing as most pairs do."""
    found = differences(positive, negative)
    return beside_mean(towards(principal_axis(found), found), found)


PCA_CENTER = ActivationMethod(
    name="pca_center",
    version="1",
    summary="Pairs: the main axis of their activations about each pair's middle; a unit direction",
    source="vgel/repeng, extract.py, method pca_center; the same axis as steering-vectors' pca_aggregator",
    apply=Apply("all"),
    reads=(LAST_CONTENT, MEAN_CONTENT, MEAN_NONSINK, MEAN_ANSWER, AT_INDEX),
    direction=direction,
)
