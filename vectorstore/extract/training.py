"""Training: directions changed step by step on some of the targets, and chosen by what they do to the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError
from vectorstore.extract.objective import Objective, objective_of
from vectorstore.extract.params import Param
from vectorstore.extract.protocols import Direction, Directions, Progress, Request
from vectorstore.extract.residual import residual_norms
from vectorstore.items import Item
from vectorstore.models.layers import site_widths
from vectorstore.vector import Array

SITES = ("attn_out", "mlp_out", "resid_pre", "resid_post")
"""Where directions can be trained: wherever there is an R to measure steps by."""
GREATEST_LR = 1e6
"""In units of R / sqrt(d); beyond it steps overflow."""
PER_STEP = Param("per_step", 8, "How many targets each step is taken on.")
HELD_OUT = Param("held_out", 0.25, "The share of the targets to keep back, and to choose the step by; 0 for none.")
MAX_NORM = Param("max_norm", 0.0, "The greatest norm of a direction, in units of R; 0 for any.")
PARAMS = (PER_STEP, HELD_OUT, MAX_NORM)

Update = Callable[[Sequence[int]], None]
"""Takes which targets the step is taken on, and changes the directions in place."""


@dataclass(frozen=True)
class Training:
    """Directions that are trained, and what they are trained on.

    Attributes:
        objective: what shall become less.
        shifts: the direction `[d]` at each place, float32; changed in place.
        norms: R at each place.
        learn, check: which targets are learnt from, and which are held out.
        per_step: how many targets each step is taken on.
        limit: the greatest norm of a direction, in units of R; 0 for any.
        seed: draws the order of the targets.
        progress: told of steps; None where nobody watches.
    """

    objective: Objective
    shifts: tuple[Tensor, ...]
    norms: tuple[float, ...]
    learn: tuple[int, ...]
    check: tuple[int, ...]
    per_step: int
    limit: float
    seed: int
    progress: Progress | None

    @property
    def units(self) -> list[float]:
        """R / sqrt(d) at each place."""
        return units_of(self.shifts, self.norms)

    @property
    def round(self) -> int:
        """How many steps it takes to see every target once."""
        return math.ceil(len(self.learn) / self.per_step)

    def run(self, update: Update, steps: int, every: int) -> Directions:
        """Take `steps`, and return the directions that did best on the targets held out, or else the last ones.

        Args:
            update: takes one step.
            steps: how many.
            every: after how many of them to look.

        Raises:
            InvalidInputError: when the objective is no longer a number.
        """
        before, minibatches = self._figures("_before"), self._minibatches()
        best, least, chosen = arrays_of(self.shifts), math.inf, 0
        for step in range(1, steps + 1):
            update(next(minibatches))
            self._shorten()
            if step == steps or (self.check and step % every == 0):
                found = finite(self.objective.mean(self.check or self.learn, self.shifts), step)
                if found < least:
                    best, least, chosen = arrays_of(self.shifts), found, step
            if self.progress:
                self.progress(step, steps)
        self._restore(best)
        figures = {**before, **self._figures(""), "steps": float(chosen)}
        places = self.objective.places
        return {place: Direction(array, figures=figures) for place, array in zip(places, best, strict=True)}

    def _minibatches(self) -> Iterator[list[int]]:
        """Yield targets to learn from without end, each once a round, in an order drawn anew each time."""
        generator = np.random.default_rng(self.seed)
        while True:
            order = generator.permutation(self.learn).tolist()
            for start in range(0, len(order), self.per_step):
                yield order[start : start + self.per_step]

    def _figures(self, suffix: str) -> dict[str, float]:
        """Return the cross-entropy per token of the targets learnt from, and of those held out."""
        parts = {"entropy": self.learn, "held_out": self.check}
        return {name + suffix: self.objective.mean(part, self.shifts) for name, part in parts.items() if part}

    @torch.no_grad()
    def _shorten(self) -> None:
        for shift, norm in zip(self.shifts, self.norms, strict=True):
            length = float(shift.norm())
            if self.limit and length > self.limit * norm:
                shift.mul_(self.limit * norm / length)

    @torch.no_grad()
    def _restore(self, arrays: Sequence[Array]) -> None:
        for shift, array in zip(self.shifts, arrays, strict=True):
            shift.copy_(torch.from_numpy(array))


def training_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Sequence[Item], request: Request
) -> Training:
    """Return the training that `request` asks for, from directions that are zero.

    Raises:
        InvalidInputError: for a setting out of range, or a target that cannot be read.
    """
    per_step, part, limit = (request.use.params[param.name] for param in PARAMS)
    check_range(PER_STEP, per_step, least=1)
    check_range(HELD_OUT, part, most=0.9)
    check_range(MAX_NORM, limit)
    objective = objective_of(model, tokenizer, data, request)
    order = np.random.default_rng(request.use.seed).permutation(len(objective.prompts)).tolist()
    held = int(part * len(order))
    shifts = tuple(torch.zeros(width) for width in widths_of(objective))
    norms = norms_of(model, tokenizer, request)
    return Training(
        objective,
        shifts,
        norms,
        tuple(order[held:]),
        tuple(order[:held]),
        per_step,
        limit,
        request.use.seed,
        request.progress,
    )


@contextmanager
def frozen(model: PreTrainedModel) -> Iterator[None]:
    """Let gradients flow through the model and not into its weights, whatever mode the caller is in.

    Raises:
        InvalidInputError: for weights made under `torch.inference_mode`, through which none flow.
    """
    if any(weight.is_inference() for weight in model.parameters()):
        raise InvalidInputError(
            "the model was loaded under torch.inference_mode, and no gradients flow through it",
            "load it outside, or use mezo, which needs none",
        )
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    with torch.inference_mode(mode=False), torch.enable_grad():
        try:
            for weight in learning:
                weight.requires_grad_(False)
            yield
        finally:
            for weight in learning:
                weight.requires_grad_(True)


def norms_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, request: Request) -> tuple[float, ...]:
    """Return R at each place of `request`."""
    norms = residual_norms(model, tokenizer, request.places)
    return tuple(norms[place] for place in request.places)


def widths_of(objective: Objective) -> list[int]:
    """Return the width of the activations at each place."""
    widths = site_widths(objective.model)
    return [widths[place.site] for place in objective.places]


def units_of(shifts: Sequence[Tensor], norms: Sequence[float]) -> list[float]:
    """Return R / sqrt(d) at each place: the size of one component of an ordinary activation."""
    return [norm / math.sqrt(len(shift)) for shift, norm in zip(shifts, norms, strict=True)]


def arrays_of(shifts: Sequence[Tensor]) -> list[Array]:
    """Return copies of the directions as they are now."""
    return [shift.detach().cpu().numpy().copy() for shift in shifts]


def finite(value: float, step: int) -> float:
    """Return `value`.

    Raises:
        InvalidInputError: when it is no number.
    """
    if not math.isfinite(value):
        raise InvalidInputError(f"the cross-entropy is {value} after step {step}", "give a smaller --lr")
    return value


def check_range(param: Param, value: float, *, least: float = 0, most: float = math.inf, above: bool = False) -> None:
    """Check that a setting is from `least` (or above it) to `most`.

    Raises:
        InvalidInputError: when it is not, or is no number.
    """
    if (least < value if above else least <= value) and value <= most and math.isfinite(value):
        return
    low = f"more than {least:g}" if above else f"{least:g} or more"
    high = "" if math.isinf(most) else f", up to {most:g},"
    raise InvalidInputError(f"{param.name} is {value:g}", f"give {low}{high} with {param.option}")
