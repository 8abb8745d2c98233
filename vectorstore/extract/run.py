"""Run: one pass of the model for all methods that read alike, and the directions that each makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.canonical import canonical_bytes
from vectorstore.card import ReadPositions
from vectorstore.extract.moments import Moments
from vectorstore.extract.prompts import CHAT, POSITIVE_LABEL
from vectorstore.extract.protocols import (
    ActivationMethod,
    AnyMethod,
    Direction,
    Directions,
    ModelMethod,
    MomentMethod,
    PureMethod,
    Request,
    Sides,
)
from vectorstore.extract.reading import Reading, batches, prepare, read
from vectorstore.hooks.record import evaluating
from vectorstore.items import Item
from vectorstore.models.layers import text_config
from vectorstore.place import Place
from vectorstore.vector import Array, SteeringVector

READ_TOKENS = 16 * 1024
Result = tuple[Directions, ReadPositions]
_Halves = tuple[Moments, Moments]


class Job(NamedTuple):
    """A method, and what it is asked for."""

    method: AnyMethod
    request: Request


class _Pure(NamedTuple):
    number: int
    method: PureMethod
    request: Request


def run(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Sequence[Item], jobs: Sequence[Job]
) -> list[Result]:
    """Return what each of `jobs` finds, in their order; those that read alike share one pass of the model."""
    results: dict[int, Result] = {}
    alike: dict[str, list[_Pure]] = {}
    for index, (method, request) in enumerate(jobs):
        if isinstance(method, ModelMethod):
            results[index] = _run_model(model, tokenizer, data, method, request)
        else:
            alike.setdefault(_reads(method, request), []).append(_Pure(index, method, request))
    for group in alike.values():
        results |= _run_pure(model, tokenizer, data, group)
    return [results[index] for index in range(len(jobs))]


def _run_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: Sequence[Item],
    method: ModelMethod,
    request: Request,
) -> Result:
    with evaluating(model), torch.set_grad_enabled(method.gradients):
        found = method.run(model, tokenizer, data, request)
    directions: Directions = _directions(found) if isinstance(found, SteeringVector) else found
    return directions, ReadPositions(method.read_position(request.use).name if method.reads else "none")


def _directions(vector: SteeringVector) -> Directions:
    return {place: Direction(array, vector.references.get(place)) for place, array in vector.directions.items()}


def _reads(method: PureMethod, request: Request) -> str:
    """Return all that decides what is read for a method."""
    position, params = method.read_position(request.use), request.use.params
    names = [param.name for param in (*position.params, CHAT, POSITIVE_LABEL)]
    return repr((position.name, request.places, {name: params.get(name) for name in names}))


def _run_pure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Sequence[Item], group: Sequence[_Pure]
) -> dict[int, Result]:
    """Return by index what each of the methods that read alike finds."""
    _, method, request = group[0]
    reading = prepare(model, tokenizer, data, method.read_position(request.use), request)
    positions = ReadPositions(reading.position.name, _read_tokens(tokenizer, reading))
    streaming = [job.method for job in group if isinstance(job.method, MomentMethod)]
    if len(streaming) == len(group):
        scatter = any(job.scatter for job in streaming)
        moments, sides = _stream(model, reading, scatter=scatter), {}
    else:
        sides = _sides(model, reading)
        moments = {place: _moments_of(both) for place, both in sides.items()} if streaming else {}
    return {number: (_found(method, request, sides, moments), positions) for number, method, request in group}


def _found(
    method: PureMethod, request: Request, sides: dict[Place, Sides], moments: dict[Place, _Halves]
) -> Directions:
    if isinstance(method, MomentMethod):
        return {place: method.direction(*halves, request.use) for place, halves in moments.items()}
    if isinstance(method, ActivationMethod):
        return {place: method.direction(both.positive, both.negative, request.use) for place, both in sides.items()}
    return method.directions(sides, request.use)


def _stream(model: PreTrainedModel, reading: Reading, *, scatter: bool) -> dict[Place, _Halves]:
    """Return the moments of both sides by place, without keeping rows."""
    moments = {place: (Moments(scatter), Moments(scatter)) for place in reading.request.places}
    positive = np.array([prompt.positive for prompt in reading.prompts])
    for batch in batches(model, reading):
        chosen = positive[batch.indices]
        for place, rows in batch.rows.items():
            moments[place][0].add(rows[chosen])
            moments[place][1].add(rows[~chosen])
    return moments


def _moments_of(sides: Sides) -> _Halves:
    halves = Moments(scatter=True), Moments(scatter=True)
    for half, rows in zip(halves, (sides.positive, sides.negative), strict=True):
        half.add(rows)
    return halves


def _sides(model: PreTrainedModel, reading: Reading) -> dict[Place, Sides]:
    positive = np.array([prompt.positive for prompt in reading.prompts])
    groups = np.array([prompt.group for prompt in reading.prompts])
    by_token = reading.position.by_token
    lengths = np.array([len(columns) if by_token else 1 for columns in reading.columns])
    heads = int(getattr(text_config(model), "num_attention_heads", 1) or 1)

    def sides(place: Place, rows: Array) -> Sides:
        return Sides(
            rows[positive],
            rows[~positive],
            groups[positive],
            groups[~positive],
            lengths[positive],
            lengths[~positive],
            heads if place.site == "head_out" else 1,
        )

    return {place: sides(place, rows) for place, rows in read(model, reading).items()}


def _read_tokens(tokenizer: PreTrainedTokenizerBase, reading: Reading) -> tuple[tuple[str, ...], ...]:
    """Return the tokens that were read of each text; nothing where they would take more than 16 KiB in the card."""
    tokens: list[tuple[str, ...]] = []
    size = 0
    for prompt, columns in zip(reading.prompts, reading.columns, strict=True):
        tokens.append(tuple(tokenizer.convert_ids_to_tokens([prompt.ids[at] for at in columns])))
        size += len(canonical_bytes(tokens[-1])) + 1
        if size > READ_TOKENS:
            return ()
    return tuple(tokens)
