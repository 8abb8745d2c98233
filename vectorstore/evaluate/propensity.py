"""Propensity: how likely a model is to say certain words next. Needs no judge and no generation."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError
from vectorstore.models.context import check_ids
from vectorstore.models.tokenizer import encode, text_ids

Floats = npt.NDArray[np.float64]


@torch.no_grad()
def next_token_mass(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], *word_lists: Sequence[str]
) -> Floats:
    """Return `[lists, prompts]`: the probability that the token after each prompt is one of each list's words.

    Run inside `steer` it measures the steered model (ActAdd's `effectiveness` is the difference of the logarithms;
    arXiv 2308.10248, `logits.py` of the authors' code).

    Args:
        model: the causal language model.
        tokenizer: its tokenizer, as `load_model` returns it.
        prompts: open texts, such as "I went up to my friend and said".
        word_lists: words that are one token each, with their leading space: " wedding".

    Raises:
        InvalidInputError: for a word that is not one token, or a tokenizer that is another model's.
    """
    ids = [[_one_token(tokenizer, word) for word in words] for words in word_lists]
    inputs = encode(tokenizer, prompts).to(next(model.parameters()).device)
    check_ids(model, [*inputs["input_ids"].flatten().tolist(), *(number for numbers in ids for number in numbers)])
    logits = model(**inputs, use_cache=False, **_extras(model, inputs["attention_mask"])).logits[:, -1]
    probabilities = logits.float().softmax(dim=-1)  # [prompts, vocabulary]; padding is left
    return np.stack([probabilities[:, numbers].sum(dim=-1).double().cpu().numpy() for numbers in ids])


def _extras(model: nn.Module, mask: torch.Tensor) -> dict[str, Any]:
    """Return what the model takes besides: positions that count no padding, as `generate` gives, and the last row only.

    Without them, models with absolute positions (GPT-2) read a padded prompt as if it began further on.
    """
    takes = signature(model.forward).parameters
    positions = (mask.cumsum(dim=-1) - 1).clamp(min=0)  # (prompts, tokens)
    extras = {"position_ids": positions, "logits_to_keep": 1}
    return {name: value for name, value in extras.items() if name in takes}


def _one_token(tokenizer: PreTrainedTokenizerBase, word: str) -> int:
    ids = text_ids(tokenizer, word)
    if len(ids) != 1:
        raise InvalidInputError(f"'{word}' is {len(ids)} tokens of this model", "choose words that are one token each")
    return ids[0]
