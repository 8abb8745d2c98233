"""Answers: how likely a model finds each answer to its prompt, as multiple choice is scored. It needs no judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError
from vectorstore.models.context import check_ids
from vectorstore.models.tokenizer import encode, text_ids

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Prompts padded on the left, and beside each its answer, padded on the right.

    Attributes:
        ids: `[batch, columns]`.
        real: `[batch, columns]`, True where no padding is.
        prompt_length: so many columns are prompt; `steer` and `contrast` take it.
    """

    ids: Tensor
    real: Tensor
    prompt_length: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], answers: Sequence[str]) -> Answers:
        """Tokenize prompts and answers, each by itself; BOS first.

        Raises:
            InvalidInputError: when there are not as many of both, or an answer has no tokens.
        """
        if len(prompts) != len(answers) or not prompts:
            raise InvalidInputError(
                f"{len(prompts)} prompts and {len(answers)} answers", "give one answer for each prompt"
            )
        rows = [text_ids(tokenizer, answer) for answer in answers]
        if not all(rows):
            raise InvalidInputError(f"answer {rows.index(())} has no tokens", "write what is to be scored")
        before, longest = encode(tokenizer, prompts), max(map(len, rows))
        pad = tokenizer.pad_token_id or 0
        ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows])
        real = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows])
        return cls(
            torch.cat((before["input_ids"], ids), dim=1),
            torch.cat((before["attention_mask"].bool(), real), dim=1),
            before["input_ids"].shape[1],
        )

    @torch.no_grad()
    def log_probabilities(self, model: PreTrainedModel) -> Floats:
        """Return `[batch]`: the sum of the log-probabilities of each answer's tokens.

        Inside `steer` or `contrast` it is the steered model's. After `get_logprobs` of RepE's notebooks.

        Raises:
            InvalidInputError: when the tokenizer is another model's.
        """
        check_ids(model, self.ids.flatten().tolist())
        ids, mask = self.ids.to(model.device), self.real.to(model.device)
        positions = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
        takes = {"position_ids": positions} if "position_ids" in signature(model.forward).parameters else {}
        logits = model(input_ids=ids, attention_mask=mask.long(), use_cache=False, **takes).logits
        before = logits[:, self.prompt_length - 1 : -1].float().log_softmax(dim=-1)  # the token before chooses
        chosen = before.gather(2, ids[:, self.prompt_length :, None]).squeeze(2)
        return torch.where(mask[:, self.prompt_length :], chosen, 0).sum(dim=1).double().cpu().numpy()
