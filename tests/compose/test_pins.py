"""Recipes: pinned for good, nested, and checked when they come from elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import make_card, make_vector
from tests.compose.library import LOVE, MODEL
from vectorstore.coefficient import Coefficient
from vectorstore.compose import compose, pin
from vectorstore.compose.composer import MAX_DEPTH
from vectorstore.errors import ExpressionError, IntegrityError, InvalidInputError, NotFoundError
from vectorstore.plan import Plan
from vectorstore.preset import Preset
from vectorstore.recipe import Recipe
from vectorstore.store import Store


def same(left: Plan, right: Plan) -> bool:
    return [(step.place, step.tokens, step.direction.tobytes()) for step in left.steps] == [
        (step.place, step.tokens, step.direction.tobytes()) for step in right.steps
    ]


def test_a_recipe_keeps_the_text_and_a_term_for_each_reference(library: Store):
    recipe = pin(library, "2*love:early  - (calm[3] + love)")
    assert recipe.text == "2*love:early  - (calm[3] + love)"
    assert [term.reference for term in recipe.terms] == ["love:early", "calm[3]", "love"]
    love = library.resolve("love")
    first = recipe.terms[0]
    assert (first.namespace, first.name, first.digest, first.kind) == ("default", "love", love.digest, "vector")
    assert first.preset == love.presets["early"]
    assert recipe.terms[2].preset is None


def test_a_recipe_means_the_same_after_everything_has_moved(own_library: Store):
    text = "love@prod:strong + love@1:portable + 0.5*love"
    own_library.set_alias("love@1", "prod")
    recipe, before = pin(own_library, text), compose(own_library, text)
    newer = make_vector([2, 3, 4], seed=9)
    own_library.save("love", newer, make_card(newer, model=MODEL), presets={"strong": 7})
    own_library.set_alias("love@2", "prod")
    own_library.set_preset("love@1", "portable", "0.9r")
    assert same(compose(own_library, recipe), before)
    assert compose(own_library, recipe).text == text
    assert not same(compose(own_library, text), before)


def test_a_saved_recipe_is_used_like_a_vector(own_library: Store):
    own_library.save_recipe("mood", pin(own_library, "love:strong - calm"), presets={"half": "0.5"})
    for text, expanded in {
        "mood": "2*love - calm",
        "2*mood + love": "5*love - 2*calm",
        "mood:half": "love - 0.5*calm",
        "-2*mood:half": "-2*love + calm",
        "mood[3..4]": "2*love[3..4] - calm[3..4]",
        "mood@1": "2*love - calm",
        "mood - mood": "0*love",
        "mood + calm": "2*love",
    }.items():
        assert same(compose(own_library, text), compose(own_library, expanded)), text


def test_recipes_nest(own_library: Store):
    own_library.save_recipe("one", pin(own_library, "love + calm"))
    own_library.save_recipe("two", pin(own_library, "2*one - 0.1r*love"))
    own_library.save_recipe("three", pin(own_library, "two + one - front"))
    expanded = "3*love + 3*calm - 0.1r*love - front"
    assert same(compose(own_library, "three"), compose(own_library, expanded))
    assert [term.kind for term in pin(own_library, "three + love").terms] == ["recipe", "vector"]


def test_doubling_recipes_are_evaluated_once_each(own_library: Store):
    own_library.save_recipe("r0", pin(own_library, "love[3]"))
    for number in range(1, MAX_DEPTH):
        own_library.save_recipe(f"r{number}", pin(own_library, f"r{number - 1} + r{number - 1}"))
    (step,) = compose(own_library, f"r{MAX_DEPTH - 1}").steps
    expected = LOVE.directions[step.place].astype(np.float64) * 2 ** (MAX_DEPTH - 1)
    assert np.array_equal(step.direction, expected.astype(np.float32))
    own_library.save_recipe("top", pin(own_library, f"r{MAX_DEPTH - 1}"))
    with pytest.raises(InvalidInputError, match="recipes are nested more than 32 deep"):
        compose(own_library, "top")


def test_a_recipe_of_steps_stands_where_a_step_stands(own_library: Store):
    own_library.save_recipe("steps", pin(own_library, "ablate(calm) then love"), presets={"half": 0.5})
    assert same(compose(own_library, "steps"), compose(own_library, "ablate(calm) then love"))
    assert same(compose(own_library, "steps then calm"), compose(own_library, "ablate(calm) then love + calm"))
    assert same(compose(own_library, "steps[3]"), compose(own_library, "ablate(calm[3]) then love[3]"))
    gated = compose(own_library, "gate(love[2], 1, steps)").steps
    assert [step.inner.operator for step in gated if step.inner] == ["ablate"] * 3 + ["add"] * 3
    for text, column in {"calm + 2*steps": 10, "add(steps)": 5, "normalize(steps)": 11, "2*steps": 3}.items():
        with pytest.raises(ExpressionError, match=r"steps@1 is a recipe of steps, not a vector") as caught:
            compose(own_library, text)
        assert caught.value.column == column
    with pytest.raises(ExpressionError, match=r"column 1 of .*steps@1 is a recipe of steps, and takes no coefficient"):
        compose(own_library, "steps:half")
    with pytest.raises(ExpressionError, match="there is no layer 9 in it"):
        compose(own_library, "steps[3..9]")


def test_the_unit_r_does_not_go_on_a_recipe(own_library: Store):
    own_library.save_recipe("mood", pin(own_library, "love + calm"))
    with pytest.raises(ExpressionError, match=r"column 11 of .*mood@1 is a recipe, and takes plain numbers only"):
        compose(own_library, "love - 1r*mood")


def test_what_a_recipe_cannot_evaluate_is_not_pinned(library: Store):
    with pytest.raises(ExpressionError, match="is in another store"):
        pin(library, "ablate(acme//love)")
    with pytest.raises(NotFoundError, match="column 8"):
        pin(library, "love + nothing")


@pytest.mark.parametrize("text", ["love", "love + calm + love", "calm + love", "love:strong + calm", "love -", "2"])
def test_a_recipe_whose_terms_are_not_those_of_its_text_is_refused(library: Store, text: str):
    recipe = replace(pin(library, "love + calm"), text=text)
    with pytest.raises(IntegrityError, match="the recipe contradicts itself"):
        compose(library, recipe)


def test_a_recipe_that_says_one_name_and_means_another_is_refused(library: Store):
    love, calm = pin(library, "love + calm").terms
    for text, term in (
        ("love", replace(calm, reference="love")),
        ("ns/calm", replace(calm, reference="ns/calm")),
        (f"love@{calm.digest[:15]}", replace(love, reference=f"love@{calm.digest[:15]}")),
    ):
        with pytest.raises(IntegrityError, match=r"the recipe contradicts itself: it says .*, and means default/"):
            compose(library, Recipe(text, (term,)))
    assert compose(library, pin(library, f"love@{love.digest[:15]}")).steps


def test_a_recipe_that_lies_about_a_kind_is_refused(library: Store):
    recipe = pin(library, "love")
    lying = Recipe(recipe.text, (replace(recipe.terms[0], kind="recipe"),))
    with pytest.raises(IntegrityError, match="calls love a recipe, and it is a vector"):
        compose(library, lying)


def test_a_recipe_whose_pinned_version_is_not_here_says_which(library: Store):
    recipe = pin(library, "love")
    foreign = Recipe(recipe.text, (replace(recipe.terms[0], digest=f"sha256:{'0' * 64}"),))
    with pytest.raises(NotFoundError, match="love has no version with digest sha256:0000"):
        compose(library, foreign)


def test_a_pinned_preset_whose_tokens_do_not_go_with_the_shape_is_named(library: Store):
    recipe = pin(library, "love:strong")
    preset = Preset(Coefficient.parse("2"), tokens="prompt_front")
    odd = Recipe(recipe.text, (replace(recipe.terms[0], preset=preset),))
    with pytest.raises(ExpressionError, match="preset 'strong' of default/love@1 says 'prompt_front'"):
        compose(library, odd)
