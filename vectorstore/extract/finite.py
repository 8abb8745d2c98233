"""Finite: activations that are NaN or infinite are refused wherever they are read."""

from __future__ import annotations

import numpy as np
from transformers import PreTrainedModel

from vectorstore.errors import InvalidInputError
from vectorstore.place import Place
from vectorstore.vector import Array


def check_finite(values: Array | float, place: Place, model: PreTrainedModel) -> None:
    """Check that activations, or a figure made of them, are numbers.

    Raises:
        InvalidInputError: when one is NaN or infinite.
    """
    if np.isfinite(values).all():
        return
    dtype = str(model.dtype).removeprefix("torch.")
    raise InvalidInputError(
        f"the activations at {place} are NaN or infinite in {dtype}",
        "load the model with --dtype float32 (Python: dtype='float32')",
    )
