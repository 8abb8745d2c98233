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
