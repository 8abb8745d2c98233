"""Streams: the input with either instruction, run in lock-step beside the model's own pass.

What is added depends on these two alone, never on the model's own pass. So they run first, each control layer as far as
the difference is known there, and the model's pass adds what they found. Each column once run stays as it is, and so a
cache holds for them as it does for the model.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.contrast_plan import ContrastPlan
from vectorstore.models.context import context_length
from vectorstore.models.layers import text_config


class _Done(Exception):  # noqa: N818 - a signal, not an error
    """Ends a pass of the streams after the last layer that is asked for."""


class Streams:
    """One batch with either instruction: rows with the positive one, then rows with the negative one.

    Attributes:
        changes: by layer, what to add to the last columns of the pass `[batch, columns, d_model]`; none where no column
            of the pass is steered.
    """

    def __init__(self, model: PreTrainedModel, plan: ContrastPlan, instructions: Sequence[Sequence[int]]) -> None:
        """Take the token ids of both instructions."""
        self.changes: dict[int, Tensor] = {}
        self._model, self._plan, self._instructions = model, plan, instructions
        self._takes = inspect.signature(model.forward).parameters
        self._cache: DynamicCache | None = None
        self._mask = torch.empty(0)  # [2 * batch, columns of the streams]
        self._columns = 0  # of the model's own, so far
        self._steered = torch.empty(0)  # [batch, steered columns of the pass], True where no padding is
        self.running = False

    def begin(self, ids: Tensor, real: Tensor, prompt_end: int, leading: int) -> None:
        """Run a text from its beginning: `ids` and `real` `[batch, columns]`, the first `leading` tokens BOS.

        Raises:
            InvalidInputError: for a prompt shorter than the tail, with padding in it, or one too long for the model.
        """
        first = prompt_end - self._plan.tail
        self._check(real, prompt_end, leading)
        befores = [first] * len(ids) if self._plan.at == "end" else (real.int().argmax(dim=1) + leading).tolist()
        rows = [
            self._with(instruction, row, mask, before)
            for instruction in self._instructions
            for row, mask, before in zip(ids, real, befores, strict=True)
        ]
        self._mask = torch.stack([mask for _, mask in rows])
        self._check_length()
        self._cache = DynamicCache(config=text_config(self._model))
        self._columns, self._steered = ids.shape[1], real[:, first:]
        self._run(torch.stack([row for row, _ in rows]))

    def go_on(self, ids: Tensor, real: Tensor, start: int) -> None:
        """Run `ids` and `real` `[batch, columns]`, which follow the `start` columns before.

        Raises:
            InvalidInputError: when these columns are not those that were run, or the text gets too long for the model.
        """
        if self._cache is None or start != self._columns or 2 * len(ids) != len(self._mask):
            raise InvalidInputError(
                f"the cache holds {start} columns of {len(ids)} rows, of which the two instructions have run "
                f"{self._columns if self._cache is not None else 0}",
                "run the whole prompt in one pass inside the block, with no assistant model; or pass use_cache=False",
            )
        self._columns, self._steered = start + ids.shape[1], real
        self._mask = torch.cat((self._mask, real.repeat(2, 1)), dim=1)
        self._check_length()
        self._run(ids.repeat(2, 1))

    def at_layer(self, layer: int, hidden: Tensor) -> Tensor | None:
        """Find a layer's change in the streams' `hidden` `[2 * batch, columns, d_model]`, and make it there too."""
        change = None
        if count := self._steered.shape[1]:
            positive, negative = hidden[:, -count:].chunk(2)
            difference = self._plan.coefficient * (positive - negative)
            change = self.changes[layer] = torch.where(self._steered.to(hidden.device)[..., None], difference, 0)
        if layer == self._plan.layers[-1]:
            raise _Done
        return None if change is None else added(hidden, change.repeat(2, 1, 1))

    @torch.no_grad()
    def _run(self, ids: Tensor) -> None:
        self.changes = {}
        given = {
            "attention_mask": self._mask.long(),
            "position_ids": self._positions(ids.shape[1]),
            "past_key_values": self._cache,
            "use_cache": True,
            "logits_to_keep": 1,
        }
        self.running = True
        try:
            # not by a call of the model, which would tell those who follow its passes
            self._model.forward(ids, **{name: value for name, value in given.items() if name in self._takes})
        except _Done:
            return
        finally:
            self.running = False

    def _positions(self, count: int) -> Tensor:
        return (self._mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -count:]

    def _with(self, instruction: Sequence[int], row: Tensor, real: Tensor, before: int) -> tuple[Tensor, Tensor]:
        """Return a row and its mask with the instruction put in; the shorter one is padded on the left."""
        padding = max(map(len, self._instructions)) - len(instruction)
        words = row.new_tensor(instruction)
        ids = torch.cat((row[:1].expand(padding), row[:before], words, row[before:]))
        parts = (real.new_zeros(padding), real[:before], real.new_ones(len(words)), real[before:])
        return ids, torch.cat(parts)

    def _check(self, real: Tensor, prompt_end: int, leading: int) -> None:
        tail = self._plan.tail
        if prompt_end > real.shape[1]:
            raise InvalidInputError(
                f"the prompt has {prompt_end} columns, and the pass {real.shape[1]}",
                "run the prompt in one pass (no prefill_chunk_size)",
            )
        for row, prompt in enumerate(real[:, :prompt_end]):
            if (count := max(int(prompt.sum()) - leading, 0)) < tail:
                raise InvalidInputError(
                    f"prompt {row} has {count} tokens, and the plan's tail {tail}",
                    "use a longer prompt, or a plan with a shorter tail",
                )
            if not bool(prompt[prompt_end - tail :].all()):
                raise InvalidInputError(f"prompt {row} ends in padding", "pad prompts on the left")

    def _check_length(self) -> None:
        context, length = context_length(self._model), self._mask.shape[1]
        if context is not None and length > context:
            raise InvalidInputError(
                f"with the instruction the text has {length} tokens, and the model takes {context}",
                "shorten the prompt, or ask for fewer new tokens",
            )


def added(hidden: Tensor, change: Tensor) -> Tensor:
    """Return `hidden` `[batch, columns, width]` with `change` added to its last columns."""
    count = change.shape[1]
    return torch.cat((hidden[:, :-count], hidden[:, -count:] + change), dim=1)
