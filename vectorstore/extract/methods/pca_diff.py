"""repeng's pca_diff: the principal axis of differences less their mean.

The trap: the mean difference is what is taken off. What is left, and found, is how pairs differ among themselves.
"""

from __future__ import annotations

from vectorstore.card import Apply, MethodUse
from vectorstore.extract.axis import beside_mean, centred, differences, principal_axis, towards
from vectorstore.extract.positions import AT_INDEX, LAST_CONTENT, MEAN_ANSWER, MEAN_CONTENT, MEAN_NONSINK
from vectorstore.extract.protocols import ActivationMethod, Direction
from vectorstore.vector import Array


def direction(positive: Array, negative: Array, _use: MethodUse) -> Direction:
    """Return the unit axis `[d]`, pointing as most pairs do."""
    found = differences(positive, negative)
    return beside_mean(towards(principal_axis(centred(found, PCA_DIFF.name)), found), found)


PCA_DIFF = ActivationMethod(
    name="pca_diff",
    version="1",
    summary="Pairs: the main axis of their differences less the mean difference (beware); a unit direction",
    source="vgel/repeng, extract.py, method pca_diff",
    apply=Apply("all"),
    reads=(LAST_CONTENT, MEAN_CONTENT, MEAN_NONSINK, MEAN_ANSWER, AT_INDEX),
    direction=direction,
)
