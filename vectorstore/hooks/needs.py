"""Needs: what a plan asks of the prompts that it steers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from vectorstore.hooks.arrangement import Check
from vectorstore.hooks.rows import Rows
from vectorstore.hooks.span import Span
from vectorstore.models.identity import identify
from vectorstore.plan import Plan
from vectorstore.tokens import Tokens


@dataclass(frozen=True)
class Needs:
    """What a plan asks of its prompts.

    Attributes:
        tokens, rows: at least so many tokens, for a direction of this kind; 0 where it has none.
        bos_ids: tokens to begin with.
    """

    tokens: Tokens
    rows: int
    bos_ids: frozenset[int]


def needs_of(model: nn.Module, plan: Plan, *, truncate: bool, force: bool) -> Needs:
    """Return what `plan` needs: its vectors' BOS or, where other models are forced, the model's own."""
    made_on = [ingredient.card.model for ingredient in plan.ingredients]
    identities = [identify(model)] if force and made_on else made_on
    parts = () if truncate else (part for step in plan.steps for part in step if part.direction.ndim > 1)
    longest = max(((len(part.direction), part.tokens) for part in parts), default=(0, "all"))
    return Needs(
        longest[1], longest[0], frozenset(bos for identity in identities if (bos := identity.bos_token_id) is not None)
    )


def check_of(needs: Sequence[Needs], rows: Rows) -> Check:
    """Return the check of a batch whose rows have the needs of their plans."""
    all_bos_ids = frozenset[int]().union(*(need.bos_ids for need in needs))

    def check(span: Span, input_ids: Tensor | None) -> None:
        of_rows = [needs[number] for number in rows.of_batch(span.batch)]
        if any(need.rows for need in needs):
            span.check_length([(need.tokens, need.rows) for need in of_rows])
        if input_ids is not None:
            for bos in all_bos_ids:
                span.check_bos(input_ids, bos, [bos in need.bos_ids for need in of_rows])

    return check
