"""Span: which columns one forward pass covers, where the prompt ends, and which tokens a step therefore steers.

Columns are those of the whole padded batch, counted from its left edge, cached ones included. So nothing here depends
on `seq_len == 1`, `cache_position` or `position_ids`.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.coefficients import Coefficient
from vectorstore.tokens import Tokens, first_position

Where = Tensor | Literal[True] | None
"""The tokens to steer: a mask `[batch, tokens]`, True for every one, None for none."""

Memory = MutableMapping[Any, Any]
"""What the layers' hooks remember from the pass over a prompt to the last token generated from it."""

Pair = tuple[Tensor, Tensor]
"""A direction `[..., width]` and its target `[..., 1]`."""

Settled = Mapping[object, tuple[torch.dtype, Pair]]
"""By step: the dtype of the activations, and what they are changed by."""

_ENDS: dict[Tokens, str] = {"prompt_front": "first", "prompt_middle": "middle", "prompt_back": "last"}


@dataclass(frozen=True)
class Span:
    """One forward pass over columns `start … start + length - 1`.

    Attributes:
        start: number of columns already in the cache.
        length: number of columns in this pass.
        real: `[batch, columns]` True where a column is no padding; all columns up to the end of this pass at least.
        prompt_end: `[batch, 1]` or `[1, 1]`: first column after the prompt.
        prompts: how many prompts the batch has; each has the same number of rows.
        memory: of the generation that the pass belongs to.
        coefficient: what vectors are multiplied by.
    """

    start: int
    length: int
    real: Tensor
    prompt_end: Tensor
    prompts: int
    memory: Memory = field(default_factory=dict)
    coefficient: Coefficient = 1.0
    settled: ClassVar[Settled] = MappingProxyType({})

    @property
    def batch(self) -> int:
        """The number of rows."""
        return self.real.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the masks are."""
        return self.real.device

    @property
    def prompt_known(self) -> Tensor:
        """`[batch, 1]`, True where the prompt ends in this pass, or before it."""
        return (self.prompt_end <= self.start + self.length).expand(self.batch, 1)

    @property
    def first(self) -> Tensor:
        """`[batch, tokens]`, True for the first real token of each text: BOS, where there is one."""
        return self._columns == self._first_real

    @cached_property
    def after_prompt(self) -> bool:
        """Whether every prompt ends before this pass."""
        return bool((self.prompt_end <= self.start).all())

    def mask(self, tokens: Tokens) -> Tensor:
        """Return `[batch, tokens]`, True for the tokens of this kind (kinds by position: see `own_rows`)."""
        masks = {"all": "_all", "prompt": "_prompt", "generated": "_generated", "last": "_last"}
        mask: Tensor = getattr(self, masks[tokens])
        return mask

    def where(self, tokens: Tokens) -> Where:
        """Return which tokens of this pass are of the kind `tokens`."""
        if tokens not in self._simplified:
            self._simplified[tokens] = simplified(self.mask(tokens))
        return self._simplified[tokens]

    def own_rows(self, tokens: Tokens, count: int, counts: Tensor | None = None) -> tuple[Tensor, Tensor] | None:
        """Return for each token which row of a `[count, d]` direction is its own, and a mask of those that have one.

        Rows that fall outside of the prompt are nobody's. None where no token has a row. With `counts` `[batch, 1]`, a
        text has that many rows of its own.
        """
        rows = count if counts is None else counts
        first = self._first_real + first_position(tokens, rows, self._prompt_tokens)
        own = self._columns - first  # [batch, tokens]
        inside = (own >= 0) & (own < rows) & self._prompt
        return (own.clamp(0, count - 1), inside) if bool(inside.any()) else None

    def check_length(self, needs: Sequence[tuple[Tokens, int]]) -> None:
        """Check that the prompt of each row has at least so many real tokens, for a direction of this kind.

        Raises:
            InvalidInputError: naming the first row that is shorter.
        """
        for row, (length, (tokens, count)) in enumerate(zip(self._prompt_tokens.tolist(), needs, strict=True)):
            if length[0] < count:
                raise InvalidInputError(
                    f"prompt {row} has {length[0]} tokens, but the vector steers the {_ENDS[tokens]} {count}",
                    "use a longer prompt, or steer with truncate=True (steer generate: --truncate)",
                )

    def check_bos(self, input_ids: Tensor, bos_token_id: int, rows: Sequence[bool]) -> None:
        """Check that the first real token of these rows of `input_ids` `[batch, tokens]` is BOS.

        Raises:
            InvalidInputError: naming the first row that begins otherwise.
        """
        column = self._first_real.clamp(max=self.length - 1)
        begins_otherwise = (input_ids.gather(1, column) != bos_token_id) & self._all.gather(1, column)
        begins_otherwise &= torch.tensor(rows, device=input_ids.device)[:, None]
        if bool(begins_otherwise.any()):
            row = int(begins_otherwise[:, 0].int().argmax())
            raise InvalidInputError(
                f"prompt {row} begins with token {int(input_ids[row, column[row]])}, but the vector was computed with "
                f"BOS (token {bos_token_id}) first",
                "tokenize with the tokenizer of load_model(), which puts BOS first",
            )

    @cached_property
    def _simplified(self) -> dict[Tokens, Where]:
        return {}

    @cached_property
    def _all_columns(self) -> Tensor:
        return torch.arange(self.real.shape[1], device=self.real.device)[None]  # [1, columns]

    @cached_property
    def _columns(self) -> Tensor:
        return self._all_columns[:, self.start : self.start + self.length]  # [1, tokens]

    @cached_property
    def _first_real(self) -> Tensor:
        return self.real.int().argmax(dim=1, keepdim=True)  # [batch, 1]

    @cached_property
    def _all(self) -> Tensor:
        return self.real[:, self.start : self.start + self.length]  # [batch, tokens]

    @cached_property
    def _prompt(self) -> Tensor:
        return self._all & (self._columns < self.prompt_end)

    @cached_property
    def _prompt_tokens(self) -> Tensor:
        """`[batch, 1]`: the real columns of each prompt; all that are still to come count as real."""
        known = (self.real & (self._all_columns < self.prompt_end)).sum(dim=1, keepdim=True)
        return known + (self.prompt_end - self.real.shape[1]).clamp(min=0)

    @cached_property
    def _last(self) -> Tensor:
        prompt = self.real & (self._all_columns < self.prompt_end)
        last = torch.where(prompt, self._all_columns, -1).amax(dim=1, keepdim=True)  # [batch, 1]
        is_over = self.prompt_end <= self.real.shape[1]  # by hand a prompt may come in parts, the rest still unknown
        return self._all & (self._columns == last) & is_over

    @cached_property
    def _generated(self) -> Tensor:
        return (self._all & (self._columns >= self.prompt_end)) | self._last


@dataclass(frozen=True)
class DecodeSpan:
    """A pass of generated tokens only, and those like it: the fast path of every decoding step.

    Attributes:
        batch: the number of rows.
        device: where the inputs are.
        memory: of the generation that the pass belongs to.
        coefficient: what vectors are multiplied by.
        settled: what the first of these passes found for steps that steer every token of every row alike.
    """

    batch: int
    device: torch.device
    memory: Memory
    coefficient: Coefficient
    settled: dict[object, tuple[torch.dtype, Pair]] = field(default_factory=dict)

    def where(self, tokens: Tokens) -> Where:
        """Return True for `all` and `generated`, None for the prompt's kinds."""
        return True if tokens in ("all", "generated") else None

    def own_rows(self, _tokens: Tokens, _count: int, _counts: Tensor | None = None) -> None:
        """Return None: the prompt is over."""
        return


def simplified(mask: Tensor) -> Where:
    """Return True for a mask of nothing but True, None for one of nothing but False."""
    if bool(mask.all()):
        return True
    return mask if bool(mask.any()) else None
