"""Files of tensors as other tools write them, and a model of 6 layers and width 8 to put them on."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import safetensors.numpy

from tests.builders import LAYER_COUNT, WIDTH, make_card, make_vector
from vectorstore.formats.known_model import KnownModel
from vectorstore.vector import Array

MODEL = KnownModel.of_card(make_card(make_vector(range(LAYER_COUNT))))


def direction(*shape: int, seed: int = 0) -> Array:
    """Return random float32 of a shape; one direction without it."""
    return np.random.default_rng(seed).standard_normal(shape or (WIDTH,)).astype(np.float32)


def npy_bytes(array: Array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz_bytes(**arrays: Array) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def written(path: Path, data: bytes | Array | dict[str, Array]) -> Path:
    """Write bytes, an array as .npy, or arrays as .safetensors; return the path."""
    if isinstance(data, np.ndarray):
        data = npy_bytes(data)
    path.write_bytes(safetensors.numpy.save(data) if isinstance(data, dict) else data)
    return path
