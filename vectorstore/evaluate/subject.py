"""Subject: what an expression names, as one vector to read along, with what is known of how to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vectorstore.card import Card, MethodUse
from vectorstore.compose import compose, to_vector
from vectorstore.compose.pins import located
from vectorstore.evaluate.projection import check_readable
from vectorstore.parser import parse
from vectorstore.reference import Reference
from vectorstore.store import Store
from vectorstore.vector import SteeringVector


@dataclass(frozen=True)
class Subject:
    """One vector of a library, or made of several.

    Attributes:
        label: `love@2`, or the expression.
        vector: its directions, each `[d]`.
        card: that of the version; what was composed has one that knows no data.
    """

    label: str
    vector: SteeringVector
    card: Card


def find_subject(store: Store, expression: str, *, force: bool = False) -> Subject:
    """Return the vector that an expression comes to.

    A version keeps its card, and with it the data it was computed from. What is composed has no data; it is read as its
    versions were, where these agree.

    Raises:
        ExpressionError: for what does not parse.
        NotFoundError: for a name that is not there.
        InvalidInputError: for an expression that is not one vector, or directions `[t, d]`.
        MisfitError: for versions of different models, without `force`.
    """
    tree = parse(expression)
    if isinstance(tree, Reference) and tree.preset is None:
        with located(expression, tree.column):
            version = store.resolve(replace(tree, layers=None))
        if version.kind == "vector":
            vector, card = store.read(version)
            vector = vector.select(_chosen(vector, tree.layers)) if tree.layers else vector
            check_readable(vector, version.reference)
            layers = str(tree).removeprefix(tree.version_text)
            return Subject(f"{version.reference}{layers}", vector, card)
    plan = compose(store, expression, force=force)
    vector, card = to_vector(plan, force=force)
    check_readable(vector, f"'{expression}'")
    return Subject(expression, vector, _read_alike(card, [each.card for each in plan.ingredients]))


def _chosen(vector: SteeringVector, layers: tuple[int, int]) -> list[int]:
    """Return the layers of the range that the vector has; both ends must be there."""
    first, last = layers
    return sorted({first, last} | {layer for layer in vector.layers if first <= layer <= last})


def _read_alike(card: Card, made_of: Sequence[Card]) -> Card:
    """Return the card with the read position of all that it was made of, if it is one."""
    first = made_of[0]
    if any(_reads(other) != _reads(first) for other in made_of):
        return card
    use = MethodUse(card.method.name, card.method.version, {**first.method.params, **card.method.params})
    return replace(card, method=use, read=replace(first.read, tokens=()))


def _reads(card: Card) -> tuple[str, object]:
    """Return all of a card that decides where texts are read."""
    return card.read.positions, {name: card.method.params.get(name) for name in ("chat", "index", "first")}
