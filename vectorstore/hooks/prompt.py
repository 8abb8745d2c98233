"""What `generate` is given: which columns of the prompt are real, and how many are in the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vectorstore.errors import InvalidInputError


def cache_length(cache: Any) -> int:  # noqa: ANN401 - transformers' caches share no base class over its versions
    """Return the number of columns in a key-value cache; 0 for None.

    Raises:
        InvalidInputError: for a cache that does not tell.
    """
    if cache is None:
        return 0
    if not hasattr(cache, "get_seq_length"):
        raise InvalidInputError(
            f"a {type(cache).__name__} is no cache of transformers", "pass a DynamicCache or StaticCache"
        )
    return int(cache.get_seq_length())


def columns_before(given: Mapping[str, Any]) -> int:
    """Return how many columns come before those of a pass with these arguments.

    A static cache of transformers 4 does not count columns whose keys are all zeros, such as padding may have; but then
    its `generate` says where the pass begins.
    """
    cache, position = given.get("past_key_values"), given.get("cache_position")
    if isinstance(position, Tensor) and position.numel() and getattr(cache, "is_compileable", False):
        return int(position[0])
    return cache_length(cache)


def real_prompt(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return `[batch, columns]`, True where the prompt that `generate` starts from is no padding, cached ones included.

    Like `generate`, it takes padding from the pad token where no attention mask is given.
    """
    mask = kwargs.get("attention_mask")
    if isinstance(mask, Tensor) and mask.ndim == 2:  # noqa: PLR2004 - [batch, columns]
        return mask.bool()
    ids = args[0] if args else kwargs.get("inputs", kwargs.get("input_ids"))
    embeds = kwargs.get("inputs_embeds")
    if embeds is not None:
        return torch.ones(embeds.shape[:2], dtype=torch.bool, device=embeds.device)
    if ids is None:
        return torch.ones(1, 1, dtype=torch.bool)  # generate starts from BOS alone
    real = _no_padding(model, ids, kwargs)
    cached = cache_length(kwargs.get("past_key_values"))
    if cached < ids.shape[1]:
        return real
    return torch.cat((real.new_ones(ids.shape[0], cached), real), dim=1)  # only the new tokens were given


def _no_padding(model: nn.Module, ids: Tensor, kwargs: dict[str, Any]) -> Tensor:
    config = kwargs.get("generation_config") or getattr(model, "generation_config", None)
    pad = kwargs.get("pad_token_id", getattr(config, "pad_token_id", None))
    eos = kwargs.get("eos_token_id", getattr(config, "eos_token_id", None))
    if pad is None or pad in (eos if isinstance(eos, (list, tuple)) else [eos]):
        return torch.ones_like(ids, dtype=torch.bool)
    real: Tensor = ids != pad
    return real
