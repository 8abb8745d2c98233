"""CAST, conditional steering: a condition vector, and the threshold that tells the prompts it holds for from others.

CAST compares the cosine of x and tanh(P x) with its threshold, P the projection on the vector. Here, as a gate does, it
is the part of x along the vector: 1[(x - m)·u > t] for any m, as t takes m·u in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vectorstore.card import Apply, MethodUse
from vectorstore.extract.axis import differences, principal_axis, towards
from vectorstore.extract.positions import LAST_CONTENT, MEAN_CONTENT
from vectorstore.extract.protocols import Direction, Directions, PlacesMethod, Sides
from vectorstore.place import Place
from vectorstore.vector import Array

THRESHOLD = "threshold"
"""The figure under which a card keeps the threshold of a gate, in units of the activations."""


class Condition(NamedTuple):
    """A unit vector `[d]` and a threshold, and how they do on the pairs they were found on.

    Attributes:
        axis, threshold: the condition holds for x where `x · axis > threshold`.
        f1: the harmonic mean of precision and recall.
        separation: between the means of both sides along the axis, in standard deviations of a side.
    """

    axis: Array
    threshold: float
    f1: float
    separation: float


def directions(sides: Mapping[Place, Sides], _use: MethodUse) -> Directions:
    """Return the condition at the place where it does best; of equals, where the sides are furthest apart."""
    found = {place: _condition(both) for place, both in sides.items()}
    best = max(found, key=lambda place: (found[place].f1, found[place].separation))
    chosen = found[best]
    figures = {THRESHOLD: chosen.threshold, "f1": chosen.f1, "separation": chosen.separation}
    return {best: Direction(chosen.axis, figures=figures)}


def _condition(sides: Sides) -> Condition:
    """Return the principal axis of pairs, each about its middle, the way that does better."""
    apart = differences(sides.positive, sides.negative)
    axis = towards(principal_axis(apart), apart)
    positive, negative = (side.astype(np.float64) @ axis for side in (sides.positive, sides.negative))
    above, below = best_threshold(positive, negative), best_threshold(-positive, -negative)
    spread = np.sqrt((positive.var() + negative.var()) / 2)
    separation = float(abs(positive.mean() - negative.mean()) / spread) if spread else 0.0
    if below[1] > above[1]:
        return Condition(-axis, *below, separation)
    return Condition(axis, *above, separation)


def best_threshold(positive: Array, negative: Array) -> tuple[float, float]:
    """Return the threshold whose F1 is best, and that F1, for numbers that shall lie above it and others below.

    It lies midway between two of the numbers: of equals, where the gap is widest.
    """
    numbers = np.unique(np.concatenate([positive, negative]))
    if len(numbers) == 1:
        return float(numbers[0]), 0.0
    middles = (numbers[1:] + numbers[:-1]) / 2
    true, false = ((side[:, None] > middles).sum(axis=0) for side in (positive, negative))
    scores = 2 * true / (true + false + len(positive))  # precision and recall in one: 2 TP / (2 TP + FP + FN)
    best = max(range(len(middles)), key=lambda at: (scores[at], numbers[at + 1] - numbers[at]))
    return float(middles[best]), float(scores[best])


def _apply(use: MethodUse) -> Apply:
    return Apply("last" if use.params["read"] == LAST_CONTENT.name else "prompt")


CAST = PlacesMethod(
    name="cast",
    version="1",
    summary="Pairs of prompts: a condition for gate(V, threshold, step), at the layer where it tells them apart best",
    source="Lee et al., Conditional Activation Steering, arXiv 2409.05907; IBM/activation-steering",
    apply=Apply("prompt"),
    apply_by=_apply,
    reads=(MEAN_CONTENT, LAST_CONTENT),
    directions=directions,
)
