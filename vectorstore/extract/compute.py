"""Compute steering vectors from data, with cards that say how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from operator import index
from typing import NamedTuple

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import vectorstore
from vectorstore.canonical import Json
from vectorstore.card import Card, Data
from vectorstore.codec import check_card
from vectorstore.errors import InvalidInputError
from vectorstore.extract.finish import DTYPES, vector_of
from vectorstore.extract.other import check_other, told_of_other
from vectorstore.extract.protocols import AnyMethod, Direction, Progress, Request
from vectorstore.extract.registry import get_method
from vectorstore.extract.residual import residual_norms
from vectorstore.extract.run import Job, Result, run
from vectorstore.hooks.record import evaluating
from vectorstore.identity import ModelIdentity
from vectorstore.items import Item
from vectorstore.models.identity import identify
from vectorstore.models.layers import resolve_layer, site_widths
from vectorstore.models.tokenizer import require_bos
from vectorstore.place import SITES, Place
from vectorstore.vector import SteeringVector

Computed = tuple[SteeringVector, Card]
ASKED = "layers_asked"
"""The param under which a card says among which layers a method chose."""
SEEDS = 2**63
"""As many as the card can hold."""


def compute(  # noqa: PLR0913 - three things to compute from, and settings by keyword with defaults
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: Sequence[Item],
    *,
    layer: int | Sequence[int],
    method: str = "actadd",
    site: str | None = None,
    batch_size: int = 8,
    dtype: str = "float32",
    params: Mapping[str, object] | None = None,
    seed: int = 0,
    other: PreTrainedModel | None = None,
    progress: Progress | None = None,
) -> Computed:
    """Return the steering vector of `data`, and its card.

    Only the layers up to the highest one asked for run, once per batch for all of them. Differences are taken in
    float32 at least, whatever the model's dtype.

    Args:
        model: a causal language model; it is left exactly as it was.
        tokenizer: its tokenizer; a plain call puts BOS first, unless it has none at all (`load_model` sees to that).
        data: what to steer towards and away from: contrast pairs, or the kind that the method takes.
        layer: one 0-based decoder layer or several; negatives count from the end.
        method: the name of an extraction method.
        site: where in the layer: `resid_pre`, `resid_post`, `attn_out`, `mlp_out` or `head_out`; the method's own where
            it is left out.
        batch_size: texts in one forward pass; `actadd` reads its texts one at a time.
        dtype: of the directions: `float32`, `bfloat16` or `float16`.
        params: the method's own settings, such as `{"read": "last_content"}`, and `{"chat": True}`.
        seed: for methods that draw at random.
        other: the second model, for methods that compare two.
        progress: called with the number of texts that are done, and of all.

    Raises:
        InvalidInputError: for an unknown method, param, site or dtype, a layer out of range, data the method cannot
            use, a tokenizer that does not put its BOS first or has more tokens than the model, a text longer than the
            model's context, activations that are NaN, or a direction that is zero.
        MisfitError: for a second model of another shape or vocabulary.
    """
    (computed,) = compute_many(
        model,
        tokenizer,
        data,
        layer=layer,
        methods=[(method, params or {})],
        site=site,
        batch_size=batch_size,
        dtype=dtype,
        seed=seed,
        other=other,
        progress=progress,
    )
    return computed


def compute_many(  # noqa: PLR0913 - as above
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: Sequence[Item],
    *,
    layer: int | Sequence[int],
    methods: Sequence[str | tuple[str, Mapping[str, object]]],
    site: str | None = None,
    batch_size: int = 8,
    dtype: str = "float32",
    seed: int = 0,
    other: PreTrainedModel | None = None,
    progress: Progress | None = None,
) -> tuple[Computed, ...]:
    """Return what `compute` returns for each of several methods; those that read alike share one pass of the model.

    `methods` are names, or names with params, of methods that all take this kind of data; all the rest is as for
    `compute`.

    Raises:
        InvalidInputError: as for `compute`.
        MisfitError: as for `compute`.
    """
    _check_settings(dtype, batch_size, seed)
    data = tuple(data)
    named = [(name, {}) if isinstance(name, str) else name for name in methods]
    uses = [(get_method(name), get_method(name).use(params, seed)) for name, params in named]
    for method, use in uses:
        method.check_data(data, use)
        check_other(method, other is not None)
    require_bos(tokenizer)
    identity = identify(model, tokenizer)
    if other is not None:
        told = told_of_other(identity, identify(other, tokenizer))
        uses = [(method, replace(use, params={**use.params, **told})) for method, use in uses]
    jobs = [
        Job(method, Request(_places(model, site or method.sites[0], layer, method), use, batch_size, progress, other))
        for method, use in uses
    ]
    with ExitStack() as stack:
        if other is not None:
            stack.enter_context(evaluating(other))
        results = run(model, tokenizer, data, jobs)
    common = _Common(model, tokenizer, identity, tuple(item.to_json() for item in data))
    return tuple(_computed(common, job, result, dtype) for job, result in zip(jobs, results, strict=True))


class _Common(NamedTuple):
    """What the cards of one computation have in common."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: ModelIdentity
    items: tuple[Json, ...]


def _computed(common: _Common, job: Job, result: Result, dtype: str) -> Computed:
    """Return the vector and its card, with everything about them checked."""
    directions, positions = result
    found = {place: each if isinstance(each, Direction) else Direction(each) for place, each in directions.items()}
    vector = vector_of(found, job, dtype)
    use = job.request.use
    if set(vector.places) != set(job.request.places):
        use = replace(use, params={**use.params, ASKED: [place.layer for place in job.request.places]})
    card = Card(
        model=common.identity,
        method=use,
        data=Data.of(job.method.data, common.items),
        read=positions,
        apply=job.method.apply_for(job.request.use),
        norms=vector.norms,
        residual_norms=residual_norms(common.model, common.tokenizer, vector.places),
        versions=_versions(),
        figures={place: each.figures for place, each in found.items()},
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


def _places(model: PreTrainedModel, site: str, layer: int | Sequence[int], method: AnyMethod) -> tuple[Place, ...]:
    if site not in SITES:
        raise InvalidInputError(f"no site '{site}'", f"choose {', '.join(SITES)}")
    if site not in method.sites:
        raise InvalidInputError(f"{method.name} does not work at {site}", f"choose {', '.join(method.sites)}")
    if site not in site_widths(model):
        raise InvalidInputError(
            f"a {type(model).__name__} has no site {site}", f"choose {', '.join(site_widths(model))}"
        )
    layers = layer if isinstance(layer, Iterable) else [layer]
    places = tuple(dict.fromkeys(Place(site, resolve_layer(model, index(number))) for number in layers))
    if not places:
        raise InvalidInputError("no layer is given", "give at least one layer")
    return places


def _versions() -> dict[str, str]:
    return {
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "vectorstore": vectorstore.__version__,
    }
