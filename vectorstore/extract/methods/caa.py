"""CAA: the mean difference at the token that gives the answer away, applied to what comes after the prompt.

The authors add it to every position after the marker that ends the instruction. Our nearest tokens are `generated`, the
last position of the prompt and all that follow: it steers the last position of the marker too, and of what a prompt may
have after the marker (the "(" of a letter to choose) the last position alone.
"""

from __future__ import annotations

from vectorstore.card import Apply
from vectorstore.extract.moments import mean_difference
from vectorstore.extract.positions import AT_INDEX
from vectorstore.extract.protocols import MomentMethod

CAA = MomentMethod(
    name="caa",
    version="1",
    summary="Pairs that differ in one answer token: the mean difference there, added after the prompt",
    source="Rimsky et al., Contrastive Activation Addition, arXiv 2312.06681; generate_vectors.py of nrimsky/CAA",
    apply=Apply("generated"),
    reads=(AT_INDEX,),
    direction=mean_difference,
)
