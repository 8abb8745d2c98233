"""Mean difference: the mean over many pairs of positive minus negative activations.

Every token but BOS counts alike. A full stop or line break right after BOS can be a second attention sink, a hundred
times as long as any word's activation (SmolLM2 has them from layer 12 on), and drown the rest: begin texts with a word,
or read at mean_nonsink.
"""

from __future__ import annotations

from vectorstore.card import Apply
from vectorstore.extract.moments import mean_difference
from vectorstore.extract.positions import AT_INDEX, LAST_CONTENT, MEAN_ANSWER, MEAN_CONTENT, MEAN_NONSINK
from vectorstore.extract.protocols import MomentMethod

MEAN_DIFFERENCE = MomentMethod(
    name="mean_difference",
    version="1",
    summary="Many pairs: the mean difference of one activation per text, added to all tokens",
    source="Rimsky et al., Contrastive Activation Addition, arXiv 2312.06681; DiffMean of AxBench, 2501.17148",
    apply=Apply("all"),
    reads=(MEAN_CONTENT, LAST_CONTENT, MEAN_NONSINK, MEAN_ANSWER, AT_INDEX),
    direction=mean_difference,
)
