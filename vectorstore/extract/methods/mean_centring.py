"""Mean-centring: the mean activation of texts of one kind, less that of a corpus of all kinds.

Every text counts alike, long or short. What any text has (activations lie far from the origin) is in both means and
goes.
"""

from __future__ import annotations

from vectorstore.card import Apply
from vectorstore.extract.moments import mean_difference
from vectorstore.extract.positions import AT_INDEX, LAST_CONTENT, MEAN_ANSWER, MEAN_CONTENT, MEAN_NONSINK
from vectorstore.extract.protocols import MomentMethod

MEAN_CENTRING = MomentMethod(
    name="mean_centring",
    version="1",
    summary="Texts against a corpus, without counterparts: the difference of their mean activations",
    source="Jorgensen et al., Improving Activation Steering with Mean-Centring, arXiv 2312.03813",
    apply=Apply("all"),
    data="texts",
    reads=(MEAN_NONSINK, MEAN_CONTENT, LAST_CONTENT, MEAN_ANSWER, AT_INDEX),
    direction=mean_difference,
)
