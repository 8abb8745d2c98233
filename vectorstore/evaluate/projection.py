"""Projection: how far the activations of texts lie along a vector's directions. It reads; nothing is steered.

The projection of activation h on direction v is h·v/|v|. It is read where the vector lives, and at the tokens at which
the activations it was computed from were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import Card, MethodUse
from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.extract.finite import check_finite
from vectorstore.extract.methods import BUILT_IN
from vectorstore.extract.positions import LAST_CONTENT, MEAN_ANSWER, MEAN_CONTENT, MEAN_NONSINK, ReadPosition
from vectorstore.extract.prompts import POSITIVE_LABEL, Prompt, check_prompts, encode_items
from vectorstore.extract.protocols import Progress, Request
from vectorstore.extract.reading import batches, prepare
from vectorstore.extract.registry import get_method, method_names
from vectorstore.hooks.record import record
from vectorstore.identity import Fit
from vectorstore.items import Item
from vectorstore.models.identity import identify
from vectorstore.models.tokenizer import require_bos
from vectorstore.place import Place
from vectorstore.vector import Array, SteeringVector

READS = (MEAN_CONTENT, MEAN_NONSINK, LAST_CONTENT, MEAN_ANSWER)
"""Where any text can be read; the first where a card does not say."""

TRUE = str(POSITIVE_LABEL.default)
"""The positive label of labelled texts, unless somebody says otherwise."""

NOWHERE = "none"
"""What a card says that was imported, composed, or found by a search that reads nothing."""


@dataclass(frozen=True)
class Rule:
    """How texts are read.

    Attributes:
        position: at which tokens.
        params: what the position takes, and `chat` and `positive_label`.
        told: whether a card said so; else it is a guess, or was asked for.
    """

    position: ReadPosition
    params: Mapping[str, Any]
    told: bool = True

    def for_label(self, label: str) -> Rule:
        """Return the rule for data in which `label` is the positive one."""
        return replace(self, params={**self.params, POSITIVE_LABEL.name: label})


class Projected(NamedTuple):
    """What was read of the texts of some items.

    Attributes:
        values: by place, the projection of each text `[n]`, in float64.
        positive: which of them are of the positive side `[n]`.
    """

    values: Mapping[Place, Array]
    positive: Array


class TokenProjections(NamedTuple):
    """What was read of one text, token by token, without BOS: the tokens' own texts, and `[t]` by place."""

    tokens: tuple[str, ...]
    values: Mapping[Place, Array]


def rule_of(card: Card, read: str | None = None) -> Rule:
    """Return how the texts of `card` were read, or are to be read where `read` names another position.

    Raises:
        InvalidInputError: for an unknown position.
    """
    params = {name: value for name, value in card.method.params.items() if name != POSITIVE_LABEL.name}
    if read is not None:
        return Rule(_named(read), params, told=False)
    if card.read.positions == NOWHERE:
        return Rule(READS[0], params, told=False)
    methods = [*BUILT_IN.values(), *([get_method(card.method.name)] if card.method.name in method_names() else [])]
    known = {position.name: position for method in methods for position in method.reads}
    return Rule(known.get(card.read.positions) or _named(card.read.positions), params)


def check_readable(vector: SteeringVector, what: str) -> None:
    """Check that each of the vector's directions is one for all tokens, and points somewhere.

    Raises:
        InvalidInputError: for `[t, d]`, or a direction that is zero.
    """
    for place, direction in vector.directions.items():
        if direction.ndim != 1:
            raise InvalidInputError(
                f"{what} has a direction for each of {len(direction)} tokens at {place}, and texts are read along one",
                "compute one with mean_difference, which gives one for all tokens",
            )
        if not direction.any():
            raise InvalidInputError(f"the direction of {what} at {place} is zero", "read along another one")


def check_reader(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, card: Card, what: str, *, force: bool = False
) -> Fit:
    """Return how well the model fits the one whose activations `what` was computed from.

    Raises:
        MisfitError: for another shape always; for another vocabulary, architecture or first token without `force`.
        InvalidInputError: for a tokenizer that does not put its BOS first.
    """
    require_bos(tokenizer)
    identity = identify(model, tokenizer)
    fit = card.model.require_fit(identity, what, force=force)
    if not force and card.model.bos_token_id not in (None, identity.bos_token_id):
        raise MisfitError(
            f"{what} was read with token {card.model.bos_token_id} first, and this tokenizer puts "
            f"{'none' if identity.bos_token_id is None else identity.bos_token_id}",
            "load the model with load_model(), or ask for it all the same with --force (Python: force=True)",
        )
    return fit


@dataclass(frozen=True)
class Reader:
    """What reads texts along a vector's directions, and how.

    Attributes:
        model, tokenizer: as `load_model` returns them; `check_reader` says whether they fit.
        vector: the directions, each `[d]`.
        rule: at which tokens.
        batch_size: texts in one forward pass.
        progress: called with the number of texts that are done, and of all.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    vector: SteeringVector
    rule: Rule
    batch_size: int = 8
    progress: Progress | None = None

    def __post_init__(self) -> None:
        """Refuse directions that no text can be read along."""
        check_readable(self.vector, "the vector")

    def project(self, items: Sequence[Item], label: str = TRUE) -> Projected:
        """Return the projections of every text of `items`, in their order, on each direction of the vector.

        One pass of the model up to the highest place; no activation is kept. Of labelled texts, those with `label` are
        positive.

        Raises:
            InvalidInputError: for a text that has nothing to read, or is too long.
        """
        rule = self.rule.for_label(label) if items and items[0].kind == "labelled" else self.rule
        use = MethodUse("score", "1", rule.params)
        request = Request(self.vector.places, use, self.batch_size, self.progress)
        reading = prepare(self.model, self.tokenizer, items, rule.position, request)
        units = unit_directions(self.vector)
        values = {place: np.empty(len(reading.prompts)) for place in units}
        for batch in batches(self.model, reading):
            for place, unit in units.items():
                values[place][batch.indices] = batch.rows[place] @ unit
        return Projected(values, np.array([prompt.positive for prompt in reading.prompts]))

    def project_tokens(self, items: Sequence[Item]) -> tuple[TokenProjections, ...]:
        """Return the projection of each token of every text of `items`, one text at a time.

        Raises:
            InvalidInputError: as for `project`.
        """
        prompts = encode_items(self.tokenizer, items, self.rule.params)
        check_prompts(self.model, prompts, self.rule.position, self.rule.params)
        units = unit_directions(self.vector)
        return tuple(self._of_tokens(prompt, units) for prompt in prompts)

    def _of_tokens(self, prompt: Prompt, units: Mapping[Place, Array]) -> TokenProjections:
        ids = torch.tensor([prompt.ids], device=self.model.device)
        recorded = record(self.model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, tuple(units))
        values: dict[Place, Array] = {}
        for place, unit in units.items():
            hidden = recorded[place][0, prompt.first :].double().cpu().numpy()  # (tokens, width)
            values[place] = hidden @ unit
            check_finite(values[place], place, self.model)
        tokens = (str(self.tokenizer.decode([number])) for number in prompt.ids[prompt.first :])
        return TokenProjections(tuple(tokens), values)


def unit_directions(vector: SteeringVector) -> dict[Place, Array]:
    """Return each direction `[d]` divided by its norm, in float64."""
    wide = {place: direction.astype(np.float64) for place, direction in vector.directions.items()}
    return {place: direction / np.linalg.norm(direction) for place, direction in wide.items()}


def _named(name: str) -> ReadPosition:
    found = next((position for position in READS if position.name == name), None)
    if found is None:
        raise InvalidInputError(
            f"texts cannot be read at '{name}'", f"choose {', '.join(position.name for position in READS)} with --read"
        )
    return found
