"""Gate: reads a condition in the pass over the prompt, and remembers for which rows it holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.operators import dot, units
from vectorstore.hooks.span import DecodeSpan, Span, Where
from vectorstore.plan import Step
from vectorstore.tokens import Tokens

READ: dict[Tokens, Tokens] = {"prompt": "prompt", "all": "prompt", "last": "last"}
"""The tokens at which a condition is read: those of the prompt."""


@dataclass
class Reading:
    """What a gate has seen of a batch so far; a prompt may come in several passes.

    Attributes:
        total: `[batch]`: the sum of h·u.
        count: `[batch]`: of so many tokens.
        known: `[batch, 1]`: True where the whole prompt was seen.
        open: `[batch, 1]`: True where it was, and the condition holds; on the device of the inputs.
        finished: whether all are known.
    """

    total: Tensor
    count: Tensor
    known: Tensor
    open: Tensor
    finished: bool = False


class Gate:
    """The condition of a gate: is the mean of h·u over the prompt's tokens larger than the threshold?

    BOS, whose activation says nothing of the prompt and is often huge, is left out where the direction was computed on
    texts that begin with it.
    """

    def __init__(self, step: Step) -> None:
        """Take the gate's own part of the step.

        Raises:
            InvalidInputError: for tokens that are not all in the prompt.
        """
        if step.tokens not in READ:
            raise InvalidInputError(
                f"the condition of a gate is read in the prompt, not at '{step.tokens}' tokens",
                f"use one of {', '.join(READ)}",
            )
        self._place = step.place
        self._tokens = READ[step.tokens]
        self._threshold = step.params["threshold"]
        cards = [ingredient.card for term in step.terms for ingredient in term.ingredients]
        self._without_bos = self._tokens != "last" and any(card.model.bos_token_id is not None for card in cards)
        self._unit = torch.from_numpy(units(step.direction)[0].astype(np.float32))

    def apply(self, hidden: Tensor, span: Span | DecodeSpan) -> None:
        """Read `hidden` `[..., width]`, which stays as it is."""
        reading: Reading | None = span.memory.get(self)
        if isinstance(span, DecodeSpan) or (reading and reading.finished) or span.after_prompt:
            return
        mask = span.mask(self._tokens)  # [batch, tokens]
        mask = (mask & ~span.first if self._without_bos else mask).to(hidden.device)
        shaped = hidden.detach().reshape(*mask.shape, -1)
        parts = self._parts(shaped)
        total, count = torch.where(mask, parts, 0).sum(dim=1), mask.sum(dim=1)
        if reading:
            total, count = total + reading.total, count + reading.count
        known = span.prompt_known.to(hidden.device)
        holds = (total / count > self._threshold)[:, None] & known  # a row without tokens has no mean, and stays closed
        opened = _of_first_copies(holds, span.prompts).to(span.device)
        span.memory[self] = Reading(total, count, span.prompt_known, opened, bool(known.all()))

    def rows(self, span: Span | DecodeSpan, where: Where) -> Tensor:
        """Return `[batch, 1]`, True for the rows that are open, when the tokens `where` are to be steered.

        Raises:
            InvalidInputError: when the condition is not known where it is needed.
        """
        reading: Reading | None = span.memory.get(self)
        if reading is None:
            raise InvalidInputError(
                f"the gate at {self._place} has not read the prompt of this pass",
                "run the prompt inside the same steer block; what a gate opens has to come after its place",
            )
        if not reading.finished and isinstance(where, Tensor | bool):
            unknown = ~reading.known
            if bool((unknown if where is True else where & unknown).any()):
                raise InvalidInputError(
                    f"the gate at {self._place} is to open tokens of a prompt that comes in several passes",
                    "run the prompt in one pass (no prefill_chunk_size), or steer generated or last tokens",
                )
        return reading.open

    def finished(self, span: Span | DecodeSpan) -> bool:
        """Return whether the condition is known for every row."""
        reading: Reading | None = span.memory.get(self)
        return bool(reading and reading.finished)

    def _parts(self, hidden: Tensor) -> Tensor:
        """Return h·u `[batch, tokens]` in float32 or wider."""
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        if self._unit.device != hidden.device or self._unit.dtype != dtype:
            with torch.inference_mode(mode=False):
                self._unit = self._unit.to(hidden.device, dtype)
        return dot(hidden.to(dtype), self._unit).squeeze(-1)


def _of_first_copies(rows: Tensor, prompts: int) -> Tensor:
    """Give the copies of a prompt, which beam search exchanges for each other, what the first of them has."""
    copies = rows.shape[0] // prompts
    return rows.reshape(prompts, copies, 1)[:, :1].expand(-1, copies, 1).reshape(-1, 1)
