"""The attention's output projection: from what the heads give, at `head_out`, to what attention adds, at `attn_out`."""

from __future__ import annotations

import copy

import numpy as np
import torch
from transformers import PreTrainedModel

from vectorstore.models.layers import site_module
from vectorstore.place import Place
from vectorstore.vector import Array


@torch.no_grad()
def project_heads(model: PreTrainedModel, layer: int, direction: Array) -> Array:
    """Return the direction `[d_model]` at `attn_out` that does what one `[heads * head_dim]` at `head_out` does.

    Added to the projection's input, `v` adds `W_O v` to its output, beside the bias, which is there anyway. Rows
    `[t, heads * head_dim]` give rows.

    Raises:
        InvalidInputError: when the model has no such layer or no such site.
    """
    projection, _ = site_module(model, Place("head_out", layer))
    exact = copy.deepcopy(projection).float()  # in the model's own dtype the bias would leave little of the difference
    rows = torch.from_numpy(np.atleast_2d(direction).astype(np.float32))
    rows = torch.cat([rows, torch.zeros_like(rows[:1])]).to(model.device)
    projected = exact(rows)  # the last row is the bias
    added: Array = (projected[:-1] - projected[-1:]).cpu().numpy()
    return added.reshape(*direction.shape[:-1], -1)
