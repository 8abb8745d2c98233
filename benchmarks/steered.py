"""What the benchmarks of steering steer: plans, a model whose layers do nothing, and greedy texts of one length."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from vectorstore.models.layers import decoder_layers
from vectorstore.place import Place
from vectorstore.plan import Plan, Step
from vectorstore.tokens import Tokens

OPERATORS = ("add", "ablate", "clamp", "affine", "keepnorm", "piecewise")


class IdleLayer(LlamaDecoderLayer):
    """A layer that gives back what it gets."""

    def forward(self, hidden_states: Tensor, *_: object, **__: object) -> Tensor:
        """Do nothing."""
        return hidden_states


def idle_model(layers: int, width: int) -> LlamaForCausalLM:
    """Return a model of which only the first layer does anything, which fills the cache; the same each time."""
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=width,
        intermediate_size=64,
        max_position_embeddings=4096,
        num_hidden_layers=layers,
        num_attention_heads=9,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    for layer in decoder_layers(model)[1:]:
        layer.__class__ = IdleLayer
    return model


def directions_of(layers: Iterable[int], width: int, seed: int = 0, size: float = 1.0) -> dict[int, Tensor]:
    """Return a random direction `[width]` for each layer."""
    random = np.random.default_rng(seed)
    return {layer: torch.from_numpy((size * random.normal(size=width)).astype(np.float32)) for layer in layers}


def plan_of(
    directions: dict[int, Tensor], operator: str = "add", tokens: Tokens = "all", site: str = "resid_post"
) -> Plan:
    """Return a plan with one step at each layer."""
    params = {"value": 1.0}
    steps = (Step(operator, Place(site, n), tokens, each.numpy(), params) for n, each in directions.items())
    return Plan(tuple(steps))


def options_of(tokens: int) -> dict[str, object]:
    """Return what makes `generate` greedy, and as long as this."""
    return {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}


def generate(model: PreTrainedModel, ids: Tensor, tokens: int, mask: Tensor | None = None) -> Tensor:
    """Return the prompts `[batch, columns]` and so many new tokens of each."""
    given = torch.ones_like(ids) if mask is None else mask
    written: Tensor = model.generate(ids, attention_mask=given, **options_of(tokens))  # type: ignore[operator]
    return written
