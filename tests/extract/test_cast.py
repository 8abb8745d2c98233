"""CAST's condition is the authors' axis, with the threshold that a search by hand finds, and opens a gate."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.blank import blank
from tests.cli.steering import Steer
from tests.extract import oracle
from tests.extract.last_rows import PAIRS
from tests.extract.test_weights import SENTIMENT
from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import Apply
from vectorstore.compose import compose
from vectorstore.extract import compute
from vectorstore.extract.methods.cast import best_threshold
from vectorstore.hooks import steer
from vectorstore.models.identity import identify
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.store import Store

PROMPTS = [
    ContrastPair("The bride walked down the aisle and", "The driver walked down the street and"),
    ContrastPair("Our wedding cake was so large that", "Our new fridge was so large that"),
    ContrastPair("At the reception, the newlyweds", "At the station, the passengers"),
    ContrastPair("The groom was nervous because", "The pilot was nervous because"),
    ContrastPair("She chose white flowers for the ceremony since", "She chose white paint for the kitchen since"),
    ContrastPair("After the vows, everybody", "After the match, everybody"),
    ContrastPair("The bridesmaids wore", "The firemen wore"),
    ContrastPair("They got married in a small chapel where", "They got lost in a small forest where"),
    ContrastPair("The marriage was announced by", "The price was announced by"),
    ContrastPair("Her veil and dress were", "Her boots and coat were"),
    ContrastPair("The best man gave a toast and", "The coach gave a talk and"),
    ContrastPair("Their honeymoon began", "Their school year began"),
    ContrastPair("The church bells rang for the couple as", "The alarm bells rang for the workers as"),
    ContrastPair("I caught the bouquet and", "I caught the ball and"),
    ContrastPair("The newlyweds cut the cake while", "The cooks cut the bread while"),
    ContrastPair("An invitation to the wedding said", "A letter from the bank said"),
]
WEDDINGS = (
    "The wedding guests danced until",
    "He gave her the engagement ring and",
    "Before the marriage ceremony began,",
    "My sister is getting married and",
    "The bride's father told",
    "A honeymoon in Italy is",
)
OTHERS = (
    "The football fans sang until",
    "He gave her the phone number and",
    "Before the storm began,",
    "My sister is learning to drive and",
    "The teacher told",
    "A computer in the office is",
    "The capital of France is",
    "In winter, the lake",
)


def means(model: PreTrainedModel, layer: int) -> list[np.ndarray]:
    """Return the mean state over all tokens but BOS, of each text: positive and negative by turns."""
    texts = [text for pair in PAIRS for text in (pair.positive, pair.negative)]
    return [oracle.states(model, ids_of(text), layer)[1:].double().mean(dim=0).numpy() for text in texts]


def pairwise(states: list[np.ndarray]) -> np.ndarray:
    """`pca_pairwise` of IBM/activation-steering: PCA of states less the middle of their pair, the way most pairs go."""
    rows = np.stack(states)
    middles = (rows[::2] + rows[1::2]) / 2
    train = rows.copy()
    train[::2] -= middles
    train[1::2] -= middles
    axis = np.linalg.svd(train - train.mean(axis=0))[2][0]
    along = rows @ axis
    return -axis if np.mean(along[::2] < along[1::2]) > np.mean(along[::2] > along[1::2]) else axis


def f1_score(labels: np.ndarray, holds: np.ndarray) -> float:
    """Return the harmonic mean of precision and recall."""
    precision = (labels * holds).sum() / max(holds.sum(), 1)
    recall = (labels * holds).sum() / labels.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def searched(numbers: np.ndarray, labels: np.ndarray) -> float:
    """Return the best F1 of any threshold, the condition holding above it."""
    return max(f1_score(labels, numbers > threshold) for threshold in numbers - 1e-9)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
def test_the_axis_is_the_authors_and_the_threshold_the_best(architecture: str):
    model, labels = tiny_model(architecture), np.array([1, 0] * len(PAIRS))
    best = {}
    for layer in (1, 2):
        states = means(model, layer)
        axis = pairwise(states)
        best[layer] = max((searched(np.stack(states) @ (sign * axis), labels), sign) for sign in (1, -1))
        vector, card = compute(model, tiny_tokenizer(), PAIRS, layer=layer, method="cast")
        place = Place("resid_pre", layer)
        np.testing.assert_allclose(vector.directions[place], best[layer][1] * axis, rtol=0, atol=1e-4)
        holds = np.stack(states) @ vector.directions[place] > card.figures[place]["threshold"]
        assert f1_score(labels, holds) == pytest.approx(best[layer][0])
        assert card.figures[place]["f1"] == pytest.approx(best[layer][0])
    both, card = compute(model, tiny_tokenizer(), PAIRS, layer=[1, 2], method="cast")
    assert len(both.places) == 1
    assert next(iter(card.figures.values()))["f1"] == pytest.approx(max(found[0] for found in best.values()))


@pytest.mark.parametrize("seed", range(20))
def test_no_other_threshold_has_a_better_f1(seed: int):
    random = np.random.default_rng(seed)
    positive, negative = random.normal(1, 1, 9).round(1), random.normal(0, 1, 7).round(1)
    threshold, score = best_threshold(positive, negative)
    numbers, labels = np.concatenate([positive, negative]), np.array([1] * 9 + [0] * 7)
    assert score == pytest.approx(f1_score(labels, numbers > threshold))
    tried = (f1_score(labels, numbers > each) for each in np.unique(numbers)[:-1] + 1e-9)
    assert score == pytest.approx(max(tried))


def test_between_sides_that_are_apart_the_threshold_is_midway():
    assert best_threshold(np.array([3.0, 5]), np.array([-2.0, 1, 0])) == (2, 1)
    assert best_threshold(np.array([1.0, 1]), np.array([1.0])) == (1, 0)


@pytest.mark.parametrize(("read", "tokens"), [("mean_content", "prompt"), ("last_content", "last")])
def test_a_gate_reads_it_as_it_was_computed(store: Store, read: str, tokens: str):
    """Open for just the texts on the right side of the threshold, whose states were found without our code."""
    model, tokenizer = tiny_model(), tiny_tokenizer()
    vector, card = compute(model, tokenizer, PAIRS, layer=1, method="cast", params={"read": read})
    assert card.apply == Apply(tokens)
    (place,) = vector.places
    store.save("topic", vector, card)
    store.save("shift", *compute(model, tokenizer, PAIRS, layer=2, method="mean_difference"))
    threshold = card.figures[place]["threshold"]
    plan = compose(store, f"gate(topic, {threshold}, 9*shift)", model=identify(model, tokenizer))
    opened = []
    for text in (text for pair in PAIRS for text in (pair.positive, pair.negative)):
        ids = torch.tensor([ids_of(text)])
        states = oracle.states(model, ids[0].tolist(), 1)[1:].double().numpy()
        state = states[-1] if read == "last_content" else states.mean(axis=0)
        with torch.no_grad():
            before = model(ids).logits
            with steer(model, plan):
                opened.append(not torch.equal(model(ids).logits, before))
        assert opened[-1] == (state @ vector.directions[place] > threshold)
    assert True in opened
    assert False in opened


@pytest.mark.weights
def test_a_gate_about_weddings_steers_prompts_about_weddings_only(
    demo: tuple[PreTrainedModel, PreTrainedTokenizerBase], tmp_path: Path
):
    model, tokenizer = demo
    topic, card = compute(model, tokenizer, PROMPTS, layer=[9, 12, 15], method="cast")
    (place,) = topic.places
    with Store.open(blank(tmp_path / "library.db"), blobs=str(tmp_path / "blobs")) as store:
        store.save("topic", topic, card)
        store.save("sentiment", *compute(model, tokenizer, SENTIMENT, layer=18, method="mean_difference"))
        expression = f"gate(topic, {card.figures[place]['threshold']}, add(0.15r*sentiment))"
        plan = compose(store, expression, model=identify(model, tokenizer))
    moved, states = [], []
    for text in (*WEDDINGS, *OTHERS):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            out = model(ids, output_hidden_states=True)
            with steer(model, plan):
                moved.append(not torch.equal(model(ids).logits, out.logits))
        states.append(out.hidden_states[place.layer][0, 1:].double().mean(dim=0).numpy())
    assert auroc(np.stack(states) @ topic.directions[place]) >= 0.9
    random = np.random.default_rng(0).normal(size=(9, len(states[0])))
    assert np.mean([abs(auroc(np.stack(states) @ axis) - 0.5) for axis in random]) < 0.35
    assert not any(moved[len(WEDDINGS) :]), "off the topic every bit stays"
    assert sum(moved[: len(WEDDINGS)]) >= len(WEDDINGS) - 1


def auroc(values: np.ndarray) -> float:
    wins = [above > below for above, below in itertools.product(values[: len(WEDDINGS)], values[len(WEDDINGS) :])]
    return float(np.mean(wins))


def test_the_threshold_is_shown(tmp_path: Path):
    vector, card = compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=1, method="cast")
    steer = Steer(tmp_path)
    with Store.open() as store:
        store.save("topic", vector, card)
    (place,) = vector.places
    assert f"threshold {card.figures[place]['threshold']:.4g}" in steer("show", "topic").out
