"""A composed vector saved as one: what steers is what was composed, and its card says what it is made of."""

from __future__ import annotations

import numpy as np
import pytest

import vectorstore
from tests.compose.flat import MODEL, save
from vectorstore.coefficient import Coefficient
from vectorstore.compose import compose, parents, pin, to_vector
from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.place import Place
from vectorstore.plan import Plan, plan_of
from vectorstore.preset import Preset
from vectorstore.store import Store
from vectorstore.store.version import Saved


def save_blend(store: Store, name: str, text: str) -> Saved:
    plan = compose(store, text)
    return store.save(name, *to_vector(plan), parents=parents(plan))


def test_the_vector_steers_as_the_expression_does(flat: Store):
    text = "orthogonal(east, diagonal) + 0.1r*up + at(north, 5, resid_post)"
    save_blend(flat, "blend", text)
    blend, expression = compose(flat, "blend").steps, compose(flat, text).steps
    assert [(step.place, step.tokens, step.direction.tobytes()) for step in blend] == [
        (step.place, step.tokens, step.direction.tobytes()) for step in expression
    ]


def test_the_card_tells_what_was_done(flat: Store):
    flat.save_recipe("mood", pin(flat, "2*east"))
    plan = compose(flat, "mood - normalize(up) + at(north, 5, resid_pre)")
    vector, card = to_vector(plan)
    assert (card.method.name, card.method.version, dict(card.method.params)) == (
        "compose",
        "1",
        {"expression": plan.text},
    )
    assert (card.model, card.apply.tokens, card.apply.operator, card.read.positions) == (MODEL, "all", "add", "none")
    assert dict(card.norms) == vector.norms
    assert dict(card.residual_norms) == {Place("resid_pre", 3): 20, Place("resid_pre", 4): 20}
    assert dict(card.versions) == {"numpy": np.__version__, "vectorstore": vectorstore.__version__}
    made_of = {"default/east@1": "east", "default/up@1": "up", "default/north@1": "north", "default/mood@1": "mood"}
    items = {str(item["reference"]): item["digest"] for item in card.data.items or ()}
    assert items == {reference: flat.resolve(name).digest for reference, name in made_of.items()}
    assert (card.data.kind, set(parents(plan))) == ("versions", set(items.values()))


def test_the_card_keeps_what_presets_meant(flat: Store):
    for number in ("2", "3"):
        flat.set_preset("east", "strong", Preset(Coefficient.parse(number), (3, 3), "last"))
        _, card = to_vector(compose(flat, "east:strong"))
        meant = {"coefficient": number, "layers": [3, 3], "tokens": "last"}
        assert dict(card.method.params) == {"expression": "east:strong", "presets": {"east:strong": meant}}


def test_the_same_expression_saved_twice_is_one_version(flat: Store):
    first, again = (save_blend(flat, "blend", "east + 2*north") for _ in range(2))
    assert (first.created, again.created, first.version.digest) == (True, False, again.version.digest)
    assert save_blend(flat, "blend", "east + 3*north").version.number == 2


def test_rows_per_position_and_other_tokens_are_kept(flat: Store):
    save(flat, "last", [1, 0], tokens="last")
    for text in ("2*front", "last + last"):
        vector, card = to_vector(compose(flat, text))
        (step,) = compose(flat, text).steps
        assert np.array_equal(vector.directions[step.place], step.direction)
        assert card.apply.tokens == step.tokens


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ablate(east)", "it has a step 'ablate' at resid_pre.3"),
        ("east then keepnorm(up)", "it has a step 'keepnorm' at resid_pre.4"),
        ("east + front", "it steers all and prompt_front tokens"),
        ("front + long", r"the directions at resid_pre.3 have shapes \[\[2, 2\], \[3, 2\]\]"),
        ("east - east", "in it everything cancels"),
    ],
)
def test_what_is_not_one_vector_can_be_a_recipe(flat: Store, text: str, says: str):
    with pytest.raises(InvalidInputError, match=rf"is not one vector: {says}; it can be saved as a recipe"):
        to_vector(compose(flat, text))


def test_vectors_of_different_weights_make_one_only_by_force(flat: Store):
    save(flat, "tuned", [1, 1], seed=7)
    plan = compose(flat, "east + tuned")
    with pytest.raises(MisfitError, match=r"default/east@1 was computed on tiny and default/tuned@1 on tuned: other"):
        to_vector(plan)
    _, card = to_vector(plan, force=True)
    assert card.model == MODEL


def test_a_card_takes_r_from_versions_of_its_own_model_only(flat: Store):
    save(flat, "tuned", [1, 1], place=Place("resid_pre", 5), seed=7)
    _, card = to_vector(compose(flat, "east + up + tuned"), force=True)
    assert card.model == MODEL
    assert card.places == (Place("resid_pre", 3), Place("resid_pre", 4), Place("resid_pre", 5))
    assert dict(card.residual_norms) == {Place("resid_pre", 3): 20, Place("resid_pre", 4): 20}


def test_what_is_not_saved_has_no_lineage(flat: Store):
    vector, card = flat.read("east")
    for plan in (plan_of(vector, card), plan_of(vector)):
        with pytest.raises(InvalidInputError, match="vectors that are not saved"):
            to_vector(plan)
    with pytest.raises(InvalidInputError, match="everything cancels"):
        to_vector(Plan())
