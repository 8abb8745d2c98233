"""Cross-fit: how well a method's directions tell texts apart that they were not computed from, without other data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import Card
from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.projection import TRUE, Reader, rule_of
from vectorstore.evaluate.score import PAIRED, own_items, scales_of
from vectorstore.evaluate.separation import Separation, separate
from vectorstore.extract.compute import compute
from vectorstore.extract.other import OTHER
from vectorstore.extract.prompts import POSITIVE_LABEL
from vectorstore.extract.protocols import Progress
from vectorstore.extract.recompute import check_repeatable
from vectorstore.items import Item
from vectorstore.place import Place
from vectorstore.vector import Array


def cross_fit(  # noqa: PLR0913 - what to repeat, with what, and settings by keyword with defaults
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    card: Card,
    *,
    folds: int = 5,
    seed: int = 0,
    read: str | None = None,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> dict[Place, Separation]:
    """Return how well the data of a card are told apart, each text by a direction that was computed from the others.

    The items are dealt into `folds` parts, those that share a prompt into one. Each part is scored by the direction,
    and from the middle, of all other parts; the scores of all parts are then taken together, with the threshold 0.

    Args:
        model: what the vector was computed on.
        tokenizer: its tokenizer.
        card: of the vector: method, settings and data.
        folds: how many parts.
        seed: of the deal.
        read: where to read the texts that are scored, if not where the card says.
        batch_size: texts in one forward pass.
        progress: called with the number of parts that are done, and of all.

    Raises:
        NotFoundError: when the method or the data are not at hand.
        ConflictError: when it was not computed from data.
        InvalidInputError: for data without two sides, fewer items than folds, or fewer than two folds.
    """
    check_repeatable(card, "this vector")
    items = own_items(card)
    parts = deal(items, folds, seed)
    scores: dict[Place, list[tuple[Array, Array]]] = {}
    for number, part in enumerate(parts, 1):
        rest = [items[index] for other in parts if other is not part for index in other]
        left_out = [items[index] for index in part]
        for place, sides in _scored(model, tokenizer, card, rest, left_out, read, batch_size).items():
            scores.setdefault(place, []).append(sides)
        if progress:
            progress(number, folds)
    return {
        place: separate(*map(np.concatenate, zip(*sides, strict=True)), threshold=0.0, paired=items[0].kind in PAIRED)
        for place, sides in scores.items()
        if len(sides) == folds
    }


def deal(items: Sequence[Item], folds: int, seed: int) -> list[list[int]]:
    """Return the indices of each part: as equal as can be, both sides in each, one prompt's items together.

    Raises:
        InvalidInputError: for fewer than two folds, or fewer items (or prompts) than folds.
    """
    groups: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(getattr(item, "prompt", "") or index, []).append(index)
    if folds < 2:  # noqa: PLR2004 - one part has no others
        raise InvalidInputError(f"{folds} folds", "give 2 or more")
    if len(groups) < folds:
        raise InvalidInputError(
            f"{len(groups)} items cannot be dealt into {folds} folds", "ask for fewer folds, or give other data"
        )
    keys = list(groups)
    shuffled = [keys[index] for index in np.random.default_rng(seed).permutation(len(keys))]
    shuffled.sort(key=lambda key: items[groups[key][0]].passages(1)[0].role)
    return [[index for key in shuffled[start::folds] for index in groups[key]] for start in range(folds)]


def _scored(  # noqa: PLR0913, PLR0917 - private
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    card: Card,
    rest: Sequence[Item],
    part: Sequence[Item],
    read: str | None,
    batch_size: int,
) -> dict[Place, tuple[Array, Array]]:
    """Return both sides' scores of `part`, by the directions of `rest`."""
    vector, told = compute(
        model,
        tokenizer,
        rest,
        layer=card.layers,
        method=card.method.name,
        site=card.sites[0],
        batch_size=batch_size,
        params={name: value for name, value in card.method.params.items() if name != OTHER},
        seed=card.method.seed,
    )
    reader = Reader(model, tokenizer, vector, rule_of(told, read), batch_size)
    scales = scales_of(reader, told)
    projected = reader.project(part, str(card.method.params.get(POSITIVE_LABEL.name, TRUE)))
    positive = projected.positive
    return {
        place: (values[positive] - scales[place].zero, values[~positive] - scales[place].zero)
        for place, values in projected.values.items()
    }
