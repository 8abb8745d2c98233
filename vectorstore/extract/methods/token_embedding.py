"""Token embedding: a word's row of the model's input embedding, kept as a vector for arithmetic with words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import Apply
from vectorstore.errors import InvalidInputError
from vectorstore.extract.finite import check_finite
from vectorstore.extract.prompts import CHAT, Prompt, encode_items
from vectorstore.extract.protocols import Direction, ModelMethod, Request
from vectorstore.models.context import check_ids
from vectorstore.models.layers import d_model
from vectorstore.place import Place
from vectorstore.vector import Array

TOKENS = "tokens"
"""The figure under which a card keeps how many tokens the word is."""


def run(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Sequence[Any], request: Request
) -> dict[Place, Direction]:
    """Return the same embedding at every place that was asked for; no layer runs.

    Raises:
        InvalidInputError: for a chat, a word without tokens, or a model whose embedding is not as wide as its layers.
    """
    if CHAT.name in request.use.params:
        raise InvalidInputError("token_embedding looks a word up, and --chat puts it into a chat", "leave --chat out")
    (prompt,) = encode_items(tokenizer, data, request.use.params)
    rows = _rows(model, prompt)
    for place in request.places:
        check_finite(rows, place, model)
    figures = {TOKENS: float(len(rows))}
    return {place: Direction(rows.mean(axis=0), figures=figures) for place in request.places}


def _rows(model: PreTrainedModel, prompt: Prompt) -> Array:
    """Return the embedding `[tokens, d]`, in float64, of the word's own tokens."""
    ids = prompt.ids[prompt.answer :]
    if not ids:
        raise InvalidInputError(f"{prompt.what} has no tokens", "write a word")
    check_ids(model, ids)
    embedding = model.get_input_embeddings()
    with torch.no_grad():
        rows: Array = embedding(torch.tensor([ids], device=model.device))[0].double().cpu().numpy()
    if rows.shape[1] != d_model(model):
        raise InvalidInputError(
            f"the embedding is {rows.shape[1]} wide, and the layers are {d_model(model)}",
            "this model projects embeddings before its first layer; read activations there instead",
        )
    return np.asarray(rows)


TOKEN_EMBEDDING = ModelMethod(
    name="token_embedding",
    version="1",
    summary="One word: its row of the input embedding, the mean row where it is several tokens",
    source="Mikolov et al., Linguistic Regularities in Continuous Space Word Representations, NAACL 2013",
    apply=Apply("all"),
    data="targets",
    sites=("resid_pre", "resid_post"),
    max_items=1,
    run=run,
)
