"""What the language says is what the model does: from a saved vector's card to the activations."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.builders import make_card, make_vector
from tests.hooks.probe import witness
from tests.hooks.reference import carried_out
from tests.tiny_models import tiny_model
from vectorstore.card import Apply
from vectorstore.compose import compose, pin
from vectorstore.hooks.steer import steer
from vectorstore.models.identity import identify
from vectorstore.place import Place
from vectorstore.store import Store

IDS = torch.tensor([[1, 5, 9, 23, 7], [1, 40, 3, 12, 33]])
ALL = {kind: [[*range(5)]] * 2 for kind in ("all", "prompt")}
PLACE = Place("resid_pre", 1)


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture
def library(store: Store, model):
    """Fill a library: love to be added, anger to be ablated, calm with a base point."""
    made_on = dataclasses.replace(identify(model), bos_token_id=None)
    for seed, (name, operator) in enumerate((("love", "add"), ("anger", "ablate"), ("calm", "affine"))):
        vector = make_vector(1, width=32, seed=seed)
        if operator == "affine":
            vector = dataclasses.replace(vector, references=make_vector(1, width=32, seed=9).directions)
        card = make_card(vector, model=made_on)
        store.save(name, vector, dataclasses.replace(card, apply=Apply("all", operator)))
    store.save_recipe("mood", pin(store, "anger then 2*love"))
    return store


@pytest.mark.parametrize(
    ("expression", "operators"),
    [
        ("anger", ["ablate"]),
        ("affine(calm, 0.5)", ["affine"]),
        ("keepnorm(0.5*love)", ["keepnorm"]),
        ("piecewise(2*love - calm)", ["piecewise"]),
        ("clamp(love, 1.5) then anger", ["clamp", "ablate"]),
        ("mood then clamp(anger, -2)", ["ablate", "add", "clamp"]),
    ],
)
def test_an_expression_is_carried_out_as_its_plan_says(library: Store, model, expression, operators):
    plan = compose(library, expression, model=identify(model))
    assert [step.operator for step in plan.steps] == operators
    seen = witness(model, PLACE, steer(model, plan), lambda: model(IDS))
    expected = carried_out(seen.before[0], list(plan.steps), ALL)
    torch.testing.assert_close(seen.after[0].double(), expected, atol=2e-6, rtol=2e-6)
    assert not torch.equal(seen.before[0], seen.after[0])


def test_a_recipe_behind_a_gate_is_opened_as_a_whole(library: Store, model):
    """Its first step changes what the condition is about; the second is carried out all the same."""
    library.save_recipe("away", pin(library, "clamp(love, -500) then keepnorm(9*love)"))
    ungated = compose(library, "away", model=identify(model))
    expected = witness(model, PLACE, steer(model, ungated), lambda: model(IDS)).after[0]
    for threshold, opened in (("-100", True), ("100", False)):
        plan = compose(library, f"gate(love, {threshold}, away)", model=identify(model))
        seen = witness(model, PLACE, steer(model, plan), lambda: model(IDS))
        assert torch.equal(seen.after[0], expected if opened else seen.before[0])


def test_recipes_of_a_row_each(library: Store, model):
    plans = [compose(library, text, model=identify(model)) for text in ("mood", "affine(calm, 1) then love")]
    seen = witness(model, PLACE, steer(model, plans), lambda: model(IDS))
    for row, plan in enumerate(plans):
        expected = carried_out(seen.before[0], list(plan.steps), ALL)[row]
        torch.testing.assert_close(seen.after[0][row].double(), expected, atol=2e-6, rtol=2e-6)
