"""Controls: what a plan without meaning would do. A figure without one says nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vectorstore.plan import Plan, Step


def random_like(plan: Plan, seed: int) -> Plan:
    """Return the plan with every direction replaced by a Gaussian one of the same norm, row by row.

    The null of every figure (ActAdd, arXiv 2308.10248, appendix F): use at least five seeds.
    """
    generator = np.random.default_rng(seed)
    return replace(plan, steps=tuple(_random_step(step, generator) for step in plan.steps))


def _random_step(step: Step, generator: np.random.Generator) -> Step:
    noise = generator.standard_normal(step.direction.shape)
    norms = np.linalg.norm(step.direction, axis=-1, keepdims=True) / np.linalg.norm(noise, axis=-1, keepdims=True)
    return replace(step, direction=(noise * norms).astype(np.float32))
