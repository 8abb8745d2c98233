"""Tiny random models of every architecture that must work: 3 layers, some ten thousand parameters, no download."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

LAYER_COUNT = 3
VOCABULARY = 64

_LLAMA: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYER_COUNT,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
_WIDE_HEADS = _LLAMA | {"head_dim": 16}  # heads * head_dim = 64, twice d_model
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_GPT = {"n_embd": 32, "n_layer": LAYER_COUNT, "n_head": 4, "n_positions": 128}
_GPTJ = _GPT | {"rotary_dim": 4}
_FULL = {"hidden_size": 32, "num_hidden_layers": LAYER_COUNT, "num_attention_heads": 4}
_OPT = {"ffn_dim": 48, "max_position_embeddings": 128, "num_attention_heads": 4, "num_hidden_layers": LAYER_COUNT}

CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": _GPT,
    "gptj": _GPTJ,
    "gpt_neox": _FULL | {"intermediate_size": 48, "max_position_embeddings": 128},
    "opt": _OPT | {"hidden_size": 32, "word_embed_proj_dim": 32},
    "bloom": {"hidden_size": 32, "n_layer": LAYER_COUNT, "n_head": 4},
    "falcon": _FULL | {"new_decoder_architecture": False},
    "mpt": {"d_model": 32, "n_layers": LAYER_COUNT, "n_heads": 4, "max_seq_len": 128},
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mixtral": _LLAMA | {"num_local_experts": 4},
    "qwen2": _LLAMA,
    "qwen3": _WIDE_HEADS,
    "qwen3_moe": _WIDE_HEADS | _EXPERTS,
    "phi": _LLAMA,
    "phi3": _LLAMA | {"pad_token_id": 0},
    "gemma": _WIDE_HEADS,
    "gemma2": _WIDE_HEADS,
    "gemma3_text": _WIDE_HEADS,
    "olmo2": _LLAMA,
    "stablelm": _LLAMA,
    "granite": _LLAMA,
    "cohere": _LLAMA,
    "smollm3": _LLAMA | {"pad_token_id": 0},
    "gpt_oss": _WIDE_HEADS | {"num_local_experts": 4, "num_experts_per_tok": 2},
    # Not promised by name; found by structure all the same.
    "codegen": _GPTJ,
    "cohere2": _WIDE_HEADS,
    "dbrx": {"d_model": 32, "n_heads": 4, "n_layers": LAYER_COUNT, "max_seq_len": 128}
    | {"attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0}}
    | {"ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2}},
    "deepseek_v3": _LLAMA
    | {"num_key_value_heads": 4, "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
    | {"kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
    | {"first_k_dense_replace": 1, "n_group": 2, "topk_group": 1},
    "ernie4_5": _LLAMA,
    "exaone4": _LLAMA,
    "glm": _LLAMA | {"head_dim": 8, "pad_token_id": 0},
    "gpt_bigcode": _GPT,
    "gpt_neo": {"hidden_size": 32, "num_layers": LAYER_COUNT, "num_heads": 4, "max_position_embeddings": 128}
    | {"attention_types": [[["global"], LAYER_COUNT]]},
    "granitemoe": _LLAMA | {"num_local_experts": 4},
    "helium": _LLAMA | {"head_dim": 8},
    "nemotron": _LLAMA,
    "olmo": _LLAMA,
    "openai-gpt": _GPT,
    "qwen2_moe": _LLAMA | _EXPERTS | {"shared_expert_intermediate_size": 24},
    "starcoder2": _LLAMA,
    "xglm": {"d_model": 32, "ffn_dim": 48, "num_layers": LAYER_COUNT, "attention_heads": 4}
    | {"max_position_embeddings": 128},
}

_OTHERS: dict[str, dict[str, Any]] = {
    "bert": _LLAMA | {"is_decoder": True},
    "mamba": {"hidden_size": 32, "num_hidden_layers": LAYER_COUNT},
    "nemotron_h": _LLAMA
    | {"layers_block_type": ["attention", "mlp", "attention"], "head_dim": 8, "num_hidden_layers": LAYER_COUNT},
}
"""For tests of their own: what has no attention, or not in every layer, or adds nothing to a residual stream."""

ARCHITECTURES: tuple[str, ...] = tuple(CONFIGS)
"""The config's `model_type` of each, as in `AutoConfig.for_model`."""


def tiny_model(architecture: str = "llama", *, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """Return a random model in eval mode: 3 layers, d_model 32, 64 token ids; `changes` set any config field."""
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    fields = {"vocab_size": VOCABULARY, **tokens, **(CONFIGS | _OTHERS)[architecture], **changes}
    config = AutoConfig.for_model(architecture, **fields)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    return model.eval()
