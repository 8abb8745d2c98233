"""The functions on vectors, in numbers worked out by hand; and what they refuse."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.compose.flat import save
from tests.compose.library import CALM, LOVE
from vectorstore.compose import compose, pin
from vectorstore.errors import ExpressionError, InvalidInputError
from vectorstore.place import Place
from vectorstore.plan import Plan
from vectorstore.store import Store


def rows(plan: Plan) -> list[float] | list[list[float]]:
    """Return the direction of a plan of one step."""
    (step,) = plan.steps
    return step.direction.tolist()


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("mean(east, north)", [1.5, 2]),
        ("mean(east, north, east)", [2, np.float32(4 / 3)]),
        ("normalize(north)", [0, 1]),
        ("normalize(-2*east)", [-1, 0]),
        ("normalize(east + north)", [np.float32(0.6), np.float32(0.8)]),
        ("2*normalize(0.5r*north)", [0, 2]),
        ("project(diagonal, north)", [0, 2]),
        ("project(diagonal, -3*north)", [0, 2]),
        ("orthogonal(diagonal, north)", [2, 0]),
        ("orthogonal(3*diagonal, north)", [6, 0]),
        ("orthogonal(diagonal - north, east + north)", [np.float32(2.24), np.float32(-1.68)]),
        ("project(0.5r*diagonal, east)", [np.float32(10 / np.sqrt(2)), 0]),
        ("at(0.5r*east, 4, resid_post)", [10, 0]),
        ("normalize(project(diagonal, north) + east)", [np.float32(3 / np.sqrt(13)), np.float32(2 / np.sqrt(13))]),
    ],
)
def test_each_function_by_hand(flat: Store, text: str, direction: list[float]):
    assert rows(compose(flat, text)) == direction


def test_rows_are_taken_one_by_one_and_normalized_by_the_largest(flat: Store):
    assert rows(compose(flat, "normalize(front)")) == [[0.75, 0], [0, 1]]
    save(flat, "tilted", [1, 1], [2, 2])
    assert rows(compose(flat, "project(front, tilted)")) == [[1.5, 1.5], [2, 2]]
    assert rows(compose(flat, "orthogonal(front, tilted)")) == [[1.5, -1.5], [-2, 2]]
    save(flat, "half", [1, 1], [0, 0])
    assert rows(compose(flat, "orthogonal(front, half)")) == [[1.5, -1.5], [0, 4]]


def test_where_the_other_has_no_direction_there_is_nothing_along_it(library: Store):
    whole = {step.place: step.direction for step in compose(library, "orthogonal(love, calm)").steps}
    assert np.array_equal(whole[Place("resid_pre", 2)], LOVE.directions[Place("resid_pre", 2)])
    assert [place.layer for place in compose(library, "project(love, calm)").places] == [3, 4]
    means = {step.place: step.direction for step in compose(library, "mean(love, calm)").steps}
    assert np.array_equal(means[Place("resid_pre", 5)], 0.5 * CALM.directions[Place("resid_pre", 5)])


def test_at_places_one_direction_anywhere_of_its_width(flat: Store):
    plan = compose(flat, "at(east, 4..5, resid_post) + at(2*east, 5, mlp_out)")
    assert {str(step.place): step.direction.tolist() for step in plan.steps} == {
        "resid_post.4": [3, 0],
        "resid_post.5": [3, 0],
        "mlp_out.5": [6, 0],
    }
    assert [term.label for term in plan.terms] == ["at(east@1[3], 4..5, resid_post)", "at(east@1[3], 5, mlp_out)"]


def test_what_is_placed_elsewhere_still_cancels(flat: Store):
    assert compose(flat, "at(2*east, 4..5, resid_post) - 2*at(east, 4..5, resid_post)").steps == ()
    assert compose(flat, "at(at(east, 5, resid_post), 3, resid_pre) - east").steps == ()
    (step,) = compose(flat, "at(east + north, 4, resid_post) - at(east, 4, resid_post)").steps
    assert step.direction.tolist() == [0, 4]


@pytest.mark.parametrize(
    "text",
    [
        "normalize(east) - normalize(east)",
        "normalize(2*east) - normalize(east)",
        "normalize(east) + normalize(-east)",
        "orthogonal(2*diagonal, north) - 2*orthogonal(diagonal, -3*north)",
        "project(diagonal, normalize(2*north)) - project(diagonal, normalize(north))",
        "mean(east, north) - 0.5*east - 0.5*north",
        "0*normalize(east)",
        "orthogonal(east, 2*east)",
        "project(east, north)",
        "orthogonal(east - east, north)",
        "at(east - east, 4, resid_post)",
    ],
)
def test_what_cancels_is_nothing_at_all(flat: Store, text: str):
    plan = compose(flat, text)
    assert (plan.steps, plan.terms, plan.ingredients) == ((), (), ())


def test_functions_that_share_a_direction_each_keep_what_is_theirs_alone(library: Store):
    mixed = LOVE.directions[Place("resid_pre", 3)] + CALM.directions[Place("resid_pre", 3)].astype(np.float64)
    love = LOVE.directions[Place("resid_pre", 3)].astype(np.float64)
    expected = mixed / np.linalg.norm(mixed) + love / np.linalg.norm(love)
    both = "normalize(love + (calm + love:early))"  # on the last token it is normalize(love)
    for text in (f"normalize(love) + {both}", f"{both} + normalize(love)"):
        steps = {(step.place.layer, step.tokens): step.direction for step in compose(library, text).steps}
        assert np.allclose(steps[3, "all"], expected, rtol=1e-6), text
        assert np.allclose(steps[3, "last"], love / np.linalg.norm(love), rtol=1e-6), text


def test_one_function_of_equal_vectors_is_one_term(flat: Store):
    (term,) = compose(flat, "normalize(east) + normalize(2*east)").terms
    assert term.label == "normalize(east@1)"
    assert [ingredient.label for ingredient in term.ingredients] == ["default/east@1"]
    (term,) = compose(flat, "orthogonal(diagonal, mean(east, north))").terms
    assert term.label == "orthogonal(diagonal@1, mean(east@1, north@1))"
    assert len(term.ingredients) == 3


def test_a_function_in_a_recipe_is_the_function(flat: Store):
    flat.save_recipe("unit", pin(flat, "normalize(east)"))
    assert compose(flat, "unit - normalize(east)").steps == ()
    assert rows(compose(flat, "4*unit[3]")) == [4, 0]


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("east + normalize(east - east + nothing)", 8, "the direction at resid_pre.3 is zero, and has no norm"),
        ("east + normalize(diagonal - orthogonal(diagonal, east) - project(diagonal, east))", 8, "is zero"),
        ("mean(east, front)", 1, "one vector steers 'all' tokens, and another 'prompt_front'"),
        ("east + orthogonal(north, last)", 8, "one vector steers 'all' tokens, and another 'last'"),
        ("mean(front, long)", 1, "the directions at resid_pre.3 have shapes [2, 2] and [3, 2]"),
        ("mean(front, 0*front, long)", 1, "the directions at resid_pre.3 have shapes [2, 2] and [3, 2]"),
        ("project(front, long)", 1, "the directions at resid_pre.3 have shapes [2, 2] and [3, 2]"),
        ("project(east, head)", 1, "the vectors share no place: resid_pre layer 3 and head_out layer 3"),
        ("orthogonal(east, up)", 1, "the vectors share no place: resid_pre layer 3 and resid_pre layer 4"),
        ("at(east + up, 5, resid_pre)", 1, "this vector has 2: resid_pre layers 3..4; choose one layer: love[3]"),
        ("at(east + head, 5, resid_pre)", 1, "this vector has 2: resid_pre layer 3, and more sites"),
        ("2*at(east, 6, resid_pre)", 3, "there is no layer 6 in tiny; its layers are 0..5"),
        ("at(east, 999999, resid_pre)", 1, "there is no layer 999999 in tiny"),
        ("at(east, 3, head_out)", 1, "a direction of width 2 does not fit head_out of tiny, which has width 3"),
    ],
)
def test_what_does_not_go_together_is_told_with_its_column(flat: Store, text: str, column: int, says: str):
    save(flat, "nothing", [0, 0])
    save(flat, "last", [1, 0], tokens="last")
    with pytest.raises(ExpressionError, match=re.escape(says)) as caught:
        compose(flat, text)
    assert caught.value.column == column


def test_numbers_that_nothing_can_hold_are_an_error(flat: Store):
    assert rows(compose(flat, "normalize(1e99*1e99*east)")) == [1, 0]
    for text in ("normalize(east + 1e99*1e97*north)", "1e99*normalize(east)", "mean(1e99*east, north)"):
        with pytest.raises(InvalidInputError, match="larger than float32 holds"):
            compose(flat, text)


def test_the_text_of_an_error_in_a_recipe_is_the_recipes(flat: Store):
    flat.save_recipe("broken", pin(flat, "2*at(east + up, 5, resid_pre)"))
    with pytest.raises(ExpressionError, match=r"column 3 of '2\*at\(east \+ up, 5, resid_pre\)'"):
        compose(flat, "east + broken")


def test_a_saved_function_means_the_same_after_everything_has_moved(flat: Store):
    flat.set_preset("east", "strong", 2)
    text = "orthogonal(diagonal + east:strong, north) + at(up[4]:soft, 2, resid_pre)"
    flat.set_preset("up", "soft", "0.1r")
    recipe, before = pin(flat, text), compose(flat, text)
    save(flat, "diagonal", [9, 9])
    flat.set_preset("east@1", "strong", 7)
    flat.set_preset("up@1", "soft", 5)
    after = compose(flat, recipe)
    assert [step.direction.tolist() for step in after.steps] == [step.direction.tolist() for step in before.steps]
    assert after.terms[-1].label == "orthogonal(diagonal@1 + east@1:strong, north@1)"
