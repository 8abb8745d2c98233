"""Span: which columns one forward pass covers, where the prompt ends, and which tokens a step therefore steers.

Columns are those of the whole padded batch, counted from its left edge, cached ones included. So nothing here depends
on `seq_len == 1`, `cache_position` or `position_ids`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from vectorstore.errors import InvalidInputError
from vectorstore.tokens import Tokens

Where = Tensor | Literal[True] | None
"""The tokens to steer: a mask `[batch, tokens]`, True for every one, None for none."""


@dataclass(frozen=True)
class Span:
    """One forward pass over columns `start … start + length - 1`.

    Attributes:
        start: number of columns already in the cache.
        length: number of columns in this pass.
        real: `[batch, columns]` True where a column is no padding; all columns up to the end of this pass at least.
        prompt_end: `[batch, 1]` or `[1, 1]`: first column after the prompt.
    """

    start: int
    length: int
    real: Tensor
    prompt_end: Tensor

    def where(self, tokens: Tokens) -> Where:
        """Return which tokens of this pass are of the kind `tokens` (`prompt_front`: see `front_rows`)."""
        masks = {"all": self._all, "prompt": self._prompt, "generated": self._generated, "last": self._last}
        return _simplified(masks[tokens])

    def front_rows(self, count: int) -> tuple[Tensor, Tensor] | None:
        """Return for each token which row of a `[count, d]` direction is its own, and a mask of those that have one.

        Rows are counted from each text's first real token, and end with its prompt. None where no token has a row.
        """
        offset = self._columns - self._first_real  # [batch, tokens]
        inside = (offset >= 0) & (offset < count) & self._prompt
        return (offset.clamp(0, count - 1), inside) if bool(inside.any()) else None

    def check_front(self, count: int) -> None:
        """Check that every prompt has at least `count` real tokens.

        Raises:
            InvalidInputError: naming the first row that is shorter.
        """
        prompt = self.real & (self._all_columns < self.prompt_end)
        for row, length in enumerate(prompt.sum(dim=1).tolist()):
            if length < count:
                raise InvalidInputError(
                    f"prompt {row} has {length} tokens, but the vector steers the first {count}",
                    "use a longer prompt, or steer with truncate=True (steer generate: --truncate)",
                )

    def check_bos(self, input_ids: Tensor, bos_token_id: int) -> None:
        """Check that the first real token of every row of `input_ids` `[batch, tokens]` is BOS.

        Raises:
            InvalidInputError: naming the first row that begins otherwise.
        """
        column = self._first_real.clamp(max=self.length - 1)
        begins_otherwise = (input_ids.gather(1, column) != bos_token_id) & self._all.gather(1, column)
        if bool(begins_otherwise.any()):
            row = int(begins_otherwise[:, 0].int().argmax())
            raise InvalidInputError(
                f"prompt {row} begins with token {int(input_ids[row, column[row]])}, but the vector was computed with "
                f"BOS (token {bos_token_id}) first",
                "tokenize with the tokenizer of load_model(), which puts BOS first",
            )

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
    def _last(self) -> Tensor:
        prompt = self.real & (self._all_columns < self.prompt_end)
        last = torch.where(prompt, self._all_columns, -1).amax(dim=1, keepdim=True)  # [batch, 1]
        return self._all & (self._columns == last)

    @cached_property
    def _generated(self) -> Tensor:
        return (self._all & (self._columns >= self.prompt_end)) | self._last


class DecodeSpan:
    """A pass of generated tokens only: the fast path of every decoding step, without a tensor operation."""

    def where(self, tokens: Tokens) -> Where:
        """Return True for `all` and `generated`, None for the prompt's kinds."""
        return True if tokens in ("all", "generated") else None

    def front_rows(self, _count: int) -> None:
        """Return None: the prompt is over."""
        return


def _simplified(mask: Tensor) -> Where:
    if bool(mask.all()):
        return True
    return mask if bool(mask.any()) else None
