"""Flow: how a layer of an architecture adds to the residual stream, as far as baking needs to know it.

Each line was read off the architecture's modeling code in transformers. A new architecture needs a line; what is not in
the table is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Flow:
    """How a layer computes.

    Attributes:
        parallel: whether attention and MLP read the same residual stream, and are added to it together.
        scale: what the outputs of attention and MLP are multiplied by before they are added.
        branch_norm: whether a norm stands between these outputs and the residual stream.
        stream_norms: the layer's norms that the residual stream itself goes through: after attention, after the MLP.
        positions: the table of learned positions that is added to the token embeddings, from the base model.
        embedding_norm: the norm after the embeddings, from the base model.
        embedding_scale: what the token embeddings are multiplied by, where their module does not say.
        embedding_fixed: what else is added to the token embeddings that no parameter holds, in words.
        experts_axis: the axis of d_model in the experts' output weights.
        stream_resets: why the residual stream is no plain sum of what is added to it, in words.
    """

    parallel: bool = False
    scale: float = 1.0
    branch_norm: bool = False
    stream_norms: tuple[str, str] | None = None
    positions: str = ""
    embedding_norm: str = ""
    embedding_scale: float = 1.0
    embedding_fixed: str = ""
    experts_axis: int = 1
    stream_resets: str = ""


@dataclass(frozen=True)
class _Line:
    """A Flow whose values may stand in the config.

    Attributes:
        fields: of Flow, as they are.
        parallel_if: the layer is parallel where any of these is true in the config.
        scale_of: the field of the config that holds `scale`.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    parallel_if: tuple[str, ...] = ()
    scale_of: str = ""


def _line(*, parallel_if: tuple[str, ...] = (), scale_of: str = "", **fields: Any) -> _Line:  # noqa: ANN401 - of Flow
    return _Line(fields, parallel_if, scale_of)


_PLAIN = _line()
_PARALLEL = _line(parallel=True)
_NORMED = _line(branch_norm=True)
_SCALED = _line(scale_of="residual_multiplier")
_LEARNED = _line(positions="wpe")

_LINES: dict[str, _Line] = {
    **dict.fromkeys(("llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "phi3"), _PLAIN),
    **dict.fromkeys(("smollm3", "deepseek_v3", "ernie4_5", "glm", "helium", "nemotron", "olmo"), _PLAIN),
    **dict.fromkeys(("starcoder2", "mpt", "gemma"), _PLAIN),
    **dict.fromkeys(("gptj", "codegen", "phi", "cohere", "cohere2"), _PARALLEL),
    **dict.fromkeys(("gemma2", "gemma3_text", "olmo2", "exaone4"), _NORMED),
    **dict.fromkeys(("granite", "granitemoe"), _SCALED),
    **dict.fromkeys(("gpt2", "gpt_bigcode", "gpt_neo"), _LEARNED),
    "gpt_neox": _line(parallel_if=("use_parallel_residual",)),
    "stablelm": _line(parallel_if=("use_parallel_residual",)),
    "falcon": _line(parallel_if=("parallel_attn", "new_decoder_architecture")),
    "bloom": _line(embedding_norm="word_embeddings_layernorm"),
    "dbrx": _line(experts_axis=1),
    "gpt_oss": _line(experts_axis=2),
    "openai-gpt": _line(positions="positions_embed", stream_norms=("ln_1", "ln_2")),
    "opt": _line(positions="decoder.embed_positions"),
    "xglm": _line(embedding_fixed="sinusoidal positions"),
}

_ROOT_SCALED = ("gemma", "gemma2")
"""These multiply the embeddings by the root of their width; in transformers 4 the module does not say so."""


def flow_of(config: Any) -> Flow | None:  # noqa: ANN401 - transformers' configs have no common type for what is read
    """Return how the layers of a model with this config compute, or None where it is not known."""
    line = _LINES.get(config.model_type)
    if line is None:
        return None
    fields = dict(line.fields)
    if line.parallel_if:
        fields["parallel"] = any(getattr(config, name, False) for name in line.parallel_if)
    if line.scale_of:
        fields["scale"] = float(getattr(config, line.scale_of, 1.0))
    if config.model_type == "opt" and not config.do_layer_norm_before:
        fields["stream_norms"] = ("self_attn_layer_norm", "final_layer_norm")
    if config.model_type == "opt" and config.word_embed_proj_dim != config.hidden_size:
        fields["embedding_fixed"] = "a projection of the embeddings"
    if config.model_type == "bloom" and config.apply_residual_connection_post_layernorm:
        fields["stream_resets"] = "its layers go on from the normed stream"
    fields.setdefault("embedding_scale", _embedding_scale(config))
    return Flow(**fields)


def _embedding_scale(config: Any) -> float:  # noqa: ANN401 - as above
    if config.model_type in _ROOT_SCALED:
        return math.sqrt(config.hidden_size)
    return float(getattr(config, "embedding_multiplier", 1.0) or 1.0)
