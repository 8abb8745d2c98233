"""Recipes are versions too: they pin what they are made of."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select
from sqlalchemy import exc as sql

from tests.builders import make_card, make_vector
from vectorstore.coefficient import Coefficient
from vectorstore.errors import ConflictError, InvalidInputError, NotFoundError
from vectorstore.preset import Preset
from vectorstore.recipe import Recipe, Term
from vectorstore.store import Store
from vectorstore.store.schema import RecipeTermRow, VersionRow


@pytest.fixture
def recipe(store: Store) -> Recipe:
    """Pin two saved vectors."""
    terms = []
    for seed, name in enumerate(("love", "acme/joy")):
        vector = make_vector(seed=seed)
        version = store.save(name, vector, make_card(vector)).version
        terms.append(Term(name, version.namespace, version.name, version.digest, "vector", Preset.parse("0.15r")))
    return Recipe("love:strong + acme/joy:strong", tuple(terms))


def test_a_recipe_is_saved_listed_and_read_back(store: Store, recipe: Recipe):
    saved = store.save_recipe("mix", recipe, labels={"topic": "love"}, description="Both.", presets={"half": 0.5})
    version = saved.version
    assert saved.created
    assert (version.kind, version.model, version.method, version.directions) == ("recipe", None, None, {})
    assert store.read_recipe("mix") == recipe
    assert store.list(kind="recipe").versions == (version,)
    assert version not in store.list(kind="vector").versions
    assert store.list(text="both").versions == (version,)
    assert store.resolve("mix", model=make_card(make_vector()).model) == version


def test_the_same_recipe_twice_is_one_version_and_another_is_the_next(store: Store, recipe: Recipe):
    store.save_recipe("mix", recipe)
    assert not store.save_recipe("mix", recipe).created
    assert store.save_recipe("mix", Recipe("love", recipe.terms[:1])).version.number == 2
    assert store.set_alias("mix@1", "prod").aliases == ("prod",)


def test_a_recipe_may_pin_a_recipe(store: Store, recipe: Recipe):
    inner = store.save_recipe("mix", recipe).version
    outer = Recipe("2*mix", (Term("mix", "default", "mix", inner.digest, "recipe"),))
    store.save_recipe("more", outer)
    assert store.read_recipe("more") == outer


def test_what_a_recipe_pins_cannot_be_taken_away(store: Store, recipe: Recipe):
    mix = store.save_recipe("mix", recipe).version
    with store.database.read() as session:
        mine = select(VersionRow.id).where(VersionRow.digest == mix.digest)
        pinned = session.scalars(select(RecipeTermRow.pinned_id).where(RecipeTermRow.version_id.in_(mine))).all()
        digests = session.scalars(select(VersionRow.digest).where(VersionRow.id.in_(pinned))).all()
    assert set(digests) == {term.digest for term in recipe.terms}
    with pytest.raises((ConflictError, sql.IntegrityError)), store.database.write() as session:
        session.execute(delete(VersionRow).where(VersionRow.id.in_(pinned)))
    assert store.read("love")[0] == make_vector(seed=0)


def test_a_recipe_that_pins_what_is_not_here_is_refused(store: Store):
    foreign = Recipe("gone", (Term("gone", "default", "gone", f"sha256:{'0' * 64}", "vector"),))
    with pytest.raises(NotFoundError, match="pins default/gone at sha256:000000000000, which is not in this library"):
        store.save_recipe("mix", foreign)
    assert store.list().versions == ()


def test_a_name_is_a_vector_or_a_recipe_for_good(store: Store, recipe: Recipe):
    store.save_recipe("mix", recipe)
    vector = make_vector()
    with pytest.raises(ConflictError, match="mix is a recipe, and this is a vector; choose another name"):
        store.save("mix", vector, make_card(vector))
    with pytest.raises(ConflictError, match="love is a vector, and this is a recipe"):
        store.save_recipe("love", recipe)


def test_reading_a_recipe_as_a_vector_says_what_it_is(store: Store, recipe: Recipe):
    store.save_recipe("mix", recipe)
    with pytest.raises(ConflictError, match=r"mix@1 is a recipe, not a vector; use read_recipe\(\)"):
        store.read("mix")
    with pytest.raises(ConflictError, match=r"love@1 is a vector, not a recipe; use read\(\)"):
        store.read_recipe("love")


def test_a_recipes_preset_is_a_plain_number(store: Store, recipe: Recipe):
    with pytest.raises(InvalidInputError, match="a recipe's preset is a plain number"):
        store.save_recipe("mix", recipe, presets={"half": Preset(Coefficient.parse("0.5r"))})
