"""MeZO: train directions by forward passes alone: one a small step to, one fro, and the loss says how steep it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import Apply
from vectorstore.extract.params import Param
from vectorstore.extract.protocols import Directions, ModelMethod, Request
from vectorstore.extract.training import GREATEST_LR, PARAMS, SITES, Training, check_range, training_of
from vectorstore.items import Item

LR = Param("lr", 0.02, "Step size, for directions in units of R / sqrt(d); times --samples.")
EPSILON = Param("epsilon", 0.07, "How far to go to and fro, in units of R / sqrt(d).")
STEPS = Param("steps", 240, "How many steps.")
SAMPLES = Param("samples", 1, "How many random directions each step tries.")
EVERY = 20
"""After how many steps to look at the targets held out."""

Loss = Callable[[list[Tensor]], Tensor]
"""Takes copies of directions, at each place `[copies, d]`, and returns the loss of each `[copies]`."""


def run(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Sequence[Item], request: Request
) -> Directions:
    """Return the directions `[d]` that were trained, all places together. No gradient is taken anywhere.

    Raises:
        InvalidInputError: for a setting out of range, or a target that cannot be read.
    """
    params = request.use.params
    check_range(LR, params[LR.name], most=GREATEST_LR, above=True)
    check_range(EPSILON, params[EPSILON.name], most=GREATEST_LR, above=True)
    check_range(STEPS, params[STEPS.name], least=1)
    check_range(SAMPLES, params[SAMPLES.name], least=1)
    training = training_of(model, tokenizer, data, request)
    return training.run(_update(training, request), params[STEPS.name], EVERY)


def _update(training: Training, request: Request) -> Callable[[Sequence[int]], None]:
    params = request.use.params
    generator = np.random.default_rng([request.use.seed, params[SAMPLES.name]])

    @torch.no_grad()
    def update(indices: Sequence[int]) -> None:
        sizes = [(params[SAMPLES.name], len(shift)) for shift in training.shifts]
        drawn = [torch.from_numpy(generator.standard_normal(size, np.float32)) for size in sizes]
        noise = [each * unit for each, unit in zip(drawn, training.units, strict=True)]
        slopes = projected_gradients(
            lambda copies: training.objective.means(indices, copies), training.shifts, noise, params[EPSILON.name]
        )
        for shift, each in zip(training.shifts, noise, strict=True):
            shift.sub_(params[LR.name] * slopes.to(each) @ each)

    return update


def projected_gradients(loss: Loss, at: Sequence[Tensor], noise: Sequence[Tensor], epsilon: float) -> Tensor:
    """Return how steep `loss` is at `at` along each of several directions `[samples]`, by SPSA.

    Args:
        loss: of copies of the point; it is asked once, for two copies per direction.
        at: the point, at each place `[d]`.
        noise: the directions, at each place `[samples, d]`.
        epsilon: how far to go along them, to and fro.
    """
    moves = [torch.cat([each, -each]) * epsilon for each in noise]  # (2 * samples, d)
    there, back = loss([point + move for point, move in zip(at, moves, strict=True)]).chunk(2)
    return (there - back) / (2 * epsilon)


MEZO = ModelMethod(
    name="mezo",
    version="1",
    summary="Targets: directions trained as bitfit does, by forward passes alone",
    source="Malladi et al., Fine-Tuning Language Models with Just Forward Passes, arXiv 2305.17333, algorithm 1",
    apply=Apply("all"),
    data="targets",
    sites=SITES,
    own_params=(LR, EPSILON, STEPS, SAMPLES, *PARAMS),
    one_sided=True,
    order_matters=True,
    run=run,
)
