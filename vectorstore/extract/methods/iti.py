"""ITI, inference-time intervention: a shift of the few attention heads whose activations tell two labels apart best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import Apply, MethodUse
from vectorstore.errors import InvalidInputError
from vectorstore.extract.methods.logistic import PENALTIES, PENALTY
from vectorstore.extract.params import Param
from vectorstore.extract.positions import LAST_CONTENT
from vectorstore.extract.probes import Bools, fit
from vectorstore.extract.protocols import Direction, ModelMethod, Request
from vectorstore.extract.reading import prepare, read
from vectorstore.models.layers import text_config
from vectorstore.models.projection import project_heads
from vectorstore.place import Place
from vectorstore.vector import Array

HEADS = Param("heads", 48, "How many heads to shift, of all layers together; all where there are no more.")
THETA = Param("theta", "mass_mean", "Which way: from mean to mean, or the probe's weight.", ("mass_mean", "probe"))
TRAINED = 0.8
"""The part of the questions that probes are trained on; the rest says how good they are."""


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads of one layer.

    Attributes:
        shifts: `[heads, head_dim]`, each as long as the activations vary along it.
        accuracies: of their probes, over held-out rows `[heads]`.
        losses: the same rows' mean cross-entropy `[heads]`.
    """

    shifts: Array
    accuracies: Array
    losses: Array

    def direction(self, chosen: Sequence[int], chance: float) -> Direction:
        """Return the shifts of the chosen heads at their place in the row, and zeros elsewhere."""
        shifts = np.zeros_like(self.shifts)
        shifts[chosen] = self.shifts[chosen]
        figures = {"chance_accuracy": chance, "mean_accuracy": float(self.accuracies.mean())}
        for head in chosen:
            figures[f"head_{head}_accuracy"] = float(self.accuracies[head])
            figures[f"head_{head}_sigma"] = float(np.linalg.norm(self.shifts[head]))
        return Direction(shifts.reshape(-1), figures=figures)


def directions(rows: Mapping[Place, Array], labels: Bools, groups: Array, use: MethodUse) -> dict[Place, Direction]:
    """Return `[heads * head_dim]` at each place that has one of the best heads.

    Args:
        rows: `[n, heads, head_dim]` by place.
        labels: whether each row is of what to steer towards `[n]`.
        groups: its question's number `[n]`.
        use: the settings, and the seed that draws which questions are held out.

    Raises:
        InvalidInputError: for a setting out of range, or too few questions to hold some out.
    """
    _check(use)
    held_out = split(labels, groups, use.seed)
    layers = {place: _heads(each, labels, held_out, use) for place, each in rows.items()}
    ranked = sorted(
        (-float(accuracy), float(loss), place.layer, head)
        for place, heads in layers.items()
        for head, (accuracy, loss) in enumerate(zip(heads.accuracies, heads.losses, strict=True))
    )[: use.params[HEADS.name]]
    chosen = {place: sorted(head for *_, layer, head in ranked if layer == place.layer) for place in layers}
    share = float(labels[held_out].mean())
    return {
        place: heads.direction(chosen[place], max(share, 1 - share)) for place, heads in layers.items() if chosen[place]
    }


def split(labels: Bools, groups: Array, seed: int) -> Bools:
    """Return which rows are held out: a fifth of the groups, drawn from those with the same labels.

    Raises:
        InvalidInputError: when a label would be missing among them, or among the others.
    """
    held_out = np.zeros(len(groups), dtype=bool)
    rng = np.random.default_rng(seed)
    positive, negative = set(groups[labels].tolist()), set(groups[~labels].tolist())
    for alike in (positive & negative, positive - negative, negative - positive):
        drawn = rng.permutation(sorted(alike))
        held_out |= np.isin(groups, drawn[max(1, int(TRAINED * len(drawn))) :])
    if not all((label & part).any() for label in (labels, ~labels) for part in (held_out, ~held_out)):
        raise InvalidInputError(
            "there are too few questions to train probes on some and test them on others",
            "give two or more with answers of both labels, and better forty; texts without a prompt are one each",
        )
    return held_out


def _heads(rows: Array, labels: Bools, held_out: Bools, use: MethodUse) -> Heads:
    rows = rows.astype(np.float64).transpose(1, 0, 2)  # (heads, n, head_dim)
    probes = fit(rows[:, ~held_out], labels[~held_out], use.params[PENALTY.name])
    means = rows[:, labels].mean(axis=1) - rows[:, ~labels].mean(axis=1)
    theta = means if use.params[THETA.name] == "mass_mean" else probes.weights
    theta = theta / np.maximum(np.linalg.norm(theta, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    sigma = (rows @ theta[..., None]).std(axis=1)  # (heads, 1)
    tested = rows[:, held_out], labels[held_out]
    return Heads(sigma * theta, probes.accuracies(*tested), probes.losses(*tested))


def _check(use: MethodUse) -> None:
    heads, penalty = use.params[HEADS.name], use.params[PENALTY.name]
    if heads < 1:
        raise InvalidInputError(f"{heads} heads", "give 1 or more with --heads")
    if not PENALTIES[0] <= penalty <= PENALTIES[1]:
        raise InvalidInputError(f"a penalty of {penalty:g}", f"give {PENALTIES[0]:g} to {PENALTIES[1]:g}")


def run(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Sequence[Any], request: Request
) -> dict[Place, Direction]:
    """Return the directions at `head_out`, or what they come to at `attn_out`."""
    places = tuple(Place("head_out", place.layer) for place in request.places)
    reading = prepare(model, tokenizer, data, LAST_CONTENT, replace(request, places=places))
    count = text_config(model).num_attention_heads
    rows = {place: each.reshape(len(each), count, -1) for place, each in read(model, reading).items()}
    labels = np.array([prompt.positive for prompt in reading.prompts])
    groups = np.array([prompt.group for prompt in reading.prompts])
    found = directions(rows, labels, groups, request.use)
    if request.places[0].site == "head_out":
        return found
    return {
        Place("attn_out", place.layer): replace(each, direction=project_heads(model, place.layer, each.direction))
        for place, each in found.items()
    }


ITI = ModelMethod(
    name="iti",
    version="1",
    summary="Labelled answers: a shift of the attention heads that tell the labels apart best, in standard deviations",
    source="Li et al., Inference-Time Intervention, arXiv 2306.03341; likenneth/honest_llama, utils.py",
    apply=Apply("generated"),
    data="labelled",
    sites=("head_out", "attn_out"),
    reads=(LAST_CONTENT,),
    own_params=(HEADS, THETA, PENALTY),
    order_matters=True,
    run=run,
)
