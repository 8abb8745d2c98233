"""ACE, affine concept editing: the difference of two means, kept with the mean that it starts from.

`affine(V, x)` then sets the part along the direction, whatever it was: to the negative side's mean for x = 0, to the
positive side's for x = 1. Ablation is the same without the base point, and addition without the projection.
"""

from __future__ import annotations

from vectorstore.card import Apply, MethodUse
from vectorstore.extract.moments import Moments
from vectorstore.extract.positions import AT_INDEX, LAST_CONTENT, MEAN_ANSWER, MEAN_CONTENT, MEAN_NONSINK
from vectorstore.extract.protocols import Direction, MomentMethod


def direction(positive: Moments, negative: Moments, _use: MethodUse) -> Direction:
    """Return the difference of the two means `[d]`, not normalised, and the negative one as its base point."""
    return Direction(positive.mean - negative.mean, reference=negative.mean)


ACE = MomentMethod(
    name="ace",
    version="1",
    summary="Pairs: the mean difference and the negative mean, to set the part along it with affine(V, x)",
    source="Marshall et al., Refusal in LLMs is an Affine Function, arXiv 2411.09003; EleutherAI/steering-llama3",
    apply=Apply("all", "affine"),
    reads=(LAST_CONTENT, MEAN_CONTENT, MEAN_NONSINK, MEAN_ANSWER, AT_INDEX),
    direction=direction,
)
