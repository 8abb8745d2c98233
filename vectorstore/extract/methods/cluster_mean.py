"""Cluster mean: the mean activation of the texts of one label, less that of all others; each text counts alike."""

from __future__ import annotations

from vectorstore.card import Apply
from vectorstore.extract.moments import mean_difference
from vectorstore.extract.positions import AT_INDEX, LAST_CONTENT, MEAN_ANSWER, MEAN_CONTENT, MEAN_NONSINK
from vectorstore.extract.protocols import MomentMethod

CLUSTER_MEAN = MomentMethod(
    name="cluster_mean",
    version="1",
    summary="Labelled texts: the mean activation of one label less that of the others",
    source="Zou et al., Representation Engineering, arXiv 2310.01405; ClusterMeanRepReader of its rep_readers.py",
    apply=Apply("all"),
    data="labelled",
    reads=(LAST_CONTENT, MEAN_CONTENT, MEAN_NONSINK, MEAN_ANSWER, AT_INDEX),
    direction=mean_difference,
)
