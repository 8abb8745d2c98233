"""Ablation: the one direction that a behaviour goes through, chosen by what taking it away, and adding it, does.

Candidates are mean differences at the last tokens of the prompts, at every layer asked for. A candidate is taken away
everywhere: from the input of every layer, and from what attention and MLP write. It passes if that leaves what the
model says to negative prompts as it is, and if adding it to them brings the behaviour about. Of those that pass, the
one that takes most of the behaviour away is the direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import Apply
from vectorstore.errors import InvalidInputError
from vectorstore.extract.moments import Moments, mean_difference
from vectorstore.extract.params import Param
from vectorstore.extract.positions import AT_INDEX, LAST_CONTENT
from vectorstore.extract.prompts import Prompt, check_prompts, encode_items
from vectorstore.extract.protocols import Direction, ModelMethod, Request
from vectorstore.extract.reading import batches, padded, prepare
from vectorstore.extract.training import check_range
from vectorstore.hooks.steer import steer
from vectorstore.items import Item
from vectorstore.models.layers import decoder_layers
from vectorstore.models.tokenizer import text_ids
from vectorstore.place import Place
from vectorstore.plan import Plan, Step
from vectorstore.vector import Array

SCORE_TOKENS = Param(
    "score_tokens", "", "What the behaviour begins with, to choose by: tokens with | between them, such as ' I| We'."
)
LAST_TOKENS = Param("last_tokens", 1, "Of how many last tokens, such as those of a chat template, to choose one.")
VALIDATION = Param("validation", 0.2, "The share of the pairs that the choice is made on, and no mean.")
MAX_KL = Param("max_kl", 0.1, "Discard what, taken away, moves the next token after negative prompts by more nats.")
MIN_INDUCED = Param("min_induced", 0.0, "Discard what, added to negative prompts, leaves their score below this.")
PRUNED = 0.2
"""Directions of this share of the layers, the last ones, are not chosen."""

_IN_SCORE, _IN_KL = 1e-8, 1e-6  # added to probabilities before their logarithm, as the authors do
_SITES = ("resid_pre", "attn_out", "mlp_out")


class Candidate(NamedTuple):
    """A direction `[d]`, of one place and one of the last tokens: -1 is the last."""

    place: Place
    token: int
    direction: Array


@dataclass(frozen=True)
class Trial:
    """What a candidate does to the pairs that are held out.

    Attributes:
        score: of positive prompts, with the direction taken away.
        kl: in nats, of the next token after negative prompts, from what it was to what it is without the direction.
        induced: score of negative prompts, with the direction added at its own place.
    """

    score: float
    kl: float
    induced: float

    def passes(self, params: Mapping[str, Any]) -> bool:
        """Return whether nothing speaks against the candidate; a number that is none does."""
        return self.kl <= params[MAX_KL.name] and self.induced >= params[MIN_INDUCED.name] and self.score == self.score


def run(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Sequence[Item], request: Request
) -> Mapping[Place, Direction]:
    """Return the chosen direction; without tokens to choose by, the one of each place.

    Raises:
        InvalidInputError: for settings that do not suit, or when no candidate passes.
    """
    ids = _score_ids(tokenizer, request.use.params)
    check_range(MAX_KL, request.use.params[MAX_KL.name])
    if not ids:
        return {each.place: Direction(each.direction) for each in _candidates(model, tokenizer, data, request)}
    train, rest = _split(data, request)
    judge = _Judge(model, tokenizer, rest, ids, request)
    layers = len(decoder_layers(model))
    eligible = [each for each in request.places if each.layer < int(layers * (1 - PRUNED))]
    found = _candidates(model, tokenizer, train, replace(request, places=tuple(eligible))) if eligible else []
    found = [each for each in found if each.direction.any()]
    trials = []
    for number, candidate in enumerate(found, 1):
        trials.append((judge.trial(candidate), candidate))
        if request.progress:
            request.progress(number, len(found))
    passed = [(trial.score, number) for number, (trial, _) in enumerate(trials) if trial.passes(request.use.params)]
    if not passed:
        raise _none_passes([trial for trial, _ in trials], layers)
    trial, chosen = trials[min(passed)[1]]
    figures = {**vars(trial), "token": float(chosen.token), "score_before": judge.before}
    return {chosen.place: Direction(chosen.direction, figures=figures)}


def ablated(direction: Array, layers: int) -> Plan:
    """Return the plan that takes the direction away wherever the residual stream is read or written."""
    unit = (direction / np.linalg.norm(direction)).astype(np.float32)
    return Plan(tuple(Step("ablate", Place(site, layer), "all", unit) for layer in range(layers) for site in _SITES))


def score_of(logits: Tensor, ids: Sequence[int]) -> float:
    """Return the mean over `logits` `[n, vocabulary]` of log P(one of ids) - log(1 - P)."""
    likely = logits.softmax(dim=-1)[:, list(ids)].sum(dim=-1)
    return float((torch.log(likely + _IN_SCORE) - torch.log(1 - likely + _IN_SCORE)).mean())


class _Judge:
    """Tries candidates on pairs that none of them was computed from."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        data: Sequence[Item],
        ids: Sequence[int],
        request: Request,
    ) -> None:
        prompts = encode_items(tokenizer, data, request.use.params)
        check_prompts(model, prompts, LAST_CONTENT, request.use.params)
        self._model, self._ids, self._size = model, ids, request.batch_size
        self._positive = [prompt for prompt in prompts if prompt.positive]
        self._negative = [prompt for prompt in prompts if not prompt.positive]
        self._known = self._logits(self._negative, Plan()).softmax(dim=-1)
        self.before = score_of(self._logits(self._positive, Plan()), ids)

    def trial(self, candidate: Candidate) -> Trial:
        """Return what the candidate does."""
        without = ablated(candidate.direction, len(decoder_layers(self._model)))
        vector = candidate.direction.astype(np.float32)
        induced = self._logits(self._negative, Plan((Step("add", candidate.place, "all", vector),)))
        return Trial(
            score=score_of(self._logits(self._positive, without), self._ids),
            kl=self._divergence(self._logits(self._negative, without).softmax(dim=-1)),
            induced=score_of(induced, self._ids),
        )

    def _divergence(self, likely: Tensor) -> float:
        return float((self._known * (torch.log(self._known + _IN_KL) - torch.log(likely + _IN_KL))).sum(dim=-1).mean())

    def _logits(self, prompts: Sequence[Prompt], plan: Plan) -> Tensor:
        """Return the logits `[prompts, vocabulary]` of what follows each prompt, in float64."""
        rows = []
        with steer(self._model, plan):
            for start in range(0, len(prompts), self._size):
                part = prompts[start : start + self._size]
                logits = self._model(**padded(part, self._model.device), use_cache=False).logits
                rows.append(logits[range(len(part)), [len(prompt.ids) - 1 for prompt in part]].double().cpu())
        return torch.cat(rows)


def _candidates(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Sequence[Item], request: Request
) -> list[Candidate]:
    """Return the difference of means at each place and each of the last tokens, accumulated in float64."""
    count = request.use.params[LAST_TOKENS.name]
    found = []
    for token in range(-count, 0):
        use = replace(request.use, params={**request.use.params, "index": token})
        reading = prepare(model, tokenizer, data, AT_INDEX, replace(request, use=use, progress=None))
        sides = {place: (Moments(), Moments()) for place in request.places}
        towards = np.array([prompt.positive for prompt in reading.prompts])
        for batch in batches(model, reading):
            for place, rows in batch.rows.items():
                for half, chosen in zip(sides[place], (towards, ~towards), strict=True):
                    if chosen[batch.indices].any():
                        half.add(rows[chosen[batch.indices]])
        found += [Candidate(place, token, mean_difference(*both, use)) for place, both in sides.items()]
    return found


def _score_ids(tokenizer: PreTrainedTokenizerBase, params: Mapping[str, Any]) -> list[int]:
    """Return the tokens to choose by.

    Raises:
        InvalidInputError: for a text that is not one token, or last tokens to choose from without any to choose by.
    """
    if params[LAST_TOKENS.name] < 1:
        raise InvalidInputError(f"last_tokens is {params[LAST_TOKENS.name]}", "give 1 or more")
    if not params[SCORE_TOKENS.name]:
        if params[LAST_TOKENS.name] > 1:
            raise InvalidInputError(
                f"last_tokens is {params[LAST_TOKENS.name]}, and there is nothing to choose one by",
                f"say what the behaviour begins with: {SCORE_TOKENS.option} ' I| We'",
            )
        return []
    ids: list[int] = []
    for text in params[SCORE_TOKENS.name].split("|"):
        found = text_ids(tokenizer, text)
        if len(found) != 1:
            raise InvalidInputError(
                f"{text!r} of the score tokens is {len(found)} tokens for this tokenizer, and each has to be one",
                "mind the space before a word: ' good' and 'good' are two tokens",
            )
        ids += found
    return list(dict.fromkeys(ids))


def _split(data: Sequence[Item], request: Request) -> tuple[list[Item], list[Item]]:
    """Return the pairs to take means of, and those to choose by, drawn by the seed."""
    share = request.use.params[VALIDATION.name]
    count = round(len(data) * share) if 0 < share < 1 else 0
    if not 0 < count < len(data):
        raise InvalidInputError(
            f"a share of {share:g} of {len(data)} pairs leaves none for the mean, or none to choose by",
            f"give more pairs, or another {VALIDATION.option}",
        )
    chosen = set(np.random.default_rng(request.use.seed).permutation(len(data))[:count].tolist())
    parts: tuple[list[Item], list[Item]] = [], []
    for number, item in enumerate(data):
        parts[number in chosen].append(item)
    return parts


def _none_passes(trials: Sequence[Trial], layers: int) -> InvalidInputError:
    if not trials:
        return InvalidInputError(
            f"no direction is chosen from the last fifth of {layers} layers", "choose lower layers as well"
        )
    kl, induced = min(trial.kl for trial in trials), max(trial.induced for trial in trials)
    return InvalidInputError(
        f"none of {len(trials)} directions passes: the lowest KL is {kl:.3g}, the highest induced score {induced:.3g}",
        f"try other layers or tokens, or allow more with {MAX_KL.option} and {MIN_INDUCED.option}",
    )


ABLATION = ModelMethod(
    name="ablation",
    version="1",
    summary="Pairs of prompts: the mean difference at the last token, chosen by what taking it away does",
    source="Arditi et al., Refusal Is Mediated by a Single Direction, arXiv 2406.11717; andyrdt/refusal_direction",
    apply=Apply("all", "ablate"),
    sites=("resid_pre",),
    own_params=(SCORE_TOKENS, LAST_TOKENS, VALIDATION, MAX_KL, MIN_INDUCED),
    order_matters=True,
    run=run,
)
