"""Steps: each operator has what it needs, their order is kept, and gates read before they act."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.compose.flat import save
from vectorstore.compose import compose, pin
from vectorstore.errors import ExpressionError
from vectorstore.place import Place
from vectorstore.plan import Plan, Step
from vectorstore.store import Store

HALF = [float(np.float32(np.sqrt(0.5)))] * 2
INNER_GATE = f"gate {HALF} at resid_pre.4 threshold=2 (ablate [0.0, 1.0] at resid_post.5)"


def summary(plan: Plan) -> list[str]:
    return [_text(step) for step in plan.steps]


def _text(step: Step) -> str:
    numbers = "".join(f" {name}={value:g}" for name, value in step.params.items())
    inner = f" ({_text(step.inner)})" if step.inner else ""
    return f"{step.operator} {step.direction.tolist()} at {step.place}{numbers}{inner}"


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("add(2*east)", ["add [6.0, 0.0] at resid_pre.3"]),
        ("keepnorm(2*east + north)", ["keepnorm [6.0, 4.0] at resid_pre.3"]),
        ("piecewise(2*east - north)", ["piecewise [6.0, -4.0] at resid_pre.3"]),
        ("ablate(-2*north)", ["ablate [0.0, -1.0] at resid_pre.3"]),
        ("clamp(3*north, 1.5)", ["clamp [0.0, 1.0] at resid_pre.3 value=1.5"]),
        ("affine(2*north, -0.5)", ["affine [0.0, 8.0] at resid_pre.3 value=-0.5"]),
        (
            "gate(2*north, 1.5, add(east))",
            ["gate [0.0, 1.0] at resid_pre.3 threshold=1.5 (add [3.0, 0.0] at resid_pre.3)"],
        ),
        (
            "gate(east, 0, 2*up)",
            ["gate [1.0, 0.0] at resid_pre.3 threshold=0 (add [2.0, 2.0] at resid_pre.4)"],
        ),
        (
            "gate(east, 1, gate(up, 2, ablate(at(north, 5, resid_post))))",
            [f"gate [1.0, 0.0] at resid_pre.3 threshold=1 ({INNER_GATE})"],
        ),
        ("keepnorm(east - east)", []),
        ("piecewise(east - east)", []),
        ("keepnorm(0*east) then add(0*north)", []),
    ],
)
def test_each_step_has_what_its_operator_needs(flat: Store, text: str, steps: list[str]):
    assert summary(compose(flat, text)) == steps


def test_rows_of_a_direction_are_ablated_one_by_one(flat: Store):
    save(flat, "gap", [0, 0], [0, 4])
    (step,) = compose(flat, "ablate(gap)").steps
    assert (step.tokens, step.direction.tolist()) == ("prompt_front", [[0, 0], [0, 1]])


def test_steps_stay_in_the_order_in_which_they_are_written(flat: Store):
    text = "north then ablate(east) then 2*north then ablate(up)"
    assert summary(compose(flat, text)) == [
        "add [0.0, 4.0] at resid_pre.3",
        "ablate [1.0, 0.0] at resid_pre.3",
        "add [0.0, 8.0] at resid_pre.3",
        f"ablate {HALF} at resid_pre.4",
    ]


def test_additions_in_a_row_are_one_sum(flat: Store):
    assert summary(compose(flat, "east then add(north) then up")) == summary(compose(flat, "east + north + up"))
    assert compose(flat, "east then -east").steps == ()
    assert summary(compose(flat, "ablate(up) then east then -east")) == summary(compose(flat, "ablate(up)"))


def test_a_recipe_of_additions_goes_on_where_another_ends(flat: Store):
    flat.save_recipe("mood", pin(flat, "ablate(up) then east"))
    assert summary(compose(flat, "mood then north")) == summary(compose(flat, "ablate(up) then east + north"))
    assert compose(flat, "mood then north").recipes == {"default/mood@1": flat.resolve("mood").digest}


def test_a_condition_opens_every_step_of_what_it_gates(flat: Store):
    flat.save_recipe("mood", pin(flat, "ablate(north) then up"))
    assert [step.split(" (")[1][:-1] for step in summary(compose(flat, "gate(east, 1, mood)"))] == [
        "ablate [0.0, 1.0] at resid_pre.3",
        "add [1.0, 1.0] at resid_pre.4",
    ]
    assert compose(flat, "gate(east, 1, up - up)").steps == ()


def test_affine_works_around_the_base_point_of_its_vector(flat: Store):
    save(flat, "edit", [2, 0], base=[5, 6])
    for text in ("affine(edit, 1)", "affine(-2*edit, 1)", "affine(normalize(edit), 1)", "affine(edit + north, 1)"):
        (step,) = compose(flat, text).steps
        assert step.reference is not None
        assert (step.reference.tolist(), step.reference.dtype) == ([5, 6], np.float32)
    (step,) = compose(flat, "affine(north, 1)").steps
    assert step.reference is None
    save(flat, "other", [0, 1], base=[7, 8])
    with pytest.raises(ExpressionError, match=r"made of 2 versions that have base points of their own at resid_pre.3"):
        compose(flat, "affine(edit + other, 1)")
    with pytest.raises(ExpressionError, match=r"the base point of default/edit@1 belongs to resid_pre.3, not to resid"):
        compose(flat, "affine(at(edit, 4, resid_pre), 1)")


def test_a_plan_names_every_place_and_version_also_inside_a_gate(flat: Store):
    plan = compose(flat, "gate(east, 1, ablate(up)) then normalize(north)")
    assert list(map(str, plan.places)) == ["resid_pre.3", "resid_pre.4"]
    assert [each.label for each in plan.ingredients] == ["default/east@1", "default/up@1", "default/north@1"]
    assert [str(step.target) for step in plan.steps] == ["resid_pre.4", "resid_pre.3"]


@pytest.mark.parametrize("site", ["head_out", "attn_out", "mlp_out", "resid_post"])
def test_a_condition_may_be_read_earlier_in_the_layer(flat: Store, site: str):
    direction = {"head_out": [1, 0, 0]}.get(site, [1, 0])
    save(flat, "late", direction, place=Place(site, 3))
    assert compose(flat, "gate(east, 1, late)").places == (Place("resid_pre", 3), Place(site, 3))
    with pytest.raises(ExpressionError, match=rf"the step at resid_pre.3 runs before the condition at {site}.3"):
        compose(flat, "gate(late, 1, east)")


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        (
            "east then gate(up, 1, ablate(north))",
            11,
            "the step at resid_pre.3 runs before the condition at",
        ),
        ("gate(up, 1, gate(east, 1, north))", 1, "the step at resid_pre.3 runs before the condition at"),
        (
            "gate(east + up, 1, up)",
            1,
            "the condition of a gate is one direction, and this vector has 2: resid",
        ),
        ("gate(front, 1, up)", 1, "read in the prompt, and this vector is for 'prompt_front' tokens"),
        ("gate(later, 1, up)", 1, "read in the prompt, and this vector is for 'generated' tokens"),
        ("up then ablate(nothing)", 9, "the direction at resid_pre.3 is zero"),
        ("ablate(east - east)", 1, "everything cancels, so that there is no direction"),
        ("clamp(0*east, 1)", 1, "everything cancels"),
        ("affine(nothing, 1)", 1, "the direction at resid_pre.3 is zero"),
        ("ablate(diagonal - orthogonal(diagonal, east) - project(diagonal, east))", 1, "resid_pre.3 is zero"),
        ("clamp(east, 1e39)", 1, "the number is larger than float32 holds"),
        ("up + 2*ablate(east)", 8, "ablate(…) is a step, and a product needs a vector"),
        ("normalize(ablate(east))", 11, "ablate(…) is a step, and normalize(a) needs a vector"),
    ],
)
def test_what_makes_no_step_is_told_with_its_column(flat: Store, text: str, column: int, says: str):
    save(flat, "nothing", [0, 0])
    save(flat, "later", [1, 0], tokens="generated")
    with pytest.raises(ExpressionError, match=re.escape(says)) as caught:
        compose(flat, text)
    assert caught.value.column == column


def test_a_saved_program_means_the_same_after_everything_has_moved(flat: Store):
    flat.set_preset("east", "soft", "0.5r")
    text = "clamp(north, 2) then gate(east:soft, 1, piecewise(up@prod)) then keepnorm(up@prod) then east:soft"
    flat.set_alias("up", "prod")
    flat.save_recipe("mood", pin(flat, text))
    before = summary(compose(flat, text))
    save(flat, "up", [7, 7], place=Place("resid_pre", 4))
    flat.set_alias("up@2", "prod")
    flat.set_preset("east", "soft", 9)
    assert summary(compose(flat, "mood")) == before
    assert summary(compose(flat, text)) != before
