"""ActAdd and mean difference written a second time, in plain torch and numpy, from the papers, without our code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

Floats = npt.NDArray[np.float32]


@torch.no_grad()
def states(model: PreTrainedModel, ids: Sequence[int], layer: int) -> Tensor:
    """Return the input of block `layer` `[tokens, width]`; `hidden_states[layer]` for every block there is."""
    return model(torch.tensor([list(ids)]), output_hidden_states=True).hidden_states[layer][0].float()


def actadd(model: PreTrainedModel, positive: Sequence[int], negative: Sequence[int], pad: int, layer: int) -> Floats:
    """Algorithm 1 of arXiv 2308.10248, lines 1-5: pad the shorter prompt on the right, run both, subtract."""
    length = max(len(positive), len(negative))
    left = [*positive, *[pad] * (length - len(positive))]
    right = [*negative, *[pad] * (length - len(negative))]
    return (states(model, left, layer) - states(model, right, layer)).numpy()


@torch.no_grad()
def steered_logits(model: PreTrainedModel, block: nn.Module, ids: Sequence[int], added: Floats) -> Tensor:
    """Algorithm 1, lines 6-8: add `[t, d]` to the first t positions of the block's input."""

    def add(_block: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> tuple[object, object]:
        hidden = (args[0] if args else kwargs.pop("hidden_states")).clone()
        hidden[:, : len(added)] += torch.from_numpy(added).to(hidden.dtype)
        return (hidden, *args[1:]), kwargs

    handle = block.register_forward_pre_hook(add, with_kwargs=True)
    try:
        return model(torch.tensor([list(ids)])).logits[0]
    finally:
        handle.remove()


def mean_difference(
    model: PreTrainedModel, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], layer: int, *, last: bool = False
) -> Floats:
    """One text at a time, unpadded: the mean over all tokens but the first, or the last one; then over pairs."""
    total = np.zeros(0)
    for positive, negative in pairs:
        rows = [states(model, ids, layer).double().numpy() for ids in (positive, negative)]
        ends = [row[-1] if last else row[1:].sum(axis=0) / (len(row) - 1) for row in rows]
        total = ends[0] - ends[1] + (total if total.size else 0)
    return (total / len(pairs)).astype(np.float32)
