"""Moments: mean and scatter of activations that are seen batch by batch; memory does not grow with their number."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vectorstore.card import MethodUse
from vectorstore.vector import Array


@dataclass
class Moments:
    """Count, mean and, where it is asked for, covariance of the rows added so far; all in float64.

    Attributes:
        count: of rows.
        scatter: keep second moments too: `[d, d]` for each place and side.
    """

    scatter: bool = False
    count: int = 0
    _sum: Array = field(default_factory=lambda: np.zeros(0))
    _products: Array = field(default_factory=lambda: np.zeros((0, 0)))

    def add(self, rows: Array) -> None:
        """Add rows `[n, d]`."""
        wide = rows.astype(np.float64)
        if not self.count:
            self._sum = np.zeros(wide.shape[1])
            self._products = np.zeros((wide.shape[1],) * 2 if self.scatter else (0, 0))
        self.count += len(wide)
        self._sum += wide.sum(axis=0)
        if self.scatter:
            self._products += wide.T @ wide

    @property
    def mean(self) -> Array:
        """The mean row `[d]`."""
        return self._sum / self.count

    @property
    def covariance(self) -> Array:
        """The covariance `[d, d]` of the rows, with n in the denominator; only where `scatter` was asked for."""
        covariance: Array = self._products / self.count - np.outer(self.mean, self.mean)
        return covariance


def mean_difference(positive: Moments, negative: Moments, _use: MethodUse) -> Array:
    """Return the difference of the two means `[d]`, accumulated in float64, not normalised."""
    return positive.mean - negative.mean
