"""Reading: batches of texts through the model, and activations at the read position out.

Texts of about one length go together. Padding is masked, on the right, and never read, so that what is read of a text
does not depend, but for rounding, on what it shares a batch with. The forward pass stops after the highest place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError
from vectorstore.extract.finite import check_finite
from vectorstore.extract.positions import PAD_TOKEN, ReadPosition
from vectorstore.extract.prompts import Prompt, check_prompts, encode_items, pad_with_token
from vectorstore.extract.protocols import Request
from vectorstore.extract.residual import SINK_FACTOR, residual_norms, residual_place
from vectorstore.hooks.record import record
from vectorstore.items import Item
from vectorstore.place import Place
from vectorstore.vector import Array


@dataclass(frozen=True)
class Reading:
    """What is to be read, and where.

    Attributes:
        prompts: every text of the data, in order.
        columns: the positions that are read of each.
        position: the rule they follow.
        request: the places, the batch size, and who is told of progress.
        limits: by place, the norm of the residual stream from which on a token is an attention sink; empty where
            sinks are read too.
    """

    prompts: tuple[Prompt, ...]
    columns: tuple[range, ...]
    position: ReadPosition
    request: Request
    limits: Mapping[Place, float]


@dataclass(frozen=True)
class Batch:
    """Some of the texts.

    Attributes:
        indices: which of the reading's prompts they are.
        rows: what was read of each, by place: float32 `[texts, d]`, or `[texts, t, d]` from a position by token.
    """

    indices: list[int]
    rows: dict[Place, Array]


def prepare(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: Sequence[Item],
    position: ReadPosition,
    request: Request,
) -> Reading:
    """Return how the texts of `data` are to be read.

    Raises:
        InvalidInputError: for a text without tokens, longer than the model's context, or of another's tokenizer.
    """
    params = request.use.params
    prompts = encode_items(tokenizer, data, params)
    if position.by_token:
        prompts = pad_with_token(tokenizer, prompts, params[PAD_TOKEN.name])
    check_prompts(model, prompts, position, params)
    columns = tuple(prompt.read_at(position, params) for prompt in prompts)
    limits: dict[Place, float] = {}
    if position.without_sinks:
        sources = {place: residual_place(place) for place in request.places}
        norms = residual_norms(model, tokenizer, tuple(sources.values()))
        limits = {place: SINK_FACTOR * norms[source] for place, source in sources.items()}
    return Reading(prompts, columns, position, request, limits)


def batches(model: PreTrainedModel, reading: Reading) -> Iterator[Batch]:
    """Yield what is read of all texts, batch by batch, the shortest first; the same batches for any model.

    Raises:
        InvalidInputError: when an activation is NaN or infinite, or a text has nothing but attention sinks.
    """
    done, progress = 0, reading.request.progress
    for indices in _buckets(reading):
        rows = _read_batch(model, reading, indices)
        for place, values in rows.items():
            check_finite(values, place, model)
        yield Batch(indices, rows)
        done += len(indices)
        if progress:
            progress(done, len(reading.prompts))


def read(model: PreTrainedModel, reading: Reading) -> dict[Place, Array]:
    """Return what is read of all texts, in their order, by place: `[texts, d]`, or `[texts, t, d]`.

    Of a text with fewer tokens than `t` the last rows are zero.
    """
    rows: dict[Place, Array] = {}
    tokens = (max(map(len, reading.columns)),) if reading.position.by_token else ()
    for batch in batches(model, reading):
        for place, values in batch.rows.items():
            if place not in rows:
                rows[place] = np.zeros((len(reading.prompts), *tokens, values.shape[-1]), values.dtype)
            into = (batch.indices, slice(values.shape[1])) if tokens else batch.indices
            rows[place][into] = values
    if reading.position.by_token:
        _share_prefixes(reading.prompts, rows)
    return rows


def _buckets(reading: Reading) -> Iterator[list[int]]:
    """Yield indices of texts that go together: near in length; or each alone where it is read token by token."""
    size = 1 if reading.position.by_token else reading.request.batch_size
    order = sorted(range(len(reading.prompts)), key=lambda index: len(reading.prompts[index].ids))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _read_batch(model: PreTrainedModel, reading: Reading, indices: Sequence[int]) -> dict[Place, Array]:
    prompts = [reading.prompts[index] for index in indices]
    places = reading.request.places
    recorded = record(model, padded(prompts, model.device), (*places, *map(residual_place, reading.limits)))
    reduce = _rows(reading, indices) if reading.position.by_token else _means(reading, indices, recorded)
    return {place: reduce(place, _widened(recorded[place])).cpu().numpy() for place in places}


def padded(prompts: Sequence[Prompt], device: torch.device) -> dict[str, Tensor]:
    """Return `input_ids` and `attention_mask` `[prompts, tokens]`, padded on the right."""
    lengths = torch.tensor([len(prompt.ids) for prompt in prompts])
    longest = int(lengths.max())
    ids = [[*prompt.ids, *[0] * (longest - len(prompt.ids))] for prompt in prompts]  # any id will do: it is masked
    mask = torch.arange(longest) < lengths[:, None]  # (batch, tokens)
    return {"input_ids": torch.tensor(ids, device=device), "attention_mask": mask.long().to(device)}


_Reduce = Callable[[Place, Tensor], Tensor]


def _rows(reading: Reading, indices: Sequence[int]) -> _Reduce:
    columns = list(reading.columns[indices[0]])
    return lambda _place, hidden: hidden[:, columns]  # (batch, t, width)


def _means(reading: Reading, indices: Sequence[int], recorded: Mapping[Place, Tensor]) -> _Reduce:
    longest = max(len(reading.prompts[index].ids) for index in indices)
    wanted = torch.zeros(len(indices), longest, dtype=torch.bool)
    for row, index in enumerate(indices):
        wanted[row, list(reading.columns[index])] = True

    def mean(place: Place, hidden: Tensor) -> Tensor:
        mask = wanted.to(hidden.device)
        if place in reading.limits:
            norms = torch.linalg.vector_norm(_widened(recorded[residual_place(place)]), dim=-1)  # (batch, tokens)
            mask = mask & (norms <= reading.limits[place])
            _check_any(mask, [reading.prompts[index] for index in indices], place)
        mask = mask[..., None]  # (batch, tokens, 1)
        return torch.where(mask, hidden, 0).sum(dim=1) / mask.sum(dim=1)  # (batch, width)

    return mean


def _check_any(mask: Tensor, prompts: Sequence[Prompt], place: Place) -> None:
    for prompt, some in zip(prompts, mask.any(dim=1).tolist(), strict=True):
        if not some:
            raise InvalidInputError(
                f"{prompt.what} has nothing but attention sinks at {place}", "write a longer one, or read elsewhere"
            )


def _share_prefixes(prompts: Sequence[Prompt], rows: Mapping[Place, Array]) -> None:
    """Give the tokens that an item's two texts begin with in common the same activations, bit for bit.

    Attention is causal, so they differ by rounding alone: in a mixture of experts, by what else an expert was given.
    """
    for index, (one, other) in enumerate(pairwise(prompts)):
        if one.item == other.item:
            differ = (at for at, ids in enumerate(zip(one.ids, other.ids, strict=True)) if ids[0] != ids[1])
            common = next(differ, len(one.ids))
            for values in rows.values():
                values[index + 1, :common] = values[index, :common]


def _widened(hidden: Tensor) -> Tensor:
    return hidden.to(torch.promote_types(hidden.dtype, torch.float32))
