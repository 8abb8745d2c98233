"""Small real vectors, and cards that tell the truth about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vectorstore.card import Apply, Card, Data, MethodUse, ReadPositions
from vectorstore.identity import ModelIdentity
from vectorstore.place import SITES, Place
from vectorstore.tokens import Tokens
from vectorstore.vector import SteeringVector

WIDTH = 8
LAYER_COUNT = 6
PAIRS = (
    {"positive": " weddings", "negative": " "},
    {"positive": "I loved it.", "negative": "I hated it."},
)


def make_vector(  # noqa: PLR0913 - each has a default, and tests name what they are about
    layers: int | Iterable[int] = 3,
    *,
    site: str = "resid_pre",
    width: int = WIDTH,
    positions: int | None = None,
    seed: int = 0,
    dtype: npt.DTypeLike = np.float32,
) -> SteeringVector:
    """Return random directions at `layers` of one site: `[width]`, or `[positions, width]`."""
    random = np.random.default_rng(seed)
    shape = (width,) if positions is None else (positions, width)
    numbers = (layers,) if isinstance(layers, int) else layers
    return SteeringVector({Place(site, layer): random.standard_normal(shape).astype(dtype) for layer in numbers})


def make_identity(
    *,
    width: int = WIDTH,
    layer_count: int = LAYER_COUNT,
    seed: int = 0,
    **changes: Any,
) -> ModelIdentity:
    """Return a model of `width` at every site; another `seed` is other weights; `changes` set any field."""
    fields: dict[str, Any] = {
        "reference": "tiny",
        "revision": None,
        "architecture": "LlamaForCausalLM",
        "layer_count": layer_count,
        "widths": dict.fromkeys(SITES, width),
        "dtype": "float32",
        "tokenizer_digest": f"sha256:{'a' * 64}",
        "fingerprint": f"sha256:{seed:064x}",
        "bos_token_id": 1,
    }
    return ModelIdentity(**fields | changes)


def make_card(  # noqa: PLR0913 - as above
    vector: SteeringVector,
    *,
    model: ModelIdentity | None = None,
    method: str = "mean_difference",
    tokens: Tokens | None = None,
    items: tuple[dict[str, Any], ...] = PAIRS,
    residual_norms: Mapping[Place, float] | float = 10.0,
) -> Card:
    """Return the card of `vector`: its places, widths and norms are the vector's own.

    `residual_norms` is one R for all places but `head_out`, which has none, or a mapping.
    """
    if model is None:
        widths = {place.site: direction.shape[-1] for place, direction in vector.directions.items()}
        widths = dict.fromkeys(SITES, next(iter(widths.values()))) | widths
        model = make_identity(widths=widths, layer_count=max(LAYER_COUNT, vector.layers[-1] + 1))
    if not isinstance(residual_norms, Mapping):
        residual_norms = {place: float(residual_norms) for place in vector.places if place.site != "head_out"}
    by_position = any(direction.ndim == 2 for direction in vector.directions.values())
    return Card(
        model=model,
        method=MethodUse(method, "1"),
        data=Data.of("pairs", items),
        read=ReadPositions("all"),
        apply=Apply(tokens or ("prompt_front" if by_position else "all")),
        norms=vector.norms,
        residual_norms=residual_norms,
        versions={"torch": "2.13.0", "transformers": "5.23.0", "vectorstore": "0.1.0"},
    )
