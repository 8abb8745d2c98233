"""Piece-wise steering (RepE): each token goes further the way it points; the vector's own sign does not matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.extract.test_weights import HELD_OUT, SENTIMENT, Demo
from tests.hooks.probe import direction_of, witness
from tests.hooks.test_operators import GREEDY, LEFT, PLACE, RIGHT, step
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.control import random_like
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.hooks.operators import get_operator
from vectorstore.hooks.record import record
from vectorstore.place import Place
from vectorstore.plan import Plan, Step


def met(model, plan):
    """Return the activations at PLACE before and after the steering, all passes side by side."""
    seen = witness(model, PLACE, steer(model, plan), lambda: model.generate(**LEFT, **GREEDY))
    return torch.cat(seen.before, dim=1), torch.cat(seen.after, dim=1)


def test_it_is_what_the_authors_operator_does():
    """Theirs: `current + controller * torch.sign((current * controller).sum(-1, keepdim=True))`."""
    model, one = tiny_model("llama"), step("piecewise", scale=0.3)
    before, after = met(model, Plan((one,)))
    controller = torch.from_numpy(one.direction).reshape(1, 1, -1)
    expected = before + controller * torch.sign((before * controller).sum(-1, keepdim=True))
    real = torch.ones(2, 7, dtype=torch.bool)
    real[0, :2] = False
    torch.testing.assert_close(after[real], expected[real], atol=0, rtol=1e-7)
    assert torch.equal(after[~real], before[~real])


def test_a_token_on_either_side_goes_further_out_by_the_norm():
    model, one = tiny_model("llama"), step("piecewise", scale=3)
    before, after = met(model, Plan((one,)))
    norm = float(np.linalg.norm(one.direction))
    parts, moved = (hidden[1] @ torch.from_numpy(one.direction / norm) for hidden in (before, after))
    assert (parts > 0).any()
    assert (parts < 0).any()
    torch.testing.assert_close(moved, parts + norm * parts.sign(), atol=1e-5, rtol=1e-6)


def test_the_sign_of_the_vector_does_not_matter_to_a_single_bit():
    model, one = tiny_model("llama"), step("piecewise")
    opposite = Step("piecewise", PLACE, "all", -one.direction)
    for hidden, other in zip(met(model, Plan((one,))), met(model, Plan((opposite,))), strict=True):
        assert torch.equal(hidden, other)


def test_activations_with_no_part_along_it_stay_bit_for_bit():
    direction = np.eye(32, dtype=np.float32)[3] * 5
    hidden = torch.randn(2, 5, 32)
    hidden[:, 1:3, 3] = 0
    operator = get_operator("piecewise")
    pair = (torch.from_numpy(each).float() for each in operator.prepare(Step("piecewise", PLACE, "all", direction)))
    moved = operator.change(hidden, *pair)
    assert torch.equal(moved[:, 1:3], hidden[:, 1:3])
    assert torch.equal(moved[:, 0, 3], hidden[:, 0, 3] + 5 * hidden[:, 0, 3].sign())


def test_where_every_token_is_on_its_side_it_adds():
    model = tiny_model("llama")
    out = 100 * direction_of(32, seed=3).numpy()
    first = Step("add", PLACE, "all", out)
    results = [met(model, Plan((first, Step(name, PLACE, "all", out / 50))))[1] for name in ("piecewise", "add")]
    torch.testing.assert_close(*results, atol=0, rtol=1e-6)


def test_what_the_models_dtype_cannot_hold_is_an_error():
    model = tiny_model().half()
    plan = Plan((Step("piecewise", PLACE, "all", 1e6 * direction_of(32).numpy()),))
    with pytest.raises(InvalidInputError, match=r"resid_pre\.1 is larger than torch.float16 holds"), steer(model, plan):
        model(**RIGHT)


@pytest.mark.weights
def test_on_real_weights_every_token_goes_further_out_along_sentiment_and_random_directions_do_not_take_it_there(
    demo: Demo,
):
    model, tokenizer = demo
    place, later = Place("resid_pre", 18), Place("resid_pre", 21)
    vector, card = compute(*demo, SENTIMENT, layer=18, method="mean_difference")
    norm = 0.15 * card.residual_norms[place]
    direction = vector.directions[place] * (norm / vector.norms[place])
    plan = Plan((Step("piecewise", place, "all", direction),))
    unit = torch.from_numpy(direction / norm)
    texts = [text for side in HELD_OUT for text in side]
    inputs = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    content = inputs["attention_mask"].bool()
    content[:, 0] = False  # BOS, a sink

    def parts(chosen: Plan, where: Place) -> torch.Tensor:
        with steer(model, chosen):
            return (record(model, inputs, [where])[where] @ unit)[content]

    before, after = parts(Plan(), place), parts(plan, place)
    assert (before > 0).any()
    assert (before < 0).any()
    torch.testing.assert_close(after - before, norm * before.sign(), atol=1e-2, rtol=1e-4)
    unsteered, steered, *random = (
        float(parts(chosen, later).abs().median())
        for chosen in (Plan(), plan, *(random_like(plan, seed) for seed in range(5)))
    )
    assert steered > 1.5 * unsteered, "three layers on it is still there"
    assert max(random) < 1.2 * unsteered
