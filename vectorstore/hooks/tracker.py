"""Tracker: one pre-hook on the whole model that knows, for each forward pass, which tokens it covers.

It gathers once per pass what every layer hook needs, so that those only index tensors that are ready. While it follows
a model, the model's `generate` tells it where the prompt ends; a bare forward is all prompt unless told otherwise.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.arrangement import Action, Arrangement
from vectorstore.hooks.coefficients import Coefficients
from vectorstore.hooks.following import following_generate
from vectorstore.hooks.prompt import columns_before, real_prompt
from vectorstore.hooks.recompute import forget_passes, remember_passes
from vectorstore.hooks.span import DecodeSpan, Memory, Span
from vectorstore.hooks.turn import Turn
from vectorstore.place import Place


class Pass(NamedTuple):
    """A forward pass, and what is to be done in it: as it was when the pass began."""

    span: Span | DecodeSpan
    actions: Mapping[Place, Sequence[Action]]
    training: bool


class Tracker:
    """Follows the forward passes of one model."""

    def __init__(
        self,
        model: nn.Module,
        prompt_length: int | Tensor | None,
        arrangement: Arrangement,
        coefficients: Coefficients,
    ) -> None:
        """Prepare to follow `model`; `prompt_length` (columns, or `[batch]` of them) is for bare forwards."""
        self._model = model
        self._prompt_length = prompt_length
        self._coefficients = coefficients
        self._names = tuple(inspect.signature(model.forward).parameters)
        self._prompt: Tensor | None = None  # [prompts, columns] of the generate call that is under way
        self._memory: Memory = {}  # of that call, or of the bare forwards since the last one that began a text
        self._pass: Pass | None = None
        self._decoded: DecodeSpan | None = None  # the last pass of generated tokens, if none of others came after it
        self._turn, self._thread = Turn(), 0  # the thread that runs the pass
        self._open = False
        self._checkpoints = False
        self._places: set[Place] = set()  # where passes may be resumed
        self.arrangement = arrangement

    @property
    def under_way(self) -> Pass:
        """The pass that is under way.

        Raises:
            InvalidInputError: when only a part of the model is being run.
        """
        if self._pass is None:
            raise InvalidInputError(
                f"a layer ran outside of {type(self._model).__name__}'s forward pass",
                "call the model that was given to steer(), not a part of it",
            )
        return self._pass

    @property
    def places(self) -> set[Place]:
        """Where something is done, or may be done again."""
        return self._places | self.arrangement.actions.keys()

    def take(self, arrangement: Arrangement) -> None:
        """Do something else from the next pass on.

        Raises:
            InvalidInputError: when the batch of the `generate` that is under way has another number of rows.
        """
        if self._prompt is not None:
            arrangement.rows.check(self._prompt.shape[0])
        if self._checkpoints:
            self._places |= self.arrangement.actions.keys()
        self.arrangement, self._decoded = arrangement, None

    @contextmanager
    def following(self, outer: nn.Module | None = None) -> Iterator[None]:
        """Follow the model, and what is around it, whose calls may pass the model's own by; both stay as they were."""
        with ExitStack() as stack:
            stack.enter_context(following_generate(self._model, self._generating))
            begin, end = map(torch.compiler.disable, (self._begin, self._end))  # no part of what is compiled
            for called in dict.fromkeys((outer or self._model, self._model)):
                stack.callback(called.register_forward_pre_hook(begin, with_kwargs=True).remove)
                stack.callback(called.register_forward_hook(end, always_call=True).remove)
            stack.callback(self._close)
            self._open = True
            yield

    def _close(self) -> None:
        self._open = False
        if self._checkpoints:
            forget_passes(self._model, self)

    @contextmanager
    def resuming(self, under_way: Pass) -> Iterator[None]:
        """Go on with a pass, or do a part of it again in its backward pass.

        Raises:
            InvalidInputError: when the block has ended, so that no layer would be steered.
        """
        if not self._open:
            raise InvalidInputError(
                "a backward pass came after the end of the block that steered its forward pass",
                "call backward() inside the block, or do without gradient checkpointing",
            )
        with self._turn.taken():
            outer, self._pass = self._pass, under_way
            try:
                yield
            finally:
                self._pass = outer

    @contextmanager
    def _generating(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[None]:
        with self._turn.taken():
            outer = self._prompt, self._memory
            self._prompt, self._memory = real_prompt(self._model, args, kwargs), {}
            try:
                self.arrangement.rows.check(self._prompt.shape[0])
                yield
            finally:
                (self._prompt, self._memory), self._decoded = outer, None
                if self._pass is not None:
                    self._end()  # torch does not tell of a pass that Ctrl-C ended

    def _begin(self, _model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._thread != get_ident():
            self._turn.take()
            self._thread = get_ident()
        training = torch.is_grad_enabled()
        if training and self._model.training:
            self._checkpoints = True
            remember_passes(self._model, self)
        given = dict(zip(self._names, args, strict=False)) | kwargs
        ids, embeds = given.get("input_ids"), given.get("inputs_embeds")
        inputs = ids if ids is not None else embeds
        if inputs is None:
            raise InvalidInputError("the model was called without input_ids", "pass input_ids or inputs_embeds")
        start, arrangement = columns_before(given), self.arrangement
        if self._prompt is not None and start >= self._prompt.shape[1]:
            span = self._decoding(inputs, start - self._prompt.shape[1] + 1)
            self._pass = Pass(span, arrangement.actions, training)
            return
        self._decoded = None
        begun = self._make_span(inputs, start, given.get("attention_mask"))
        if start == 0:
            arrangement.check(begun, ids)
        self._pass = Pass(begun, arrangement.actions, training)

    def _end(self, *_: object) -> None:
        if self._thread == get_ident():  # or it is told of a pass that another thread was not allowed to begin
            self._pass, self._thread = None, 0
            self._turn.give_back()

    def _decoding(self, inputs: Tensor, index: int) -> DecodeSpan:
        """Return the pass whose first token is the new one of this index; of several, each has its own."""
        batch, length = inputs.shape[:2]
        if length == 1:
            coefficient = self._coefficients.at(index, batch, inputs.device)
        else:
            indices = torch.arange(index, index + length, device=inputs.device)[None]
            coefficient = self._coefficients.among(indices, batch)
        last = self._decoded
        if (
            last is None
            or last.coefficient is not coefficient
            or last.memory is not self._memory
            or (last.batch, last.device) != (batch, inputs.device)
        ):
            last = self._decoded = DecodeSpan(batch, inputs.device, self._memory, coefficient)
        return last

    def _make_span(self, inputs: Tensor, start: int, mask: object) -> Span:
        batch, length = inputs.shape[:2]
        end = start + length
        if self._prompt is not None:
            prompts = self._prompt.shape[0]
            real, prompt_end = _rows(self._prompt.to(inputs.device), batch), self._prompt.shape[1]
            real = torch.cat((real, real.new_ones(batch, max(0, end - prompt_end))), dim=1)
        else:
            self.arrangement.rows.check(prompts := batch)
            real = _real_columns(mask, batch, start, end).to(inputs.device)
            prompt_end = end if self._prompt_length is None else self._prompt_length  # type: ignore[assignment]
            if start == 0 or self._prompt_length is None:  # where all is prompt, each pass is one of its own
                self._memory = {}
        ends = torch.as_tensor(prompt_end, device=inputs.device).reshape(-1, 1)
        if self._coefficients.scheduled:
            indices = torch.arange(start + 1, end + 1, device=inputs.device)[None] - ends  # [batch or 1, tokens]
            coefficient = self._coefficients.among(indices.clamp(min=0), batch)
        else:
            coefficient = self._coefficients.at(0, batch, inputs.device)
        return Span(start, length, real, ends, prompts, self._memory, coefficient)


def _rows(prompt: Tensor, batch: int) -> Tensor:
    """Repeat each prompt for its beams or returned sequences, as `generate` does."""
    return prompt.repeat_interleave(batch // prompt.shape[0], dim=0)


def _real_columns(mask: object, batch: int, start: int, end: int) -> Tensor:
    if not isinstance(mask, Tensor) or mask.ndim != 2:  # noqa: PLR2004 - [batch, columns]
        return torch.ones(batch, end, dtype=torch.bool)
    if mask.shape[1] == end - start:
        cached = torch.ones(batch, start, dtype=torch.bool, device=mask.device)
        return torch.cat((cached, mask.bool()), dim=1)
    if mask.shape[1] < end:
        raise InvalidInputError(
            f"the attention mask covers {mask.shape[1]} columns of {end}",
            "give one entry per token, cached ones included",
        )
    return mask[:, :end].bool()
