"""Random controls have the norms of the real thing, row by row, and nothing else of it."""

from __future__ import annotations

import numpy as np

from vectorstore.evaluate.control import random_like
from vectorstore.place import Place
from vectorstore.plan import Plan, Step

RANDOM = np.random.default_rng(0)
PLAN = Plan(
    (
        Step("add", Place("resid_pre", 1), "all", RANDOM.normal(size=64).astype(np.float32)),
        Step("add", Place("resid_pre", 2), "prompt_front", np.stack([np.zeros(64), RANDOM.normal(size=64)])),
    )
)


def test_a_control_has_the_same_places_tokens_and_norms():
    control = random_like(PLAN, seed=1)
    for real, random in zip(PLAN.steps, control.steps, strict=True):
        assert (random.place, random.tokens, random.operator) == (real.place, real.tokens, real.operator)
        np.testing.assert_allclose(
            np.linalg.norm(random.direction, axis=-1), np.linalg.norm(real.direction, axis=-1), rtol=1e-5
        )


def test_a_control_points_elsewhere_and_depends_on_the_seed_alone():
    one, again, other = (random_like(PLAN, seed).steps[0].direction for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    real = PLAN.steps[0].direction
    assert abs(one @ real) / np.linalg.norm(one) / np.linalg.norm(real) < 0.5
