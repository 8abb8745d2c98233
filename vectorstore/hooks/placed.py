"""PlacedStep: one change at one place, for the rows whose plans have it there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from vectorstore.hooks.gate import Gate
from vectorstore.hooks.operators import get_operator, shift
from vectorstore.hooks.rows import Rows
from vectorstore.hooks.span import DecodeSpan, Pair, Span, Where, simplified
from vectorstore.hooks.stack import Stack
from vectorstore.plan import Step
from vectorstore.tokens import BY_POSITION


class PlacedStep:
    """Steps of one plan, or of several that make the same change to the same kind of tokens."""

    def __init__(
        self, steps: Mapping[int, Step], rows: Rows, gates: Sequence[Gate] = (), tensor: Tensor | None = None
    ) -> None:
        """Take the steps by the number of their plan; `gates` have to be open for all of them; see Stack."""
        first = next(iter(steps.values()))
        self._tokens = first.tokens
        operator = get_operator(first.operator)
        same = all(step.operator == first.operator for step in steps.values())
        self._change = operator.alone if same and operator.alone else operator.change
        self._stack, self._rows, self._gates = Stack(steps, rows, tensor), rows, tuple(gates)
        members = [number in steps for number in range(rows.plans)]
        self._members = None if all(members) or self._change is shift else members  # a stack's rest adds nothing
        self._by_position, self._some_rows = self._tokens in BY_POSITION, bool(self._members or self._gates)
        self._trained = tensor is not None
        self._masks: dict[tuple[int, torch.device], Tensor] = {}

    def apply(self, hidden: Tensor, span: Span | DecodeSpan) -> Tensor | None:
        """Return the steered `hidden` `[..., width]`, or None where this pass has no token to steer."""
        settled = span.settled.get(self)
        if settled is not None and settled[0] is hidden.dtype:
            return self._change(hidden, *settled[1])
        if self._by_position:
            return self._apply_by_position(hidden, span)
        where = span.where(self._tokens)
        if self._some_rows:
            where = self._among_rows(where, span)
        pair = None if where is None else self._stack.pair(hidden, span)
        if pair is None:
            return None
        if where is True and pair[0].ndim == 1:
            if isinstance(span, DecodeSpan) and not self._trained:
                span.settled[self] = hidden.dtype, pair
            return self._change(hidden, *pair)
        return self._changed(hidden, pair, where, span)

    def _apply_by_position(self, hidden: Tensor, span: Span | DecodeSpan) -> Tensor | None:
        found = self._own_rows(span)
        if found is None:
            return None
        own, inside = found
        where = self._among_rows(inside, span) if self._some_rows else inside
        pair = None if where is None else self._stack.by_token(hidden, own, span.coefficient)
        return None if pair is None else self._changed(hidden, pair, where, span)

    def _own_rows(self, span: Span | DecodeSpan) -> tuple[Tensor, Tensor] | None:
        counts = self._stack.counts
        if isinstance(span, DecodeSpan) or self._rows.shared:
            return span.own_rows(self._tokens, counts[0])
        of_rows = self._rows.chosen(counts, span.batch, span.device)[:, None]  # [batch, 1]
        return span.own_rows(self._tokens, max(counts), of_rows)

    def _changed(self, hidden: Tensor, pair: Pair, where: Where, span: Span | DecodeSpan) -> Tensor:
        if hidden.ndim == 2:  # noqa: PLR2004 - OPT's MLP: [batch * tokens, width]
            return self._changed(hidden.reshape(span.batch, -1, hidden.shape[-1]), pair, where, span).flatten(0, 1)
        changed = self._change(hidden, *pair)
        if isinstance(where, Tensor):
            changed = torch.where(where.to(hidden.device)[..., None], changed, hidden)
        return changed

    def _among_rows(self, where: Where, span: Span | DecodeSpan) -> Where:
        """Leave out the rows whose plan has no such step, or whose gates are closed."""
        if where is None:
            return None
        rows = self._open_rows(where, span) if self._gates else self._member_rows(span)
        if rows is None or rows is True:
            return rows and where
        return rows if where is True else where & rows

    def _member_rows(self, span: Span | DecodeSpan) -> Tensor | Literal[True]:
        if self._members is None:
            return True
        key = span.batch, span.device
        if key not in self._masks:
            with torch.inference_mode(mode=False):
                self._masks[key] = self._rows.chosen(self._members, *key)[:, None]  # [batch, 1]
        return self._masks[key]

    def _open_rows(self, where: Where, span: Span | DecodeSpan) -> Where:
        """Return which rows are steered `[batch, 1]`; found once for each prompt."""
        if self in span.memory:
            known: Where = span.memory[self]
            return known
        rows = [gate.rows(span, where) for gate in self._gates]  # [batch, 1] each
        members = self._member_rows(span)
        found = simplified(torch.stack(rows if members is True else [*rows, members]).all(dim=0))
        if all(gate.finished(span) for gate in self._gates):
            span.memory[self] = found
        return found
