"""One vector and its card whose bytes must never change; all numbers are exact in every dtype."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import numpy.typing as npt

from tests.builders import make_identity
from vectorstore.card import Apply, Card, Data, MethodUse, ReadPositions
from vectorstore.codec import pack
from vectorstore.place import Place
from vectorstore.vector import SteeringVector

TWO = Place("resid_pre", 2)
TEN = Place("attn_out", 10)


DTYPES = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float64": np.float64}


def golden_blob(dtype: str) -> bytes:
    """Return the bytes themselves; `dtype` is a key of DTYPES."""
    return pack(golden_vector(DTYPES[dtype]), golden_card(dtype))


def golden_vector(dtype: npt.DTypeLike = np.float32) -> SteeringVector:
    """Return `[4]` with a reference at one place, and `[2, 4]` at another."""
    return SteeringVector(
        {
            TWO: np.array([3, 0, -4, 0], dtype),
            TEN: np.array([[0.5, 0, 0, 0], [6, 0, 0, 8]], dtype),
        },
        {TWO: np.array([1, 2, 3, -0.25], dtype)},
    )


def golden_card(dtype: str = "float32") -> Card:
    """Return the card of `golden_vector`, with every part filled."""
    return Card(
        model=make_identity(
            reference="example/tiny",
            revision="0123abcd",
            widths={"resid_pre": 4, "attn_out": 4},
            layer_count=12,
            dtype=dtype,
            tokenizer_digest=f"sha256:{'a' * 64}",
            fingerprint=f"sha256:{'b' * 64}",
            bos_token_id=1,
        ),
        method=MethodUse("actadd", "1", {"pad": " ", "tokens": [1, 2], "shrink": 0.5}, seed=7),
        data=Data.of("pairs", ({"positive": " weddings", "negative": " "},)),
        read=ReadPositions("all", (("<s>", " Hochzeitstänze"), ("<s>", " "))),
        apply=Apply("prompt_front"),
        norms={TWO: 5.0, TEN: 10.0},
        residual_norms={TWO: 12.5, TEN: 12.5},
        versions={"torch": "2.13.0", "transformers": "5.23.0", "vectorstore": "0.1.0"},
    )
