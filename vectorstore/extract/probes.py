"""Probes: logistic regressions of one label on many sets of rows at once, a set for each attention head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vectorstore.vector import Array

STEPS = 100
HALVINGS = 60
TOLERANCE = 1e-9
ROUNDING = 1e-12
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Probes:
    """One probe for each set: a row x of set h is of the first class where `weights[h] . x + intercepts[h] > 0`.

    Attributes:
        weights: `[sets, d]`.
        intercepts: `[sets]`.
    """

    weights: Array
    intercepts: Array

    def margins(self, rows: Array) -> Array:
        """Return `weights[h] . x + intercepts[h]` `[sets, n]` of rows `[sets, n, d]`."""
        margins: Array = (rows @ self.weights[..., None])[..., 0] + self.intercepts[:, None]
        return margins

    def accuracies(self, rows: Array, labels: Bools) -> Array:
        """Return the part of the rows `[sets, n, d]` whose label `[n]` each probe tells, `[sets]`."""
        accuracies: Array = ((self.margins(rows) > 0) == labels).mean(axis=1)
        return accuracies

    def losses(self, rows: Array, labels: Bools) -> Array:
        """Return the mean `log(1 + exp(-margin))` `[sets]`, margins of the other class counted negative."""
        losses: Array = np.logaddexp(0, -np.where(labels, 1, -1) * self.margins(rows)).mean(axis=1)
        return losses


def fit(rows: Array, labels: Bools, penalty: float) -> Probes:
    """Return the probes that make `sum log(1 + exp(-margin)) + penalty/2 |w|^2` least, each over its own set.

    They are scikit-learn's `LogisticRegression(C=1/penalty)`: the intercept costs nothing. Newton's method, all sets at
    once.

    Args:
        rows: `[sets, n, d]`, float64.
        labels: `[n]`, of both classes.
        penalty: above 0.
    """
    points = np.concatenate([rows, np.ones((*rows.shape[:2], 1))], axis=2)  # (sets, n, d + 1)
    points *= np.where(labels, 1, -1)[:, None]  # so that every margin ought to be positive
    costs = np.append(np.full(rows.shape[2], penalty), 0.0)
    found = np.zeros((len(points), len(costs)))
    for _ in range(STEPS):
        step = _step(points, found, costs)
        found -= _lengths(points, found, step, costs)[:, None] * step
        if (np.linalg.norm(step, axis=1) <= TOLERANCE * np.linalg.norm(found, axis=1)).all():
            break
    return Probes(found[:, :-1], found[:, -1])


def _step(points: Array, found: Array, costs: Array) -> Array:
    """Return Newton's step `[sets, d + 1]`, to be subtracted."""
    wrong = np.exp(-np.logaddexp(0, _margins(points, found)))  # (sets, n): how likely each probe errs there
    slope = costs * found - (wrong[:, None] @ points)[:, 0]
    curvature = points.transpose(0, 2, 1) @ ((wrong * (1 - wrong))[..., None] * points) + np.diag(costs)
    step: Array = np.linalg.solve(curvature, slope[..., None])[..., 0]
    return step


def _lengths(points: Array, found: Array, step: Array, costs: Array) -> Array:
    """Return how much of each step goes downhill: all of it, or a half, a quarter and so on."""
    here = _losses(points, found, costs) * (1 + ROUNDING)
    lengths = np.ones(len(points))
    for _ in range(HALVINGS):
        uphill = _losses(points, found - lengths[:, None] * step, costs) > here
        if not uphill.any():
            break
        lengths[uphill] /= 2
    return lengths


def _losses(points: Array, found: Array, costs: Array) -> Array:
    losses: Array = np.logaddexp(0, -_margins(points, found)).sum(axis=1) + found**2 @ costs / 2
    return losses


def _margins(points: Array, found: Array) -> Array:
    margins: Array = (points @ found[..., None])[..., 0]
    return margins
