"""Compute a steering vector from contrast pairs, with the card that says how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import index

import ml_dtypes
import numpy as np
import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import vectorstore
from vectorstore.canonical import canonical_bytes
from vectorstore.card import Card, Data, ReadPositions
from vectorstore.codec import check_card
from vectorstore.errors import InvalidInputError
from vectorstore.extract.positions import ReadPosition
from vectorstore.extract.prompts import Prompt
from vectorstore.extract.protocols import AnyMethod, ModelMethod, Progress, Request
from vectorstore.extract.reading import prepare, read
from vectorstore.extract.registry import get_method
from vectorstore.extract.residual import residual_norms
from vectorstore.hooks.record import evaluating
from vectorstore.models.identity import identify
from vectorstore.models.layers import resolve_layer, site_widths
from vectorstore.models.tokenizer import require_bos
from vectorstore.pairs import ContrastPair
from vectorstore.place import SITES, Place
from vectorstore.vector import Array, SteeringVector

DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}
READ_TOKENS = 16 * 1024
SEEDS = 2**63
"""As many as the card can hold."""


def compute(  # noqa: PLR0913 - three things to compute from, and settings by keyword with defaults
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[ContrastPair],
    *,
    layer: int | Sequence[int],
    method: str = "actadd",
    site: str = "resid_pre",
    batch_size: int = 8,
    dtype: str = "float32",
    params: Mapping[str, object] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[SteeringVector, Card]:
    """Return the steering vector of `pairs`, and its card.

    Only the layers up to the highest one asked for run, once per batch for all of them. Differences are taken in
    float32 at least, whatever the model's dtype.

    Args:
        model: a causal language model; it is left exactly as it was.
        tokenizer: its tokenizer; a plain call puts BOS first, unless it has none at all (`load_model` sees to that).
        pairs: what to steer towards and away from.
        layer: one 0-based decoder layer or several; negatives count from the end.
        method: the name of an extraction method.
        site: where in the layer: `resid_pre`, `resid_post`, `attn_out`, `mlp_out` or `head_out`.
        batch_size: texts in one forward pass; `actadd` reads its two texts one at a time.
        dtype: of the directions: `float32`, `bfloat16` or `float16`.
        params: the method's own settings, such as `{"read": "last_content"}`.
        seed: for methods that draw at random.
        progress: called with the number of texts that are done, and of all.

    Raises:
        InvalidInputError: for an unknown method, param, site or dtype, a layer out of range, pairs the method cannot
            use, a tokenizer that does not put its BOS first or has more tokens than the model, a text longer than the
            model's context, activations that are NaN, or a direction that is zero.
    """
    chosen = get_method(method)
    _check_settings(dtype, batch_size, seed)
    use = chosen.use(params or {}, seed)
    pairs = tuple(pairs)
    chosen.check_pairs(pairs)
    require_bos(tokenizer)
    request = Request(_places(model, site, layer), use, batch_size, progress)
    vector, positions = _run(chosen, model, tokenizer, pairs, request)
    _check_directions(vector)
    vector = _cast(vector, dtype)
    card = Card(
        model=identify(model, tokenizer),
        method=use,
        data=Data.of(chosen.data, tuple(pair.to_json() for pair in pairs)),
        read=positions,
        apply=chosen.apply,
        norms=vector.norms,
        residual_norms=residual_norms(model, tokenizer, vector.places),
        versions=_versions(),
    )
    check_card(vector, card)
    return vector, card


def _check_settings(dtype: str, batch_size: int, seed: int) -> None:
    if dtype not in DTYPES:
        raise InvalidInputError(f"no dtype '{dtype}' for directions", f"choose {', '.join(DTYPES)}")
    if batch_size < 1:
        raise InvalidInputError(f"a batch size of {batch_size}", "give 1 or more")
    if not 0 <= seed < SEEDS:
        raise InvalidInputError(f"a seed of {seed}", f"give 0 to {SEEDS - 1}")


def _places(model: PreTrainedModel, site: str, layer: int | Sequence[int]) -> tuple[Place, ...]:
    if site not in SITES:
        raise InvalidInputError(f"no site '{site}'", f"choose {', '.join(SITES)}")
    if site not in site_widths(model):
        raise InvalidInputError(
            f"a {type(model).__name__} has no site {site}", f"choose {', '.join(site_widths(model))}"
        )
    layers = layer if isinstance(layer, Iterable) else [layer]
    places = tuple(dict.fromkeys(Place(site, resolve_layer(model, index(number))) for number in layers))
    if not places:
        raise InvalidInputError("no layer is given", "give at least one layer")
    return places


def _run(
    method: AnyMethod,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[ContrastPair],
    request: Request,
) -> tuple[SteeringVector, ReadPositions]:
    if isinstance(method, ModelMethod):
        with evaluating(model), torch.set_grad_enabled(method.gradients):
            vector = method.run(model, tokenizer, pairs, request)
        return vector, ReadPositions(method.read_position(request.use).name if method.reads else "none")
    position = method.read_position(request.use)
    prompts = prepare(model, tokenizer, pairs, position, request)
    activations = read(model, prompts, position, request)
    directions = {place: method.direction(*sides, request.use) for place, sides in activations.items()}
    return SteeringVector(directions), ReadPositions(position.name, _read_tokens(tokenizer, prompts, position))


def _read_tokens(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], position: ReadPosition
) -> tuple[tuple[str, ...], ...]:
    """Return the tokens that were read of each prompt; nothing where they would take more than 16 KiB in the card."""
    tokens = tuple(
        tuple(tokenizer.convert_ids_to_tokens([prompt.ids[at] for at in prompt.read_at(position)]))
        for prompt in prompts
    )
    return tokens if len(canonical_bytes(tokens)) <= READ_TOKENS else ()


def _check_directions(vector: SteeringVector) -> None:
    for place, norm in vector.norms.items():
        if norm == 0:
            raise InvalidInputError(
                f"the direction at {place} is zero: what was read of both sides is the same there",
                "choose prompts that differ, or another layer",
            )


def _cast(vector: SteeringVector, dtype: str) -> SteeringVector:
    def cast(array: Array) -> Array:
        with np.errstate(over="ignore"):
            return array.astype(DTYPES[dtype])

    result = SteeringVector(
        {place: cast(direction) for place, direction in vector.directions.items()},
        {place: cast(reference) for place, reference in vector.references.items()},
    )
    for place, array in (*result.directions.items(), *result.references.items()):
        if not np.isfinite(array).all():
            raise InvalidInputError(f"the direction at {place} has values that {dtype} cannot hold", "use float32")
    return result


def _versions() -> dict[str, str]:
    return {
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "vectorstore": vectorstore.__version__,
    }
