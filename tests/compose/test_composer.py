"""Composition: versions, layers, presets, units and tokens come to the right numbers at the right places."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from tests.builders import WIDTH, make_card, make_identity, make_vector
from tests.compose.library import CALM, FRONT, HEAD, LOVE, MODEL, NARROW, SHORT, R
from vectorstore.card import Apply, Card
from vectorstore.compose import compose, pin
from vectorstore.errors import ExpressionError, InvalidInputError, MisfitError, NotFoundError, exit_code
from vectorstore.expression import Expression
from vectorstore.parser import parse
from vectorstore.place import Place
from vectorstore.plan import Plan, plan_of
from vectorstore.store import Store
from vectorstore.vector import Array


def directions(plan: Plan) -> dict[tuple[str, str], Array]:
    return {(str(step.place), step.tokens): step.direction for step in plan.steps}


def row(vector_layer: int) -> Place:
    return Place("resid_pre", vector_layer)


def norm(array: Array) -> float:
    return float(np.linalg.norm(array.astype(np.float64), axis=-1).max())


def test_a_name_adds_its_directions_as_they_are(library: Store):
    plan = compose(library, "love")
    assert [(str(step.place), step.tokens, step.operator) for step in plan.steps] == [
        ("resid_pre.2", "all", "add"),
        ("resid_pre.3", "all", "add"),
        ("resid_pre.4", "all", "add"),
    ]
    for step in plan.steps:
        assert np.array_equal(step.direction, LOVE.directions[step.place])
    assert plan.text == "love"
    assert [term.label for term in plan.terms] == ["default/love@1"]


def test_vectors_on_overlapping_layers_are_summed_where_they_meet(library: Store):
    found = directions(compose(library, "2*love - 0.5*calm"))
    assert np.array_equal(found["resid_pre.2", "all"], 2 * LOVE.directions[row(2)])
    assert np.array_equal(found["resid_pre.5", "all"], -0.5 * CALM.directions[row(5)])
    both = 2 * LOVE.directions[row(3)].astype(np.float64) - 0.5 * CALM.directions[row(3)]
    assert np.array_equal(found["resid_pre.3", "all"], both.astype(np.float32))


@pytest.mark.parametrize(
    ("text", "layers"),
    [("love[3]", [3]), ("love[2..3]", [2, 3]), ("love[2..4]", [2, 3, 4]), ("love[3..4]:early", [3])],
)
def test_layers_are_selected_with_both_ends(library: Store, text: str, layers: list[int]):
    assert [place.layer for place in compose(library, text).places] == layers


def test_a_preset_gives_coefficient_layers_and_tokens(library: Store):
    found = directions(compose(library, "-2*love:early"))
    assert list(found) == [("resid_pre.2", "last"), ("resid_pre.3", "last")]
    assert np.array_equal(found["resid_pre.2", "last"], -3 * LOVE.directions[row(2)])


def test_r_gives_each_direction_that_part_of_the_residual_norm(library: Store):
    for text in ("0.15r*love", "love:portable", "-0.15r*love[3]"):
        for step in compose(library, text).steps:
            assert norm(step.direction) == pytest.approx(0.15 * R, rel=1e-6)


def test_r_goes_by_the_largest_row(library: Store):
    (step,) = compose(library, "0.2r*front").steps
    assert norm(step.direction) == pytest.approx(0.2 * R, rel=1e-6)
    ratio = step.direction / FRONT.directions[row(3)]
    assert ratio == pytest.approx(np.full((3, WIDTH), ratio[0, 0]), rel=1e-5)


def test_raw_and_r_add_up_on_one_vector(library: Store):
    (step,) = compose(library, "love[3] + 0.1r*love[3]").steps
    assert norm(step.direction) == pytest.approx(LOVE.norms[row(3)] + 0.1 * R, rel=1e-6)


def test_rows_per_position_steer_the_front_of_the_prompt_and_are_padded_with_zeros(library: Store):
    for text in ("front + short", "short + front"):
        (step,) = compose(library, text).steps
        assert (step.tokens, step.direction.shape) == ("prompt_front", (3, WIDTH))
        expected = FRONT.directions[row(3)].astype(np.float64)
        expected[:2] += SHORT.directions[row(3)]
        assert np.array_equal(step.direction, expected.astype(np.float32))


def test_different_tokens_at_one_place_are_steps_of_their_own(library: Store):
    plan = compose(library, "front + love[3] + love:early")
    assert [(str(step.place), step.tokens) for step in plan.steps] == [
        ("resid_pre.2", "last"),
        ("resid_pre.3", "last"),
        ("resid_pre.3", "prompt_front"),
        ("resid_pre.3", "all"),
    ]


def test_bfloat16_is_widened(library: Store):
    (step,) = compose(library, "0.3*narrow").steps
    assert step.direction.dtype == np.float32
    expected = NARROW.directions[row(3)].astype(np.float64) * 0.3
    assert np.array_equal(step.direction, expected.astype(np.float32))


def test_other_sites_have_their_own_width(library: Store):
    (step,) = compose(library, "2*head").steps
    assert np.array_equal(step.direction, 2 * HEAD.directions[Place("head_out", 3)])


def test_a_tree_composes_like_its_text(library: Store):
    tree: Expression = parse("love + 2*calm")
    left, right = compose(library, tree), compose(library, "love + 2*calm")
    assert left.text == "love + 2*calm"
    assert all(np.array_equal(a.direction, b.direction) for a, b in zip(left.steps, right.steps, strict=True))


def test_add_is_what_a_bare_vector_means(library: Store):
    assert directions(compose(library, "add(love[3])")).keys() == directions(compose(library, "love[3]")).keys()


def test_versions_aliases_and_digests_name_their_version(own_library: Store):
    newer = make_vector([2, 3, 4], seed=9)
    second = own_library.save("love", newer, make_card(newer, model=MODEL)).version
    own_library.set_alias("love@1", "prod")
    for text, vector in {
        "love": newer,
        "love@1": LOVE,
        "love@2": newer,
        "love@prod": LOVE,
        f"love@{second.digest}": newer,
        f"love@{second.digest[:16]}": newer,
    }.items():
        (step,) = compose(own_library, f"{text}[3]").steps
        assert np.array_equal(step.direction, vector.directions[row(3)]), text
    plan = compose(own_library, "love@1 - love@2")
    assert [term.label for term in plan.terms] == ["default/love@1", "default/love@2"]


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("love[5]", 1, "there is no layer 5 in it; it has layers 2..4"),
        ("calm + love[1..3]", 8, "there is no layer 1 in it"),
        ("love[4]:early", 1, "no layer is in both the reference and the preset"),
        ("calm + 0.1r*head", 13, "head_out.3 has no residual norm R, so 0.1r has no meaning"),
        ("0.1r*zero", 6, "the direction at resid_pre.3 is zero"),
        ("acme//love", 1, "is in another store"),
        ("calm - 0.1r*acme//love", 13, "is in another store"),
        ("love -calm", 6, "a minus between two vectors"),
    ],
)
def test_what_cannot_be_evaluated_says_so_with_its_column(library: Store, text: str, column: int, says: str):
    with pytest.raises(ExpressionError, match=re.escape(says)) as caught:
        compose(library, text)
    assert (caught.value.column, exit_code(caught.value)) == (column, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lovr", "column 1 of 'lovr': there is no 'lovr'; did you mean love"),
        ("love + 2*clam", "column 10 of 'love + 2*clam': there is no 'clam'; did you mean calm"),
        ("love + love@7", "column 8 of 'love + love@7': love has no version 7; it has @1"),
        ("love@prod", "column 1 of 'love@prod': love has no alias 'prod'"),
        ("love@sha256:00000000", "column 1 of 'love@sha256:00000000': love has no version with digest"),
        ("calm - love:stron", "column 8 of 'calm - love:stron': love@1 has no preset 'stron'; did you mean strong?"),
        ("love:zzz", "column 1 of 'love:zzz': love@1 has no preset 'zzz'; it has early, portable, strong"),
        ("calm:strong", "calm@1 has no preset 'strong'; it has none"),
        ("acme/love", "column 1 of 'acme/love': there is no namespace 'acme'"),
    ],
)
def test_what_is_not_there_is_named_with_its_column_and_near_names(library: Store, text: str, says: str):
    with pytest.raises(NotFoundError, match=re.escape(says)) as caught:
        compose(library, text)
    assert exit_code(caught.value) == 3


def test_a_preset_that_an_older_version_has_is_told_with_it(own_library: Store):
    for seed in range(3):
        vector = make_vector(3, seed=seed)
        own_library.save("mine", vector, make_card(vector), presets={"strong": 2} if seed == 0 else {})
    says = "mine@3 has no preset 'strong'; mine@1 has it: mine@1:strong"
    with pytest.raises(NotFoundError, match=re.escape(says)):
        compose(own_library, "2*mine@2 + mine:strong")
    own_library.yank("mine@1", "too strong")
    with pytest.raises(NotFoundError, match=re.escape("it has none; see `steer preset set`")):
        compose(own_library, "mine:strong")


def test_tokens_that_do_not_go_with_the_shape_name_the_card(own_library: Store):
    vector = make_vector(3, seed=8)
    own_library.save("odd", vector, make_card(vector, model=MODEL, tokens="prompt_front"))
    with pytest.raises(
        ExpressionError, match=r"column 8 of .* the card of default/odd@1 says 'prompt_front': .* shape \[8\]"
    ):
        compose(own_library, "love + odd")


def test_a_coefficient_that_float32_cannot_hold_is_an_error(library: Store):
    with pytest.raises(InvalidInputError, match="larger than float32 holds"):
        compose(library, "1e99*love")


def test_vectors_of_models_that_do_not_fit_each_other_are_refused(own_library: Store):
    narrow = make_vector(3, width=6)
    own_library.save("narrow6", narrow, make_card(narrow, model=make_identity(width=6, reference="small")))
    other = make_vector(3)
    elsewhere = make_identity(widths=MODEL.widths, seed=7, reference="elsewhere", architecture="GPT2LMHeadModel")
    own_library.save("other", other, make_card(other, model=elsewhere))
    for text, name in {"love + narrow6": "small", "love + other": "elsewhere"}.items():
        with pytest.raises(MisfitError, match=rf"default/love@1 was computed on tiny .* on {name}") as caught:
            compose(own_library, text)
        assert exit_code(caught.value) == 5
    assert compose(own_library, "love[3] + other", force=True).steps
    with pytest.raises(MisfitError):
        compose(own_library, "love + narrow6", force=True)


def test_vectors_of_compatible_models_go_together(own_library: Store):
    tuned = make_vector(3, seed=8)
    own_library.save("tuned", tuned, make_card(tuned, model=make_identity(widths=MODEL.widths, seed=7)))
    assert len(compose(own_library, "love[3] + tuned").terms) == 2


def test_with_a_model_every_vector_must_fit_it(own_library: Store):
    assert compose(own_library, "love", model=MODEL).steps
    other = make_identity(width=6, reference="small")
    with pytest.raises(MisfitError, match=r"column 1 of 'love': .*small"):
        compose(own_library, "love", model=other)
    with pytest.raises(MisfitError, match=r"default/love@1 was computed on tiny"):
        compose(own_library, "love@1", model=other)


def test_with_a_model_a_bare_name_means_its_newest_version_that_fits(own_library: Store):
    narrow = make_vector(3, width=6)
    small = make_identity(width=6, reference="small")
    own_library.save("love", narrow, make_card(narrow, model=small))
    assert [term.label for term in compose(own_library, "love", model=MODEL).terms] == ["default/love@1"]
    assert [term.label for term in compose(own_library, "love", model=small).terms] == ["default/love@2"]
    assert pin(own_library, "love", model=MODEL).terms[0].digest == own_library.resolve("love@1").digest


def test_with_force_other_weights_of_one_shape_pass(own_library: Store):
    other = make_identity(widths=MODEL.widths, seed=7, architecture="GPT2LMHeadModel")
    with pytest.raises(MisfitError):
        compose(own_library, "love@1", model=other)
    assert compose(own_library, "love@1", model=other, force=True).steps


def test_a_vector_made_to_be_ablated_is_ablated_where_it_stands_alone(own_library: Store):
    save_for(own_library, "removes", "ablate")
    for text in ("removes", "ablate(removes)", "ablate(2*removes)"):
        (step,) = compose(own_library, text).steps
        assert (step.operator, norm(step.direction)) == ("ablate", pytest.approx(1))
    assert [step.operator for step in compose(own_library, "removes then love[3]").steps] == ["ablate", "add"]
    (gate,) = compose(own_library, "gate(love[3], 1, removes)").steps
    assert gate.inner is not None
    assert gate.inner.operator == "ablate"
    own_library.save_recipe("mood", pin(own_library, "removes"))
    assert [step.operator for step in compose(own_library, "mood").steps] == ["ablate"]
    assert [step.operator for step in compose(own_library, "add(mood)").steps] == ["add"]


@pytest.mark.parametrize("operator", ["keepnorm", "piecewise"])
def test_a_vector_made_for_another_step_that_needs_no_number_is_that_step_where_it_stands_alone(
    own_library: Store, operator: str
):
    save_for(own_library, "outward", operator)
    own_library.save_recipe("mood", pin(own_library, "outward then love[3]"))
    assert [step.operator for step in compose(own_library, "mood").steps] == [operator, "add"]
    with pytest.raises(ExpressionError, match=rf"made for the operator '{operator}'; write {operator}\(outward\)"):
        compose(own_library, "2*outward")


@pytest.mark.parametrize(
    ("text", "column"),
    [("2*removes", 3), ("love + removes", 8), ("removes - love then calm", 1), ("normalize(removes)", 11)],
)
def test_a_vector_made_to_be_ablated_is_not_added_unless_asked_to(own_library: Store, text: str, column: int):
    save_for(own_library, "removes", "ablate")
    with pytest.raises(ExpressionError, match=r"made for the operator 'ablate'; write ablate\(removes\)") as caught:
        compose(own_library, text)
    assert caught.value.column == column
    vector_text = text.partition(" then")[0]
    assert {step.operator for step in compose(own_library, f"add({vector_text})").steps} == {"add"}


@pytest.mark.parametrize("operator", ["affine", "clamp"])
def test_what_needs_a_number_says_how_to_write_it(own_library: Store, operator: str):
    card = save_for(own_library, "edits", operator)
    with pytest.raises(ExpressionError, match=rf"write {operator}\(edits, 1\) as a step"):
        compose(own_library, "edits")
    with pytest.raises(InvalidInputError, match=f"made for the operator '{operator}'"):
        plan_of(make_vector(3, seed=9), card)


def save_for(store: Store, name: str, operator: str) -> Card:
    vector = make_vector(3, seed=9)
    card = replace(make_card(vector, model=MODEL), apply=Apply("all", operator))
    store.save(name, vector, card)
    return card


def test_force_lets_a_bare_name_mean_its_newest_version_though_none_fits(library):
    alien = make_identity(widths=MODEL.widths, architecture="OtherForCausalLM")
    with pytest.raises(MisfitError):
        compose(library, "love", model=alien)
    assert compose(library, "love", model=alien, force=True).steps


def test_exact_numbers_of_thousands_of_digits_are_taken(own_library: Store):
    text = "love[3]"
    for _ in range(50):
        text = f"1.{'0' * 140}1*({text})"
    (step,) = compose(own_library, f"normalize({text} + calm[3])").steps
    (plain,) = compose(own_library, "normalize(love[3] + calm[3])").steps
    np.testing.assert_allclose(step.direction, plain.direction, rtol=1e-6)


def test_recipes_of_functions_nested_deeper_than_python_goes_are_one_error(own_library: Store):
    own_library.save_recipe("m0", pin(own_library, "love[3]"))
    for number in range(1, 14):
        text = f"{'normalize(' * 95}m{number - 1}{')' * 95}"
        own_library.save_recipe(f"m{number}", pin(own_library, text))
    with pytest.raises(ExpressionError, match="of 'm13': its recipes and their functions are nested too deep"):
        compose(own_library, "m13")
