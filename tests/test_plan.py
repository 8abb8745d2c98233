"""Plans: sums made once, in a fixed order; and vectors that are not saved."""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from tests.builders import make_card, make_vector
from vectorstore.errors import InvalidInputError
from vectorstore.part import PlanTerm
from vectorstore.place import Place
from vectorstore.plan import Plan, Step, plan_of, sum_steps
from vectorstore.tokens import Tokens
from vectorstore.vector import Array, SteeringVector

THREE = Place("resid_pre", 3)


def part(direction: Array, factor: Fraction | int = 1, tokens: Tokens = "all", place: Place = THREE) -> PlanTerm:
    return PlanTerm(tokens=tokens, factors={place: Fraction(factor)}, directions={place: direction})


def test_parts_at_one_place_become_one_step():
    (step,) = sum_steps([part(np.array([1.0, 2.0])), part(np.array([10.0, 20.0]), -2), part(np.array([0.5, 0.5]))])
    assert step.direction.tolist() == [-18.5, -37.5]
    assert (step.operator, step.place, step.tokens, step.direction.dtype) == ("add", THREE, "all", np.float32)


def test_the_sum_is_made_in_float64():
    large, small = np.array([1e8], np.float32), np.array([1.0], np.float32)
    (step,) = sum_steps([part(large), part(small), part(large, -1)])
    assert step.direction.tolist() == [1.0]


def test_narrow_dtypes_are_widened_before_they_are_added():
    fine = np.array([1.0078125], ml_dtypes.bfloat16)
    (step,) = sum_steps([part(fine, Fraction("0.5")), part(np.array([256.0], np.float16))])
    assert step.direction.tolist() == [256.50390625]


def test_rows_are_aligned_at_the_front():
    long, short = np.ones((3, 2)), np.full((1, 2), 10.0)
    for parts in ([long, short], [short, long]):
        (step,) = sum_steps([part(direction, tokens="prompt_front") for direction in parts])
        assert step.direction.tolist() == [[11, 11], [1, 1], [1, 1]]


def test_steps_come_by_layer_then_site_then_tokens():
    one, rows = np.ones(2), np.ones((2, 2))
    parts = [
        part(one, place=Place("resid_post", 5)),
        part(one, place=Place("mlp_out", 2)),
        part(one, place=Place("resid_pre", 5), tokens="last"),
        part(rows, place=Place("resid_pre", 5), tokens="prompt_front"),
        part(one, place=Place("resid_pre", 2)),
    ]
    steps = sum_steps(parts)
    assert [(str(step.place), step.tokens) for step in steps] == [
        ("resid_pre.2", "all"),
        ("mlp_out.2", "all"),
        ("resid_pre.5", "last"),
        ("resid_pre.5", "prompt_front"),
        ("resid_post.5", "all"),
    ]
    assert [str(place) for place in Plan(steps).places] == ["resid_pre.2", "mlp_out.2", "resid_pre.5", "resid_post.5"]


def test_stored_directions_are_not_touched():
    direction = np.array([1.0, 2.0])
    (step,) = sum_steps([part(direction, 3), part(direction, 2)])
    assert direction.tolist() == [1, 2]
    assert not step.direction.flags.writeable


@pytest.mark.parametrize("factor", [10**39, 10**400])
def test_a_sum_that_float32_cannot_hold_is_an_error(factor: int):
    with pytest.raises(InvalidInputError, match=r"the sum at resid_pre.3 is larger than float32 holds"):
        sum_steps([part(np.ones(2), factor)])


@pytest.mark.parametrize(("shape", "tokens"), [((2,), "prompt_front"), ((3, 2), "all"), ((3, 2), "last")])
def test_tokens_must_go_with_the_shape(shape: tuple[int, ...], tokens: Tokens):
    with pytest.raises(InvalidInputError, match=rf"shape .* at resid_pre.3 cannot steer '{tokens}' tokens"):
        Step("add", THREE, tokens, np.ones(shape))
    with pytest.raises(InvalidInputError, match="cannot steer"):
        sum_steps([part(np.ones(shape), tokens=tokens)])


def test_an_unsaved_vector_steers_with_its_own_directions():
    vector = make_vector([3, 4])
    plan = plan_of(vector)
    assert [step.tokens for step in plan.steps] == ["all", "all"]
    for step in plan.steps:
        assert np.array_equal(step.direction, vector.directions[step.place])
    assert plan.terms == ()


def test_rows_of_an_unsaved_vector_go_to_the_front_of_the_prompt():
    (step,) = plan_of(make_vector(positions=4), coefficient="-2").steps
    assert (step.tokens, step.direction.shape) == ("prompt_front", (4, 8))


def test_a_card_gives_tokens_and_the_residual_norm():
    vector = make_vector([3, 4])
    card = make_card(vector, tokens="generated", residual_norms={Place("resid_pre", n): 10.0 * n for n in (3, 4)})
    plan = plan_of(vector, card, "0.15r")
    assert [step.tokens for step in plan.steps] == ["generated", "generated"]
    norms = [np.linalg.norm(step.direction.astype(np.float64)) for step in plan.steps]
    assert norms == pytest.approx([4.5, 6.0])
    assert plan.ingredients[0].card is card
    assert [ingredient.label for ingredient in plan.ingredients] == ["the vector"]


def test_r_without_a_card_is_an_error():
    with pytest.raises(InvalidInputError, match="no residual norm R"):
        plan_of(make_vector(), coefficient="0.15r")


def test_a_coefficient_of_zero_leaves_nothing():
    vector = SteeringVector({THREE: np.zeros(4)})
    for card in (None, make_card(vector)):
        for coefficient in (0, "0r"):
            plan = plan_of(vector, card, coefficient)
            assert (plan.steps, plan.terms) == ((), ())
