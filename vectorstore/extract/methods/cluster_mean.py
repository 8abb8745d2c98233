"""Cluster mean: the mean activation of the texts of one label, less that of all others; each text counts alike."""

from __future__ import annotations

from vectorstore.card import Apply, MethodUse
from vectorstore.extract.moments import Moments
from vectorstore.extract.positions import AT_INDEX, LAST_CONTENT, MEAN_ANSWER, MEAN_CONTENT, MEAN_NONSINK
from vectorstore.extract.protocols import MomentMethod
from vectorstore.vector import Array


def direction(labelled: Moments, others: Moments, _use: MethodUse) -> Array:
    """Return the difference of the two means `[d]`, accumulated in float64, not normalised."""
    return labelled.mean - others.mean


CLUSTER_MEAN = MomentMethod(
    name="cluster_mean",
    version="1",
    summary="Labelled texts: the mean activation of one label less that of the others",
    source="Zou et al., Representation Engineering, arXiv 2310.01405; ClusterMeanRepReader of its rep_readers.py",
    apply=Apply("all"),
    data="labelled",
    reads=(LAST_CONTENT, MEAN_CONTENT, MEAN_NONSINK, MEAN_ANSWER, AT_INDEX),
    direction=direction,
)
