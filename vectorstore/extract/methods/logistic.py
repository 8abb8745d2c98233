"""Logistic: the weight of a logistic probe that tells the two sides of pairs apart, each about its pair's middle."""

from __future__ import annotations

import numpy as np

from vectorstore.card import Apply, MethodUse
from vectorstore.errors import InvalidInputError
from vectorstore.extract.axis import beside_mean, differences
from vectorstore.extract.params import Param
from vectorstore.extract.positions import AT_INDEX, LAST_CONTENT, MEAN_ANSWER, MEAN_CONTENT, MEAN_NONSINK
from vectorstore.extract.protocols import ActivationMethod, Direction
from vectorstore.vector import Array

PENALTY = Param("penalty", 1.0, "Weight of the squared norm of the probe: 1/C of scikit-learn; 0.000001 to 1000000.")
PENALTIES = (1e-6, 1e6)
STEPS = 200
TOLERANCE = 1e-9
ROUNDING = 1e-12


def direction(positive: Array, negative: Array, use: MethodUse) -> Direction:
    """Return the unit weight `[d]`.

    Raises:
        InvalidInputError: for a penalty out of range.
    """
    penalty = use.params[PENALTY.name]
    if not PENALTIES[0] <= penalty <= PENALTIES[1]:
        raise InvalidInputError(f"a penalty of {penalty:g}", f"give {PENALTIES[0]:g} to {PENALTIES[1]:g}")
    found = differences(positive, negative)
    weight = probe(found / 2, penalty)
    norm = np.linalg.norm(weight)
    return beside_mean(weight / norm if norm else weight, found)


def probe(rows: Array, penalty: float) -> Array:
    """Return the `w` `[d]` that makes `2 sum log(1 + exp(-w.x)) + penalty/2 |w|^2` least, over rows x `[n, d]`.

    The 2 is for each row's opposite, which is of the other class. `w` is a sum of rows, so Newton's method works in as
    many dimensions as there are rows, or `d` where that is less.
    """
    basis, points = np.linalg.qr(rows.T)  # (d, r), (r, n)
    weight = np.zeros(len(points))
    for _ in range(STEPS):
        wrong = np.exp(-np.logaddexp(0, weight @ points))  # (n,): how likely the probe holds the other class
        slope = penalty * weight - 2 * points @ wrong
        curvature = penalty * np.eye(len(points)) + 2 * (points * (wrong * (1 - wrong))) @ points.T
        step = np.linalg.solve(curvature, slope)
        weight -= _length(points, weight, step, penalty) * step
        if np.linalg.norm(step) <= TOLERANCE * np.linalg.norm(weight):
            break
    found: Array = basis @ weight
    return found


def _length(points: Array, weight: Array, step: Array, penalty: float) -> float:
    """Return how much of Newton's step goes downhill: all of it, or a half, a quarter and so on."""
    here = _loss(points, weight, penalty) * (1 + ROUNDING)
    return next(
        length
        for length in (0.5**halvings for halvings in range(1075))
        if _loss(points, weight - length * step, penalty) <= here
    )


def _loss(points: Array, weight: Array, penalty: float) -> float:
    return float(2 * np.logaddexp(0, -(weight @ points)).sum() + penalty / 2 * weight @ weight)


LOGISTIC = ActivationMethod(
    name="logistic",
    version="1",
    summary="Pairs: the weight of a logistic probe between their sides; a unit direction",
    source="steering-vectors, aggregators.py, logistic_aggregator; probes of Zou et al., arXiv 2310.01405",
    apply=Apply("all"),
    reads=(LAST_CONTENT, MEAN_CONTENT, MEAN_NONSINK, MEAN_ANSWER, AT_INDEX),
    own_params=(PENALTY,),
    direction=direction,
)
