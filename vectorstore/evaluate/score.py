"""Score: read texts along a vector's directions, as RepE's monitors and ITI's probes do (arXiv 2310.01405, 2306.03341).

The score of activation h on direction v is (h - m)·v/|v|. The zero point m is halfway between the mean activations of
the two sides of the data that the vector was computed from: above 0 a text is nearer to the positive side. Where these
data are not at hand, m is the vector's reference (a base point), or the origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.canonical import Json
from vectorstore.card import Card
from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.projection import TRUE, Projected, Reader, check_reader, rule_of
from vectorstore.evaluate.separation import Separation, separate
from vectorstore.extract.prompts import POSITIVE_LABEL
from vectorstore.items import Item
from vectorstore.kinds import KINDS, items_from_json
from vectorstore.place import Place
from vectorstore.texts import Text
from vectorstore.vector import Array, SteeringVector

PAIRED = ("pairs", "demonstrations")


@dataclass(frozen=True)
class Scale:
    """What scores at one place are measured by.

    Attributes:
        zero: the projection h·v/|v| that counts as 0.
        zero_is: what lies there: the `middle` of the means of both sides, the vector's `reference`, or the `origin`.
        separation: how far the data it was computed from are apart; in-sample, so it flatters. None without such data.
    """

    zero: float
    zero_is: Literal["middle", "reference", "origin"]
    separation: Separation | None = None

    @property
    def threshold(self) -> float | None:
        """The score that best separates the data it was computed from."""
        return self.separation.threshold if self.separation else None

    def to_json(self) -> Json:
        """Return the parts by name."""
        return {"zero": self.zero, "zero_is": self.zero_is, "threshold": self.threshold}


Scales = Mapping[Place, Scale]


def score_texts(  # noqa: PLR0913 - what reads what, and settings by keyword with defaults
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    vector: SteeringVector,
    card: Card,
    texts: Sequence[str | Text],
    *,
    read: str | None = None,
    scales: Scales | None = None,
    batch_size: int = 8,
    force: bool = False,
) -> dict[Place, Array]:
    """Return the score of each text at each place of the vector, `[n]` in float64.

    Texts are read at the card's read position, in the model's chat template if the vector was computed so.

    Args:
        model: the causal language model.
        tokenizer: its tokenizer, as `load_model` returns it.
        vector: whose directions `[d]` to read along.
        card: its card.
        texts: what to score; `Text` where there is a prompt.
        read: another read position.
        scales: of `scales_of`, which is asked where they are left out.
        batch_size: texts in one forward pass.
        force: take a model of another architecture or vocabulary, but one shape.

    Raises:
        InvalidInputError: for directions `[t, d]`, no texts, or a text without tokens to read.
        MisfitError: when the model does not fit the card.
    """
    check_reader(model, tokenizer, card, "the vector", force=force)
    if not texts:
        raise InvalidInputError("there are no texts", "give at least one")
    reader = Reader(model, tokenizer, vector, rule_of(card, read), batch_size)
    known = scales_of(reader, card) if scales is None else scales
    items = [text if isinstance(text, Text) else Text(text) for text in texts]
    return {place: values - known[place].zero for place, values in reader.project(items).values.items()}


def scales_of(reader: Reader, card: Card) -> dict[Place, Scale]:
    """Return what scores at each place are measured by: reads the data that the vector was computed from, once.

    Raises:
        InvalidInputError: for directions `[t, d]`.
    """
    items = own_items(card)
    if items:
        projected = reader.project(items, str(card.method.params.get(POSITIVE_LABEL.name, TRUE)))
        if not projected.positive.all():
            return {place: _between(*sides, card) for place, sides in _sides(projected).items()}
    return {place: _without_data(reader.vector, place) for place in reader.vector.places}


def measure(reader: Reader, items: Sequence[Item], scales: Scales, label: str = TRUE) -> dict[Place, Separation]:
    """Return how well scores tell the sides of other data apart, at the scales' thresholds.

    Where a scale has none, the threshold is the best one for these very data, and the accuracy in-sample.

    Args:
        reader: what reads.
        items: pairs, texts with sides, labelled texts or demonstrations, which the vector was not computed from.
        scales: of `scales_of`.
        label: the positive one of labelled texts.

    Raises:
        InvalidInputError: where one side is empty.
    """
    return {
        place: separate(
            positive - scales[place].zero,
            negative - scales[place].zero,
            threshold=scales[place].threshold,
            paired=items[0].kind in PAIRED,
        )
        for place, (positive, negative) in _sides(reader.project(items, label)).items()
    }


def own_items(card: Card) -> tuple[Item, ...]:
    """Return the items that a vector was computed from; none where they have no sides, or are not at hand."""
    if card.data.items is None or card.data.kind not in KINDS or card.data.kind == "targets":
        return ()
    return items_from_json(card.data.kind, card.data.items)


def among(items: Sequence[Item], card: Card) -> int:
    """Return how many texts of `items` are among those that the vector was computed from."""
    known = {(passage.prompt, passage.text) for item in own_items(card) for passage in item.passages(1)}
    return sum((passage.prompt, passage.text) in known for item in items for passage in item.passages(1))


def _sides(projected: Projected) -> dict[Place, tuple[Array, Array]]:
    positive = projected.positive
    return {place: (values[positive], values[~positive]) for place, values in projected.values.items()}


def _between(positive: Array, negative: Array, card: Card) -> Scale:
    zero = separate(positive, negative).middle
    return Scale(zero, "middle", separate(positive - zero, negative - zero, paired=card.data.kind in PAIRED))


def _without_data(vector: SteeringVector, place: Place) -> Scale:
    reference = vector.references.get(place)
    if reference is None:
        return Scale(0.0, "origin")
    direction = vector.directions[place].astype(np.float64)
    return Scale(float(reference.astype(np.float64) @ direction / np.linalg.norm(direction)), "reference")
