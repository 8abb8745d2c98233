"""Context: how many tokens a model takes."""

from __future__ import annotations

from transformers import PreTrainedModel

from vectorstore.models.layers import text_config


def context_length(model: PreTrainedModel) -> int | None:
    """Return how many tokens the model takes, or None where nothing limits it (ALiBi)."""
    config = text_config(model)
    lengths = (getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len"))
    length = None if getattr(config, "alibi", False) else next(filter(None, lengths), None)
    return int(length) if length else None
