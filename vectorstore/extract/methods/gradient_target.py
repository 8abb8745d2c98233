"""Gradient target: the vector that makes a frozen model write one given sentence, found by gradient ascent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.init import xavier_normal_
from torch.optim import Adam
from torch.optim.lr_scheduler import ReduceLROnPlateau
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import Apply, MethodUse
from vectorstore.extract.objective import Objective, objective_of
from vectorstore.extract.params import Param
from vectorstore.extract.protocols import Direction, Directions, ModelMethod, Request
from vectorstore.extract.training import (
    GREATEST_LR,
    SITES,
    arrays_of,
    check_range,
    finite,
    frozen,
    norms_of,
    units_of,
    widths_of,
)
from vectorstore.items import Item
from vectorstore.vector import Array

AT = Param("at", "all", "Where the vector is added: to all tokens, or to the first one only.", ("all", "first"))
LR = Param("lr", 0.25, "Step size of Adam, in units of R / sqrt(d).")
STEPS = Param("steps", 500, "At most so many steps.")
DECAY = 0.9
"""What the step size is multiplied by after ten steps that brought nothing."""


@dataclass(frozen=True)
class _Attempt:
    """The vectors after some steps, and what they make the model write.

    Attributes:
        vectors: `[d]` for each place.
        nll: minus the logarithm of the target's probability, in nats.
        written: the share of its tokens that greedy decoding gets right before it first errs.
        steps: how many were taken.
    """

    vectors: list[Array]
    nll: float
    written: float
    steps: int


def run(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Sequence[Item], request: Request
) -> Directions:
    """Return the vectors, `[d]`, or `[1, d]` for the first token, that first make greedy decoding write the target.

    Where none does, they are those under which it is likeliest.

    Raises:
        InvalidInputError: for a step size or number of steps that is too small, or a target that cannot be read.
    """
    check_range(LR, request.use.params[LR.name], most=GREATEST_LR, above=True)
    check_range(STEPS, request.use.params[STEPS.name], least=1)
    front = request.use.params[AT.name] == "first"
    objective = objective_of(model, tokenizer, data, request, front=front)
    norms = norms_of(model, tokenizer, request)
    with frozen(model):
        best = min(_attempts(objective, norms, request), key=lambda each: (each.written < 1, each.nll))
    figures = {"nll": best.nll, "written": best.written, "steps": float(best.steps)}
    shaped = [vector[None] if front else vector for vector in best.vectors]
    return {place: Direction(vector, figures=figures) for place, vector in zip(request.places, shaped, strict=True)}


def _attempts(objective: Objective, norms: Sequence[float], request: Request) -> Iterator[_Attempt]:
    """Yield an attempt before each step and after the last, until one writes the target."""
    rate, steps = request.use.params[LR.name], request.use.params[STEPS.name]
    vectors = _first_guess(objective, request.use.seed)
    sizes = zip(vectors, units_of(vectors, norms), strict=True)
    optimiser = Adam([{"params": [vector], "lr": rate * unit} for vector, unit in sizes])
    scheduler = ReduceLROnPlateau(optimiser, factor=DECAY)
    for step in range(steps + 1):
        predicted = objective.predicted([0], vectors)
        loss = predicted.entropies.sum()
        written = float(predicted.right.float().cumprod(dim=0).mean())
        yield _Attempt(arrays_of(vectors), finite(float(loss.detach()), step), written, step)
        if written == 1 or step == steps:
            return
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        scheduler.step(float(loss.detach()))
        if request.progress:
            request.progress(step + 1, steps)


def _first_guess(objective: Objective, seed: int) -> list[torch.Tensor]:
    """Return a small random vector for each place, by Xavier's rule for a matrix `[1, d]`."""
    generator = torch.Generator().manual_seed(seed)
    guesses = [torch.empty(1, width) for width in widths_of(objective)]
    return [xavier_normal_(guess, generator=generator)[0].clone().requires_grad_() for guess in guesses]


def _apply(use: MethodUse) -> Apply:
    return Apply("prompt_front" if use.params[AT.name] == "first" else "all")


GRADIENT_TARGET = ModelMethod(
    name="gradient_target",
    version="1",
    summary="One target: the vector that makes the model write it, found by gradient ascent",
    source="Subramani et al., Extracting Latent Steering Vectors, arXiv 2205.05124, section 2",
    apply=Apply("all"),
    apply_by=_apply,
    data="targets",
    sites=SITES,
    own_params=(AT, LR, STEPS),
    gradients=True,
    max_items=1,
    one_sided=True,
    run=run,
)
