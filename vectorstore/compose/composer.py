"""Compose an expression or a recipe to a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vectorstore.card import Card
from vectorstore.coefficient import Coefficient
from vectorstore.compose.combination import Amount, Combination, Source, combine, scaled, vector_of
from vectorstore.compose.pins import Pin, Pins, located, look_up, parsed, pinned
from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.expression import Expression, Program, Vector
from vectorstore.identity import ModelIdentity
from vectorstore.plan import Plan, PlanTerm, check_adds, check_tokens, sum_steps
from vectorstore.preset import Preset
from vectorstore.recipe import Recipe
from vectorstore.reference import Reference
from vectorstore.store import Store
from vectorstore.store.version import Version
from vectorstore.tokens import Tokens
from vectorstore.vector import Place, SteeringVector, layers_text

MAX_DEPTH = 32


def compose(
    store: Store, expression: str | Expression | Recipe, *, model: ModelIdentity | None = None, force: bool = False
) -> Plan:
    """Return the plan of an expression: sums made once, one step for each (site, layer, tokens).

    Args:
        store: where the references are looked up.
        expression: text, a tree, or a recipe, whose references are pinned already.
        model: the model it is for: a bare name then means its newest version that fits, and everything must fit.
        force: let vectors of other amounts, but the same shape, pass.

    Raises:
        ExpressionError: for what does not parse, does not go together or is not evaluated yet; names the column.
        NotFoundError: for a name, version, alias or preset that is not there; names the column.
        MisfitError: for vectors whose models fit neither each other nor `model`.
        IntegrityError: for a recipe that contradicts itself.
    """
    composer = _Composer(store, model)
    if isinstance(expression, Recipe):
        text = expression.text
        combination = composer.evaluate(text, *pinned(store, expression))
    else:
        text, tree = parsed(expression)
        combination = composer.evaluate(text, tree, look_up(store, text, tree, model, force=force))
    composer.check_models(force=force)
    terms = composer.terms(combination)
    return Plan(sum_steps(terms), terms, text)


@dataclass(frozen=True)
class _Used:
    """A stored vector that was read."""

    label: str
    vector: SteeringVector
    card: Card


@dataclass
class _Composer:
    """One composition, and what it has read, so that nothing is read twice."""

    store: Store
    model: ModelIdentity | None
    used: dict[str, _Used] = field(default_factory=dict)
    recipes: dict[str, tuple[Expression, Combination]] = field(default_factory=dict)
    depth: int = 0

    def evaluate(self, text: str, tree: Expression, pins: Pins) -> Combination:
        """Return what the tree comes to."""
        whole = vector_of(tree, text)

        def leaf(reference: Reference, coefficient: Coefficient) -> Combination:
            pin = pins[reference.column]
            use = self._recipe if pin.version.kind == "recipe" else self._vector
            with located(text, reference.column):
                return use(pin, reference, coefficient, whole)

        return combine(whole, leaf, text)

    def check_models(self, *, force: bool) -> None:
        """Check that everything that was read fits the model, or where none is given, each other.

        Raises:
            MisfitError: naming both.
        """
        used = tuple(self.used.values())
        if self.model is not None:
            for each in used:
                each.card.model.require_fit(self.model, each.label, force=force)
        else:
            for each in used[1:]:
                _check_pair(used[0], each, force=force)

    def terms(self, combination: Combination) -> tuple[PlanTerm, ...]:
        """Resolve units: one term for each version and kind of tokens, in order of appearance."""
        uses: dict[tuple[str, Tokens], dict[Place, Amount]] = {}
        for source, amount in combination.items():
            uses.setdefault((source.digest, source.tokens), {})[source.place] = amount
        return tuple(self._term(digest, tokens, amounts) for (digest, tokens), amounts in uses.items())

    def _term(self, digest: str, tokens: Tokens, amounts: dict[Place, Amount]) -> PlanTerm:
        used = self.used[digest]
        factors = {place: amount.factor(used.card, place) for place, amount in amounts.items()}
        return PlanTerm(
            label=used.label,
            digest=digest,
            card=used.card,
            tokens=tokens,
            factors={place: factor for place, factor in factors.items() if factor},
            directions=used.vector.directions,
        )

    def _vector(self, pin: Pin, reference: Reference, coefficient: Coefficient, _whole: Vector) -> Combination:
        used = self._read(pin.version)
        check_adds(used.card, used.label)
        preset = pin.term.preset or Preset(coefficient)
        layers = _layers(used.vector.layers, reference.layers, preset.layers)
        tokens = preset.tokens or used.card.apply.tokens
        amount = Amount.of(preset.coefficient)
        if not amount:
            return {}
        sources = [Source(pin.term.digest, tokens, place) for place in used.vector.places if place.layer in layers]
        for source in sources:
            amount.factor(used.card, source.place)
            _check_shape(used, source, reference.preset if preset.tokens else None)
        return dict.fromkeys(sources, amount)

    def _recipe(self, pin: Pin, reference: Reference, coefficient: Coefficient, whole: Vector) -> Combination:
        preset = pin.term.preset or Preset(coefficient)
        if preset.coefficient.unit == "r" or preset.layers or preset.tokens:
            raise InvalidInputError(
                f"{pin.version.reference} is a recipe, and takes plain numbers only", f"write 2*{reference.name}"
            )
        tree, combination = self._nested(pin.version)
        if isinstance(tree, Program) and whole is not reference:
            raise InvalidInputError(
                f"{pin.version.reference} is a recipe of steps, not a vector", "let it stand alone as a step"
            )
        layers = {source.place.layer for source in combination}
        if reference.layers and layers:
            wanted = _layers(sorted(layers), reference.layers, None)
            combination = {source: amount for source, amount in combination.items() if source.place.layer in wanted}
        return scaled(combination, preset.coefficient.number)

    def _nested(self, version: Version) -> tuple[Expression, Combination]:
        if version.digest not in self.recipes:
            if self.depth == MAX_DEPTH:
                raise InvalidInputError(f"recipes are nested more than {MAX_DEPTH} deep", "save a flatter recipe")
            self.depth += 1
            recipe = self.store.read_recipe(version)
            tree, pins = pinned(self.store, recipe)
            self.recipes[version.digest] = tree, self.evaluate(recipe.text, tree, pins)
            self.depth -= 1
        return self.recipes[version.digest]

    def _read(self, version: Version) -> _Used:
        if version.digest not in self.used:
            self.used[version.digest] = _Used(str(version), *self.store.read(version))
        return self.used[version.digest]


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


def _check_shape(used: _Used, source: Source, preset: str | None) -> None:
    try:
        check_tokens(used.vector.directions[source.place].shape, source.place, source.tokens)
    except InvalidInputError as error:
        said = f"preset '{preset}'" if preset else "the card"
        raise InvalidInputError(
            f"{said} of {used.label} says '{source.tokens}': {error.problem}", error.hint
        ) from error


def _check_pair(first: _Used, second: _Used, *, force: bool) -> None:
    mine, other = first.card.model, second.card.model
    same_shape = mine.widths == other.widths and mine.layer_count == other.layer_count
    if mine.fit(other) == "mismatch" and not (force and same_shape):
        raise MisfitError(
            f"{first.label} was computed on {mine.describe()} and {second.label} on {other.describe()}",
            "compose vectors of one model",
        )
