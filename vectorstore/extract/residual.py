"""R, the residual norm at a layer: the scale that strengths are measured by.

R is the median norm over the non-sink positions of one neutral text that ships with the package, so that any two
vectors on one model agree about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.extract.finite import check_finite
from vectorstore.hooks.record import record
from vectorstore.models.context import check_ids, context_length
from vectorstore.models.identity import fingerprint
from vectorstore.models.tokenizer import token_ids
from vectorstore.place import Place

SINK_FACTOR = 10

_Key = tuple[str, torch.dtype, tuple[int, ...]]
_known: WeakKeyDictionary[nn.Module, tuple[_Key, dict[Place, float]]] = WeakKeyDictionary()


def residual_norms(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, places: Sequence[Place]
) -> dict[Place, float]:
    """Return R at each place; measured once per model, and only as deep as the places ask for.

    `attn_out` and `mlp_out` are measured by their layer's `resid_pre`. `head_out` has no R and is left out.

    Raises:
        InvalidInputError: when the model's activations are NaN, or the tokenizer is another model's.
    """
    sources = {place: residual_place(place) for place in places if place.site != "head_out"}
    known = _measured(model, tokenizer)
    missing = [place for place in dict.fromkeys(sources.values()) if place not in known]
    if missing:
        neutral = _neutral_ids(model, tokenizer)
        check_ids(model, neutral)
        ids = torch.tensor([neutral], device=model.device)
        recorded = record(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, missing)
        known |= {place: _norm(hidden[0], place, model) for place, hidden in recorded.items()}
    return {place: known[source] for place, source in sources.items()}


def residual_norm(hidden: Tensor) -> float:
    """Return the median norm over the non-sink rows of `hidden` `[tokens, width]`.

    Row 0 is always a sink; so is every row whose norm is more than ten times the median of the rows after it.
    """
    norms = torch.linalg.vector_norm(hidden[1:].float(), dim=-1)  # (tokens - 1)
    sinks = norms > SINK_FACTOR * norms.quantile(0.5)
    return float(norms[~sinks].quantile(0.5))


def residual_place(place: Place) -> Place:
    """Return where the residual stream is that `place` is measured by."""
    return place if place.site == "resid_post" else Place("resid_pre", place.layer)


def _measured(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[Place, float]:
    """Return what is known of these weights with this tokenizer; the caller adds to it."""
    key = (fingerprint(model), model.dtype, _neutral_ids(model, tokenizer))
    if model not in _known or _known[model][0] != key:
        _known[model] = (key, {})
    return _known[model][1]


def _neutral_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    return token_ids(tokenizer, [neutral_text()])[0][: context_length(model)]


def _norm(hidden: Tensor, place: Place, model: PreTrainedModel) -> float:
    norm = residual_norm(hidden)
    check_finite(norm, place, model)
    return norm


@cache
def neutral_text() -> str:
    """Return the shipped neutral text, as one line."""
    return " ".join(files("vectorstore.extract").joinpath("neutral.txt").read_text("utf-8").split())
