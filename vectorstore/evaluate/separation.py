"""Separation: how well one number for each text tells two sides apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vectorstore.canonical import Json
from vectorstore.errors import InvalidInputError
from vectorstore.vector import Array


@dataclass(frozen=True)
class Separation:
    """How scores of two sides compare.

    Attributes:
        positive_count, negative_count: texts of each side.
        positive_mean, negative_mean: their mean scores.
        threshold: scores above it are called positive.
        auroc: the chance that a positive text scores higher than a negative one; ties count half.
        accuracy: how many are called what they are: the mean of both sides' shares, so that a larger side does not win.
        d_prime: the distance of the means in standard deviations (the root mean square of both sides'); None where
            there are too few texts, or all of a side score alike.
        pairs_right: in how many pairs the positive text scores higher; None where the texts are not in pairs.
    """

    positive_count: int
    negative_count: int
    positive_mean: float
    negative_mean: float
    threshold: float
    auroc: float
    accuracy: float
    d_prime: float | None
    pairs_right: float | None = None

    @property
    def middle(self) -> float:
        """Halfway between the means."""
        return (self.positive_mean + self.negative_mean) / 2

    def to_json(self) -> Json:
        """Return the figures by name."""
        return dict(vars(self))


def separate(positive: Array, negative: Array, *, threshold: float | None = None, paired: bool = False) -> Separation:
    """Return how scores `[n]` and `[m]` of two sides compare.

    Args:
        positive: at least one score.
        negative: the same of the other side.
        threshold: chosen before, on other texts; the best one for these where it is left out.
        paired: whether score i of both sides is of pair i.

    Raises:
        InvalidInputError: where a side is empty.
    """
    if not len(positive) or not len(negative):
        raise InvalidInputError("one side has no texts", "give texts of both sides, or pairs")
    high, low = positive.astype(np.float64), negative.astype(np.float64)
    cut = best_threshold(high, low) if threshold is None else threshold
    return Separation(
        len(high),
        len(low),
        float(high.mean()),
        float(low.mean()),
        float(cut),
        auroc(high, low),
        float(((high > cut).mean() + (low <= cut).mean()) / 2),
        d_prime(high, low),
        float((high > low).mean()) if paired else None,
    )


def auroc(positive: Array, negative: Array) -> float:
    """Return the area under the ROC curve: the Mann-Whitney statistic over the number of pairs; ties count half."""
    ranked = np.sort(negative)
    below = np.searchsorted(ranked, positive, "left") + np.searchsorted(ranked, positive, "right")
    return float(below.sum()) / (2 * len(positive) * len(negative))


def best_threshold(positive: Array, negative: Array) -> float:
    """Return the cut with the largest sum of both sides' shares that are right (Youden's index).

    Cuts lie halfway between neighbouring scores. Of several that are as good, it is the one nearest to the middle of
    the means; where none is better than chance, it is that middle itself.
    """
    middle = (positive.mean() + negative.mean()) / 2
    scores = np.unique(np.concatenate([positive, negative]))
    cuts = (scores[:-1] + scores[1:]) / 2
    above = len(positive) - np.searchsorted(np.sort(positive), cuts, "right")
    below = np.searchsorted(np.sort(negative), cuts, "right")
    right = above * len(negative) + below * len(positive)
    best = cuts[right == max(right, default=0)]
    if not len(best) or right.max() <= len(positive) * len(negative):
        return float(middle)
    return float(best[np.abs(best - middle).argmin()])


def d_prime(positive: Array, negative: Array) -> float | None:
    """Return the difference of the means over the root of the mean variance (n - 1 in the denominator), or None."""
    if min(len(positive), len(negative)) < 2:  # noqa: PLR2004 - no variance of one
        return None
    spread = np.sqrt((positive.var(ddof=1) + negative.var(ddof=1)) / 2)
    return float((positive.mean() - negative.mean()) / spread) if spread else None
