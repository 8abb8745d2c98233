"""Objective: how badly a model predicts the tokens of targets while something is added to its activations.

It is the cross-entropy of each target's own tokens, in nats; those of its prompt do not count. Gradients reach what is
added, where they are on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from inspect import signature
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError
from vectorstore.extract.positions import MEAN_ANSWER
from vectorstore.extract.prompts import Prompt, check_prompts, encode_items
from vectorstore.extract.protocols import Request
from vectorstore.extract.reading import padded
from vectorstore.hooks.hidden import Transform, on_place
from vectorstore.items import Item
from vectorstore.place import Place

Shifts = Sequence[Tensor]
"""What is added at each place: `[d]` to all rows of a batch, or `[rows, 1, d]`, to each row its own."""


class Predicted(NamedTuple):
    """What the model makes of the target tokens of some texts, text after text.

    Attributes:
        logits: `[tokens, vocabulary]`, float32.
        ids: the tokens that are wanted `[tokens]`.
        rows: which of the texts each belongs to `[tokens]`.
    """

    logits: Tensor
    ids: Tensor
    rows: Tensor

    @property
    def entropies(self) -> Tensor:
        """The cross-entropy of each target token `[tokens]`, in nats."""
        return cross_entropy(self.logits, self.ids, reduction="none")

    @property
    def right(self) -> Tensor:
        """Whether each token is the likeliest one after those before it `[tokens]`.

        Where all of a text's are, greedy decoding writes the text.
        """
        return self.logits.argmax(dim=-1) == self.ids


@dataclass(frozen=True)
class Objective:
    """The cross-entropy of targets, as what is added at some places changes it.

    Attributes:
        model: in eval mode.
        prompts: each target after its prompt.
        places: where something is added.
        batch_size: texts in one forward pass.
        front: whether it is added to the first token only (BOS, where there is one), instead of to all.
    """

    model: PreTrainedModel
    prompts: tuple[Prompt, ...]
    places: tuple[Place, ...]
    batch_size: int
    front: bool = False

    def predicted(self, indices: Sequence[int], shifts: Shifts) -> Predicted:
        """Return what the model makes of the targets at `indices`, each as often as it is there, in one pass."""
        prompts = [self.prompts[index] for index in indices]
        wanted = [(row, at) for row, prompt in enumerate(prompts) for at in _targets(prompt)]
        columns = sorted({at - 1 for _, at in wanted})
        kept = {column: index for index, column in enumerate(columns)}
        with ExitStack() as stack:
            for place, shift in zip(self.places, shifts, strict=True):
                stack.callback(on_place(self.model, place, self._adding(shift, len(prompts))).remove)
            logits = self._logits(prompts, columns)  # (rows, columns, vocabulary)
        rows = torch.tensor([row for row, _ in wanted], device=logits.device)
        found = torch.tensor([kept[at - 1] for _, at in wanted], device=logits.device)
        ids = torch.tensor([prompts[row].ids[at] for row, at in wanted], device=logits.device)
        return Predicted(logits[rows, found].float(), ids, rows)

    def total(self, indices: Sequence[int], shifts: Shifts) -> Tensor:
        """Return the summed cross-entropy of the targets at `indices`, in one pass."""
        return self.predicted(indices, shifts).entropies.sum()

    @torch.no_grad()
    def mean(self, indices: Sequence[int], shifts: Shifts) -> float:
        """Return the cross-entropy per target token."""
        totals = [float(self.total(batch, shifts)) for batch in self.batches(indices)]
        return sum(totals) / self.tokens(indices)

    @torch.no_grad()
    def means(self, indices: Sequence[int], copies: Shifts) -> Tensor:
        """Return the cross-entropy per target token under each of several shifts; copies share forward passes.

        Args:
            indices: which targets.
            copies: at each place `[copies, d]`.

        Returns:
            `[copies]`, float64.
        """
        count = len(copies[0])
        totals = torch.zeros(count, dtype=torch.float64)
        ordered = (index for batch in self.batches(indices) for index in batch)
        pairs = ((index, copy) for index in ordered for copy in range(count))
        while some := list(islice(pairs, self.batch_size)):
            chosen = [copy for _, copy in some]
            predicted = self.predicted([index for index, _ in some], [each[chosen, None] for each in copies])
            owners = torch.tensor(chosen)[predicted.rows.cpu()]  # (tokens,)
            totals.index_add_(0, owners, predicted.entropies.cpu().double())
        return totals / self.tokens(indices)

    def batches(self, indices: Sequence[int]) -> Iterator[list[int]]:
        """Yield `indices` in batches of texts that are near in length, the shortest first."""
        order = sorted(indices, key=lambda index: (len(self.prompts[index].ids), index))
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]

    def tokens(self, indices: Sequence[int]) -> int:
        """Return how many target tokens there are."""
        return sum(len(_targets(self.prompts[index])) for index in indices)

    def _adding(self, shift: Tensor, rows: int) -> Transform:
        def transform(hidden: Tensor) -> Tensor:
            by_row = hidden.reshape(rows, -1, hidden.shape[-1])  # (rows, tokens, d): OPT's MLP has them in one
            added = shift.to(by_row)
            if self.front:
                added = added * (torch.arange(by_row.shape[1], device=by_row.device) == 0)[:, None]
            return (by_row + added).reshape(hidden.shape)

        return transform

    def _logits(self, prompts: Sequence[Prompt], columns: list[int]) -> Tensor:
        """Return the logits at `columns` `[rows, columns, vocabulary]`; of no others, where the model can do that."""
        inputs: dict[str, Any] = dict(padded(prompts, self.model.device))
        if "logits_to_keep" in signature(self.model.forward).parameters:
            keep = torch.tensor(columns, device=self.model.device)
            logits: Tensor = self.model(**inputs, use_cache=False, logits_to_keep=keep).logits
            return logits
        logits = self.model(**inputs, use_cache=False).logits
        return logits[:, columns]


def objective_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: Sequence[Item],
    request: Request,
    *,
    front: bool = False,
) -> Objective:
    """Return the objective of all targets in `data`, at the places of `request`.

    Raises:
        InvalidInputError: for a target without tokens, longer than the model's context, or of another's tokenizer.
    """
    prompts = encode_items(tokenizer, data, request.use.params)
    check_prompts(model, prompts, MEAN_ANSWER, request.use.params)
    for prompt in prompts:
        if not _targets(prompt):
            raise InvalidInputError(f"{prompt.what} is one token that nothing comes before", "write a longer one")
    return Objective(model, prompts, request.places, request.batch_size, front)


def _targets(prompt: Prompt) -> range:
    """Return the positions of the target's tokens; the very first token of a text is never predicted."""
    return range(max(prompt.answer, 1), len(prompt.ids))
