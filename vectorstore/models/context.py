"""Context: how many tokens a model takes, and which."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from transformers import PreTrainedModel

from vectorstore.errors import InvalidInputError
from vectorstore.models.layers import text_config


def context_length(model: PreTrainedModel) -> int | None:
    """Return how many tokens the model takes, or None where nothing limits it (ALiBi)."""
    config = text_config(model)
    lengths = (getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len"))
    length = None if getattr(config, "alibi", False) else next(filter(None, lengths), None)
    return int(length) if length else None


def check_ids(model: nn.Module, ids: Iterable[int]) -> None:
    """Check that the model has an embedding for each of the token `ids`.

    Raises:
        InvalidInputError: when it has not: the tokenizer is another model's, or the model was not resized to it.
    """
    rows = getattr(model.get_input_embeddings(), "num_embeddings", None)  # type: ignore[operator]
    largest = max(ids, default=-1)
    if rows is not None and largest >= rows:
        raise InvalidInputError(
            f"the tokenizer gives token {largest}, and the model knows 0 to {rows - 1}",
            "use the model's own tokenizer, or call model.resize_token_embeddings(len(tokenizer))",
        )
