"""Operators on real weights: the demo model's own concepts."""

from __future__ import annotations

import pytest
import torch

from tests.extract.test_weights import HELD_OUT, SENTIMENT, Demo
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.hooks.record import record
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.plan import Plan, Step

pytestmark = pytest.mark.weights

LAYER = 18
WEDDINGS = [
    ContrastPair("The bride smiled at the groom.", "The clerk smiled at the client."),
    ContrastPair("Our wedding was in the old church.", "Our meeting was in the old office."),
    ContrastPair("She wore a white dress to the ceremony.", "She wore a grey coat to the station."),
    ContrastPair("They married last spring.", "They moved last spring."),
    ContrastPair("He gave her an engagement ring.", "He gave her a phone number."),
    ContrastPair("We planned the wedding for a year.", "We planned the budget for a year."),
    ContrastPair("The guests danced at the reception.", "The ships waited at the harbour."),
    ContrastPair("The bridesmaids carried roses.", "The dockers carried crates."),
]
ABOUT_WEDDINGS = ["The priest asked the bride for her vows.", "My cousin's wedding is in June, and I bake the cake."]
ABOUT_OTHERS = ["The crane lifts containers onto the ship.", "The server needs more memory after the update."]


def direction_of(demo: Demo, pairs: list[ContrastPair]) -> torch.Tensor:
    """Return the mean difference at LAYER."""
    vector, _ = compute(*demo, pairs, layer=LAYER, method="mean_difference")
    (direction,) = vector.directions.values()
    return torch.from_numpy(direction.copy())


def test_ablating_sentiment_leaves_nothing_that_tells_the_two_sides_apart(demo: Demo):
    model, tokenizer = demo
    direction = direction_of(demo, SENTIMENT)
    unit, place = direction / direction.norm(), Place("resid_pre", LAYER)
    texts = [text for side in HELD_OUT for text in side]
    inputs = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    last = inputs["attention_mask"].sum(dim=1) - 1
    rows = torch.arange(len(texts))
    unsteered = (record(model, inputs, [place])[place] @ unit)[rows, last]
    with steer(model, Plan((Step("ablate", place, "all", direction.numpy()),))):
        steered = (record(model, inputs, [place])[place] @ unit)[rows, last]
    half = len(HELD_OUT[0])
    assert unsteered[:half].mean() - unsteered[half:].mean() > 10
    assert steered.abs().max() < 1e-3


def test_a_gate_opens_on_weddings_and_not_on_other_texts_of_one_batch(demo: Demo):
    model, tokenizer = demo
    direction = direction_of(demo, WEDDINGS)
    unit, place = direction / direction.norm(), Place("resid_pre", LAYER)
    texts = [ABOUT_WEDDINGS[0], ABOUT_OTHERS[0], ABOUT_OTHERS[1], ABOUT_WEDDINGS[1]]
    parts = []
    for text in [text for pair in WEDDINGS for text in (pair.positive, pair.negative)]:
        hidden = record(model, tokenizer(text, return_tensors="pt"), [place])[place]
        parts.append(float(hidden[0, -1] @ unit))
    threshold = sum(parts) / len(parts)
    told = [wedding > other for wedding in parts[::2] for other in parts[1::2]]
    assert sum(told) / len(told) > 0.9, "the area under the ROC curve"
    inner = Step("add", Place("resid_post", LAYER), "all", 4 * direction.numpy())
    gated = Step("gate", place, "last", direction.numpy(), {"threshold": threshold}, inner=inner)
    inputs = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt")
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    options |= {"output_logits": True, "return_dict_in_generate": True}
    logits = []
    for plan in (Plan(), Plan((inner,)), Plan((gated,))):
        with steer(model, plan):
            logits.append(torch.stack(model.generate(**inputs, **options).logits, dim=1))  # [batch, new, vocabulary]
    closed, opened, by_gate = logits
    for row, wedding in enumerate((True, False, False, True)):
        assert torch.equal(by_gate[row], opened[row] if wedding else closed[row])
        assert not torch.equal(opened[row], closed[row])
