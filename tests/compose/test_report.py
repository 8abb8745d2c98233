"""What a plan does at each place, in numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.compose.flat import save
from vectorstore.compose import compose, report
from vectorstore.plan import plan_of
from vectorstore.store import Store


def test_norms_against_r_cosines_and_interference(flat: Store):
    (step,) = report(compose(flat, "east + north")).steps
    assert (step.norm, step.residual_norm, step.ratio) == (5, 20, 0.25)
    assert step.interference == pytest.approx(5 / 7)
    (cosine,) = step.cosines
    assert (cosine.left, cosine.right, cosine.cosine, cosine.conflict) == (
        "default/east@1",
        "default/north@1",
        0,
        False,
    )
    assert step.terms == ("default/east@1", "default/north@1")


def test_terms_that_pull_against_each_other_are_a_conflict(flat: Store):
    save(flat, "west", [-4, 1])
    result = report(compose(flat, "2*east + west"))
    assert result.conflict
    assert result.steps[0].cosines[0].cosine == pytest.approx(-4 / np.sqrt(17))
    assert not report(compose(flat, "-2*east + west")).conflict


def test_a_cosine_is_between_terms_of_equal_shape_and_tokens(flat: Store):
    result = report(compose(flat, "front + long + east + 2*front"))
    by_tokens = {step.tokens: step for step in result.steps}
    assert by_tokens["prompt_front"].cosines == ()
    assert by_tokens["prompt_front"].shape == (3, 2)
    assert by_tokens["all"].cosines == ()
    assert by_tokens["prompt_front"].norm == 12


def test_one_term_has_no_interference(flat: Store):
    (step,) = report(compose(flat, "-2*east")).steps
    assert (step.interference, step.norm, step.conflict) == (1, 6, False)


def test_a_zero_direction_has_numbers_too(flat: Store):
    save(flat, "nothing", [0, 0])
    (step,) = report(compose(flat, "nothing + 2*nothing")).steps
    assert (step.norm, step.interference, step.ratio) == (0, 1, 0)
    (step,) = report(compose(flat, "nothing + east")).steps
    assert step.cosines[0].cosine == 0


def test_where_there_is_no_r_there_is_no_ratio(flat: Store):
    (step,) = report(compose(flat, "head")).steps
    assert (step.residual_norm, step.ratio) == (None, None)


def test_what_cancels_has_no_steps(flat: Store):
    assert report(compose(flat, "east - east")).to_json() == {
        "text": "east - east",
        "conflict": False,
        "steps": [],
        "notes": [],
    }


def test_a_plan_of_an_unsaved_vector_can_be_reported(flat: Store):
    vector, card = flat.read("east")
    assert report(plan_of(vector, card, 2)).steps[0].ratio == pytest.approx(0.3)
    assert report(plan_of(vector)).steps[0].norm == 3


def test_json_has_everything_a_program_needs(flat: Store):
    document = json.loads(json.dumps(report(compose(flat, "east + north")).to_json(), allow_nan=False))
    (step,) = document["steps"]
    assert {key: step[key] for key in ("place", "site", "layer", "tokens", "shape", "norm", "ratio", "conflict")} == {
        "place": "resid_pre.3",
        "site": "resid_pre",
        "layer": 3,
        "tokens": "all",
        "shape": [2],
        "norm": 5.0,
        "ratio": 0.25,
        "conflict": False,
    }
    assert step["cosines"][0]["cosine"] == 0


def test_each_step_is_reported_with_its_own_terms(flat: Store):
    first, ablation, last = report(compose(flat, "east + north then ablate(diagonal - 2*north) then north")).steps
    assert [(step.operator, step.norm) for step in (first, ablation, last)] == [
        ("add", 5),
        ("ablate", None),
        ("add", 4),
    ]
    assert ablation.terms == ("default/diagonal@1", "default/north@1")
    assert (ablation.ratio, ablation.residual_norm) == (None, 20)
    assert ablation.cosines[0].cosine == pytest.approx(-1 / np.sqrt(2))
    assert ablation.interference == pytest.approx(np.hypot(2, 6) / (np.hypot(2, 2) + 8))
    assert (first.conflict, ablation.conflict, last.conflict) == (False, True, False)


def test_the_norm_is_of_what_a_step_puts_in(flat: Store):
    text = "keepnorm(2*east) then piecewise(-north) then affine(2*north, -0.5) then clamp(3*diagonal, -1.5)"
    assert [step.norm for step in report(compose(flat, text)).steps] == [6, 4, 4, pytest.approx(1.5)]
    assert report(compose(flat, "ablate(east)")).steps[0].norm is None


def test_a_function_is_one_term_with_its_text(flat: Store):
    (step,) = report(compose(flat, "normalize(east + north) + 2*project(diagonal, north)")).steps
    assert step.terms == ("normalize(east@1 + north@1)", "project(diagonal@1, north@1)")
    assert step.cosines[0].cosine == pytest.approx(0.8)
    assert step.residual_norm == 20


def test_where_at_places_something_r_is_what_a_card_knows(flat: Store):
    below, above = report(compose(flat, "at(east, 2, resid_pre) + at(up, 3, resid_pre)")).steps
    assert (below.residual_norm, below.ratio, below.norm) == (None, None, 3)
    assert above.residual_norm == 20  # by the card of east, whose own layer it is


def test_a_gate_is_reported_with_what_it_opens(flat: Store):
    result = report(compose(flat, "gate(east, 1.5, east - 3*diagonal)"))
    (gate,) = result.steps
    assert (gate.operator, dict(gate.params), gate.norm, gate.terms) == (
        "gate",
        {"threshold": 1.5},
        None,
        ("default/east@1",),
    )
    assert gate.inner is not None
    assert (gate.inner.operator, gate.inner.norm) == ("add", pytest.approx(np.hypot(3, 6)))
    assert result.conflict
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["steps"][0]["inner"]["cosines"][0]["conflict"]


def test_different_weights_and_missing_base_points_are_noted(flat: Store):
    save(flat, "tuned", [1, 1], seed=7)
    save(flat, "edit", [2, 0], base=[5, 6])
    assert report(compose(flat, "east + north then affine(edit, 1)")).notes == ()
    weights, base_point = report(compose(flat, "east then affine(tuned + north, 1)")).notes
    assert weights.startswith("default/east@1 was computed on tiny and default/tuned@1 on tuned: different weights")
    assert base_point.startswith("default/tuned@1, default/north@1 has no base point: affine works as ablate")


def test_coefficients_whose_squares_no_float_holds_have_their_cosine(flat: Store):
    save(flat, "twin", [3, 0], base=[1, 1])  # another version of the same bits, so that nothing cancels exactly
    number = "1" + "0" * 190
    (step,) = report(compose(flat, f"{number}*east - {number}*twin")).steps
    assert (step.norm, step.interference, step.cosines[0].cosine, step.conflict) == (0, 0, -1, True)
