"""Compose an expression or a recipe to a plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vectorstore.coefficient import Coefficient
from vectorstore.compose.combination import Amount, Combination, Source, scaled, selected
from vectorstore.compose.origins import Origin
from vectorstore.compose.pins import Pin, Pins, look_up, parsed, pinned
from vectorstore.compose.program import pieces, plan_steps, target_layers, within
from vectorstore.compose.scope import Piece, Scope
from vectorstore.errors import ExpressionError, InvalidInputError, MisfitError
from vectorstore.expression import Expression, Program
from vectorstore.identity import ModelIdentity
from vectorstore.part import Ingredient
from vectorstore.place import Place, layers_text
from vectorstore.plan import Plan, check_tokens
from vectorstore.preset import Preset
from vectorstore.recipe import Recipe
from vectorstore.reference import Reference
from vectorstore.store import Store
from vectorstore.store.version import Found
from vectorstore.tokens import Tokens

MAX_DEPTH = 32


def compose(
    store: Store, expression: str | Expression | Recipe, *, model: ModelIdentity | None = None, force: bool = False
) -> Plan:
    """Return the plan of an expression: its steps in order, sums made once for each (site, layer, tokens).

    Args:
        store: where the references are looked up.
        expression: text, a tree, or a recipe, whose references are pinned already.
        model: the model it is for: a bare name then means its newest version that fits, and everything must fit.
        force: let vectors of other amounts, but the same shape, pass.

    Raises:
        ExpressionError: for what does not parse or does not go together; names the column.
        NotFoundError: for a name, version, alias or preset that is not there; names the column.
        MisfitError: for vectors whose models fit neither each other nor `model`; names the column.
        IntegrityError: for a recipe that contradicts itself.
    """
    composer = _Composer(store, model, force)
    if isinstance(expression, Recipe):
        wanted, pins = pinned(store, expression)
    else:
        wanted = parsed(str(expression))
        pins = look_up(store, wanted, model, force=force)
    try:
        program = pieces(wanted.tree, composer.scope(wanted.text, pins))
    except RecursionError:  # each of MAX_DEPTH recipes may have a hundred functions one in another
        raise ExpressionError(
            "its recipes and their functions are nested too deep", "save a flatter recipe", text=wanted.text
        ) from None
    used = ((reference, pins[reference.column].preset) for reference in wanted.references)
    presets = {str(reference): preset for reference, preset in used if preset}
    return Plan(plan_steps(program, composer.origins), wanted.text, composer.recipes_used, presets)


@dataclass
class _Nested:
    """A recipe that others name: its tree, and what it came to, once it was asked for."""

    tree: Expression
    scope: Scope
    combination: Combination | None = None
    pieces: tuple[Piece, ...] | None = None


@dataclass
class _Composer:
    """One composition, and what it has read, so that nothing is read twice."""

    store: Store
    model: ModelIdentity | None
    force: bool
    origins: dict[str, Origin] = field(default_factory=dict)
    recipes: dict[str, _Nested] = field(default_factory=dict)
    recipes_used: dict[str, str] = field(default_factory=dict)
    first: Ingredient | None = None
    depth: int = 0

    def scope(self, text: str, pins: Pins) -> Scope:
        """Return the scope of one text."""
        return Scope(text, pins, self.origins, self._vector, self._program)

    def _vector(self, pin: Pin, reference: Reference, coefficient: Coefficient) -> Combination:
        preset = pin.preset
        if pin.version.kind == "recipe":
            return self._recipe(pin.version, reference, preset or Preset(coefficient))
        origin = self._read(pin.version)
        card = origin.ingredients[0].card
        own_tokens = preset.tokens if preset else None
        places: Iterable[Place] = origin.directions
        if reference.layers or (preset and preset.layers):
            layers = _layers(card.layers, reference.layers, preset.layers if preset else None)
            places = [place for place in places if place.layer in layers]
        tokens = own_tokens or card.apply.tokens
        amount = Amount.of(preset.coefficient if preset else coefficient)
        if not amount:
            return {}
        digest = pin.version.digest
        combination: dict[Source, Amount] = {}
        for place in places:
            amount.factor(card, place)
            _check_shape(origin, place, tokens, reference.preset if own_tokens else None)
            combination[Source(digest, place, tokens, place)] = amount
        return combination

    def _recipe(self, version: Found, reference: Reference, preset: Preset) -> Combination:
        if preset.coefficient.unit == "r" or preset.layers or preset.tokens:
            raise InvalidInputError(
                f"{version.reference} is a recipe, and takes plain numbers only", f"write 2*{reference.name}"
            )
        nested = self._nested(version)
        if isinstance(nested.tree, Program):
            raise InvalidInputError(
                f"{version.reference} is a recipe of steps, not a vector", "let it stand as a step: mood then 2*love"
            )
        if nested.combination is None:
            self.depth = self._deeper()
            nested.combination = nested.scope.combine(nested.tree)
            self.depth -= 1
        combination = nested.combination
        if reference.layers and combination:
            wanted = _layers(sorted({source.place.layer for source in combination}), reference.layers)
            combination = selected(combination, lambda place: place.layer in wanted)
        return scaled(combination, preset.coefficient.number)

    def _program(self, pin: Pin, reference: Reference) -> Sequence[Piece] | None:
        if pin.version.kind != "recipe":
            return None
        nested = self._nested(pin.version)
        if pin.preset:
            if isinstance(nested.tree, Program):
                raise InvalidInputError(
                    f"{pin.version.reference} is a recipe of steps, and takes no coefficient",
                    f"write {reference.name} without a preset",
                )
            return None
        if nested.pieces is None:
            self.depth = self._deeper()
            nested.pieces = pieces(nested.tree, nested.scope)
            self.depth -= 1
        if reference.layers is None or not nested.pieces:
            return nested.pieces
        wanted = _layers(sorted(target_layers(nested.pieces)), reference.layers)
        return within(nested.pieces, lambda place: place.layer in wanted)

    def _nested(self, version: Found) -> _Nested:
        if version.digest not in self.recipes:
            recipe = self.store.read_recipe(version)
            kept, pins = pinned(self.store, recipe, version.namespace)
            self.recipes[version.digest] = _Nested(kept.tree, self.scope(kept.text, pins))
            self.recipes_used[str(version)] = version.digest
        return self.recipes[version.digest]

    def _deeper(self) -> int:
        if self.depth == MAX_DEPTH:
            raise InvalidInputError(f"recipes are nested more than {MAX_DEPTH} deep", "save a flatter recipe")
        return self.depth + 1

    def _read(self, version: Found) -> Origin:
        if version.digest not in self.origins:
            vector, card = self.store.read(version)
            ingredient = Ingredient(str(version), version.digest, card)
            self._check_model(ingredient)
            bases = {place: (base,) for place, base in vector.references.items()}
            origin = Origin(version.digest, ingredient.label, vector.directions, bases, (ingredient,))
            self.origins[version.digest] = origin
        return self.origins[version.digest]

    def _check_model(self, ingredient: Ingredient) -> None:
        """Check that what was read fits the model, or where none is given, what was read first."""
        if self.model is not None:
            ingredient.card.model.require_fit(self.model, ingredient.label, force=self.force)
        elif self.first is None:
            self.first = ingredient
        else:
            _check_pair(self.first, ingredient, force=self.force)


def _layers(present: Sequence[int], *ranges: tuple[int, int] | None) -> set[int]:
    """Return the layers within every range; both ends of each must be there."""
    chosen = set(present)
    for first, last in filter(None, ranges):
        if not {first, last} <= set(present):
            missing = last if first in present else first
            raise InvalidInputError(f"there is no layer {missing} in it", f"it has {layers_text(present)}")
        chosen &= set(range(first, last + 1))
    if not chosen:
        raise InvalidInputError("no layer is in both the reference and the preset", f"it has {layers_text(present)}")
    return chosen


def _check_shape(origin: Origin, place: Place, tokens: Tokens, preset: str | None) -> None:
    try:
        check_tokens(origin.directions[place].shape, place, tokens)
    except InvalidInputError as error:
        said = f"preset '{preset}'" if preset else "the card"
        raise InvalidInputError(f"{said} of {origin.label} says '{tokens}': {error.problem}", error.hint) from error


def _check_pair(first: Ingredient, second: Ingredient, *, force: bool) -> None:
    mine, other = first.card.model, second.card.model
    if mine is other or mine == other:  # mostly one object: a model's cards share it
        return
    same_shape = mine.widths == other.widths and mine.layer_count == other.layer_count
    if mine.fit(other) == "mismatch" and not (force and same_shape):
        raise MisfitError(
            f"{first.label} was computed on {mine.describe()} and {second.label} on {other.describe()}",
            "compose vectors of one model",
        )
