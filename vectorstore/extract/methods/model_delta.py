"""Model delta: what fine-tuning changed in the activations, as the mean difference of two models on the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import Apply
from vectorstore.extract.moments import Moments
from vectorstore.extract.positions import AT_INDEX, FIRST_K, LAST_CONTENT, MEAN_ANSWER, MEAN_CONTENT, MEAN_NONSINK
from vectorstore.extract.protocols import Direction, ModelMethod, Request
from vectorstore.extract.reading import batches, prepare
from vectorstore.place import Place
from vectorstore.vector import Array

COHERENCE = "coherence"
"""The figure under which a card keeps |mean difference|² / mean |difference|² over the texts: 1 where all are alike."""

RELATIVE_NORM = "relative_norm"
"""The figure under which a card keeps |mean difference| / mean |activation of the first model|."""

INCOHERENT = 0.1
"""A difference whose coherence is below this depends on the text more than texts have it in common."""


@dataclass
class _Shift:
    """What both models' rows come to at one place, batch by batch; no row is kept."""

    differences: Moments = field(default_factory=Moments)
    squares: float = 0.0
    lengths: float = 0.0

    def add(self, before: Array, after: Array) -> None:
        """Add rows `[n, d]` of both models."""
        difference = after.astype(np.float64) - before
        self.differences.add(difference)
        self.squares += float((difference**2).sum())
        self.lengths += float(np.linalg.norm(before.astype(np.float64), axis=1).sum())

    def direction(self) -> Direction:
        """Return the mean difference `[d]`, with what it is of the differences and of the activations."""
        mean, count = self.differences.mean, self.differences.count
        norm = float(np.linalg.norm(mean))
        figures = {COHERENCE: norm**2 * count / self.squares}
        if self.lengths:  # a model that was not trained yet may give nothing but zeros here
            figures[RELATIVE_NORM] = norm * count / self.lengths
        return Direction(mean, figures=figures)


def run(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Sequence[Any], request: Request
) -> dict[Place, Direction]:
    """Return the mean differences, but for places where both models are the same: those before the first change."""
    other = cast("PreTrainedModel", request.other)  # `compute` lets no comparing method go without
    position = MODEL_DELTA.read_position(request.use)
    asked = ((model, replace(request, progress=None)), (other, request))  # progress is told once
    readings = [(each, prepare(each, tokenizer, data, position, said)) for each, said in asked]
    shifts = {place: _Shift() for place in request.places}
    for before, after in zip(*(batches(*reading) for reading in readings), strict=True):
        for place, shift in shifts.items():
            shift.add(before.rows[place], after.rows[place])
    return {place: shift.direction() for place, shift in shifts.items() if shift.squares}


MODEL_DELTA = ModelMethod(
    name="model_delta",
    version="1",
    summary="Texts read by a model and its fine-tune: the mean difference of their activations",
    source="Minder et al., arXiv 2510.13900, section 2; vgel/repeng, notebooks/model_delta.ipynb",
    apply=Apply("all"),
    data="texts",
    reads=(MEAN_NONSINK, MEAN_CONTENT, FIRST_K, AT_INDEX, LAST_CONTENT, MEAN_ANSWER),
    one_sided=True,
    compares=True,
    run=run,
)
