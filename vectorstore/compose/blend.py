"""Blend: a composed vector as one that can be saved, with a card that says what it was made of."""

from __future__ import annotations

import numpy as np

import vectorstore
from vectorstore.canonical import Json
from vectorstore.card import Apply, Card, Data, MethodUse, ReadPositions
from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.identity import ModelIdentity
from vectorstore.part import Ingredient
from vectorstore.place import Place
from vectorstore.plan import Plan
from vectorstore.vector import SteeringVector

METHOD = "compose"
METHOD_VERSION = "1"


def to_vector(plan: Plan, *, force: bool = False) -> tuple[SteeringVector, Card]:
    """Return the vector that a plan adds, and its card: method `compose`, its data the versions it was made of.

    Args:
        plan: adds only, on one kind of tokens, with one shape at each place.
        force: take the first version's model where they were computed on different weights of one shape.

    Raises:
        InvalidInputError: for any other plan, which can be a recipe.
        MisfitError: for versions of different weights, without `force`.
    """
    _check_one(plan)
    vector = SteeringVector({step.place: step.direction for step in plan.steps})
    return vector, Card(
        model=_model(plan.ingredients, force=force),
        method=MethodUse(METHOD, METHOD_VERSION, _params(plan)),
        data=Data.of("versions", _items(plan)),
        read=ReadPositions("none"),
        apply=Apply(plan.steps[0].tokens),
        norms=vector.norms,
        residual_norms=_residual_norms(plan),
        versions={"numpy": np.__version__, "vectorstore": vectorstore.__version__},
    )


def parents(plan: Plan) -> tuple[str, ...]:
    """Return the digests of the versions and recipes that a plan was made of."""
    return tuple(str(item["digest"]) for item in _items(plan))


def _check_one(plan: Plan) -> None:
    if not plan.steps:
        raise _not_one("in it everything cancels")
    if other := next((step for step in plan.steps if step.operator != "add"), None):
        raise _not_one(f"it has a step '{other.operator}' at {other.place}")
    tokens = sorted({step.tokens for step in plan.steps})
    if len(tokens) > 1:
        raise _not_one(f"it steers {' and '.join(tokens)} tokens")
    for step in plan.steps:
        shapes = {term.directions[step.place].shape for term in step.terms}
        if len(shapes) > 1:
            raise _not_one(f"the directions at {step.place} have shapes {sorted(map(list, shapes))}")
    if not all(ingredient.digest for ingredient in plan.ingredients) or not plan.ingredients:
        raise InvalidInputError("the plan is made of vectors that are not saved", "save them, and compose their names")


def _not_one(trouble: str) -> InvalidInputError:
    return InvalidInputError(f"this expression is not one vector: {trouble}", "it can be saved as a recipe")


def _model(ingredients: tuple[Ingredient, ...], *, force: bool) -> ModelIdentity:
    first = ingredients[0]
    model = first.card.model
    for other in ingredients[1:]:
        its = other.card.model
        if not force and not _is_one(model, its):
            raise MisfitError(
                f"{first.label} was computed on {model.reference} and {other.label} on {its.reference}: other weights, "
                "another vocabulary or another beginning of sequence",
                "save it as a recipe, or ask for it all the same with --force (Python: force=True)",
            )
    return model


def _params(plan: Plan) -> Json:
    """Return the expression, and what its presets meant: these may change, and the vector does not."""
    presets = {reference: preset.to_json() for reference, preset in plan.presets.items()}
    return {"expression": plan.text} | ({"presets": presets} if presets else {})


def _is_one(model: ModelIdentity, other: ModelIdentity) -> bool:
    """Return whether activations of one are those of the other."""
    return model.fit(other) == "same" and model.bos_token_id == other.bos_token_id


def _items(plan: Plan) -> tuple[Json, ...]:
    made_of = {each.label: each.digest for each in plan.ingredients} | dict(plan.recipes)
    return tuple({"reference": reference, "digest": digest} for reference, digest in made_of.items())


def _residual_norms(plan: Plan) -> dict[Place, float]:
    """Return R where a card of the plan knows it: of the blend's own model, which is that of the first version."""
    model = plan.ingredients[0].card.model
    known: dict[Place, float] = {}
    for ingredient in plan.ingredients:
        if _is_one(model, ingredient.card.model):
            known = dict(ingredient.card.residual_norms) | known
    return {place: known[place] for place in plan.places if place in known}
