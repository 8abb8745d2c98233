"""Reading: batches of prompts through the model, and activations at the read position out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError
from vectorstore.extract.positions import ReadPosition
from vectorstore.extract.prompts import Prompt, check_prompts, encode_pairs, pad_with_token
from vectorstore.extract.protocols import Request
from vectorstore.hooks.record import record
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.vector import Array

Activations = Mapping[Place, tuple[Array, Array]]
"""By place: those of the positive and of the negative prompts, float32, `[pairs, d]` or `[pairs, t, d]`."""


def prepare(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[ContrastPair],
    position: ReadPosition,
    request: Request,
) -> tuple[Prompt, ...]:
    """Return the prompts of `pairs` as they go through the model: positive, negative, and so on.

    Raises:
        InvalidInputError: for a prompt without tokens, longer than the model's context, or of another's tokenizer.
    """
    prompts = encode_pairs(tokenizer, pairs)
    if position.by_token:
        prompts = pad_with_token(tokenizer, prompts, request.use.params["pad_token"])
    check_prompts(model, prompts, position)
    return prompts


def read(model: PreTrainedModel, prompts: Sequence[Prompt], position: ReadPosition, request: Request) -> Activations:
    """Return the activations of `prompts`; one forward pass per batch serves all places and stops after the highest.

    Raises:
        InvalidInputError: when an activation is NaN or infinite.
    """
    rows: dict[Place, list[Array]] = {place: [np.empty(0)] * len(prompts) for place in request.places}
    done = 0
    for batch in _batches(prompts, position, request.batch_size):
        for place, values in _read_batch(model, [prompts[index] for index in batch], position, request.places).items():
            for index, value in zip(batch, values, strict=True):
                rows[place][index] = value
        done += len(batch)
        if request.progress:
            request.progress(done, len(prompts))
    if position.by_token:
        _share_prefixes(prompts, rows)
    stacked = {place: np.stack(values) for place, values in rows.items()}  # (2 * pairs, …)
    _check_finite(model, stacked)
    return {place: (values[0::2], values[1::2]) for place, values in stacked.items()}


def _batches(prompts: Sequence[Prompt], position: ReadPosition, size: int) -> Iterator[list[int]]:
    """Yield indices of prompts that go together: near in length; or each alone where it is read token by token."""
    size = 1 if position.by_token else size
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index].ids))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _read_batch(
    model: PreTrainedModel, prompts: Sequence[Prompt], position: ReadPosition, places: Sequence[Place]
) -> dict[Place, Array]:
    inputs = _padded(prompts, model.device)
    reduce = _rows(prompts, position) if position.by_token else _means(prompts, position)
    recorded = record(model, inputs, places)
    return {place: reduce(_widened(hidden)).cpu().numpy() for place, hidden in recorded.items()}


def _padded(prompts: Sequence[Prompt], device: torch.device) -> dict[str, Tensor]:
    lengths = torch.tensor([len(prompt.ids) for prompt in prompts])
    longest = int(lengths.max())
    ids = [[*prompt.ids, *[0] * (longest - len(prompt.ids))] for prompt in prompts]  # any id will do: it is masked
    mask = torch.arange(longest) < lengths[:, None]  # (batch, tokens)
    return {"input_ids": torch.tensor(ids, device=device), "attention_mask": mask.long().to(device)}


def _rows(prompts: Sequence[Prompt], position: ReadPosition) -> Callable[[Tensor], Tensor]:
    columns = list(prompts[0].read_at(position))
    return lambda hidden: hidden[:, columns]  # (batch, t, width)


def _means(prompts: Sequence[Prompt], position: ReadPosition) -> Callable[[Tensor], Tensor]:
    wanted = torch.zeros(len(prompts), max(len(prompt.ids) for prompt in prompts), 1, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        wanted[row, list(prompt.read_at(position))] = True

    def mean(hidden: Tensor) -> Tensor:
        mask = wanted.to(hidden.device)
        return torch.where(mask, hidden, 0).sum(dim=1) / mask.sum(dim=1)  # (batch, width)

    return mean


def _share_prefixes(prompts: Sequence[Prompt], rows: Mapping[Place, list[Array]]) -> None:
    """Give the tokens that a pair's prompts begin with in common the same activations, bit for bit.

    Attention is causal, so they differ by rounding alone: in a mixture of experts, by what else an expert was given.
    """
    for index in range(0, len(prompts), 2):
        positive, negative = prompts[index], prompts[index + 1]
        differ = (at for at, ids in enumerate(zip(positive.ids, negative.ids, strict=True)) if ids[0] != ids[1])
        common = next(differ, len(positive.ids))
        for values in rows.values():
            values[index + 1][:common] = values[index][:common]


def _widened(hidden: Tensor) -> Tensor:
    return hidden.to(torch.promote_types(hidden.dtype, torch.float32))


def _check_finite(model: PreTrainedModel, activations: Mapping[Place, Array]) -> None:
    for place, values in activations.items():
        if not np.isfinite(values).all():
            raise InvalidInputError(*not_finite(place, model))


def not_finite(place: Place, model: PreTrainedModel) -> tuple[str, str]:
    """Return the problem of activations that are NaN or infinite, and what to do about it."""
    dtype = str(model.dtype).removeprefix("torch.")
    return (
        f"the activations at {place} are NaN or infinite in {dtype}",
        "load the model with --dtype float32 (Python: dtype='float32')",
    )
