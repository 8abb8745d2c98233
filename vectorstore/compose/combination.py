"""Combination: what a Vector expression comes to, symbolically: an exact amount for each stored direction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from vectorstore.card import Card
from vectorstore.coefficient import Coefficient
from vectorstore.errors import ExpressionError
from vectorstore.expression import Add, Expression, Program, Scaled, Step, Sum, Vector
from vectorstore.reference import Reference
from vectorstore.tokens import Tokens
from vectorstore.vector import Place

ONE = Coefficient(Fraction(1))


@dataclass(frozen=True)
class Amount:
    """`raw + r·R/norm`: both parts are exact, so that what cancels is nothing at all."""

    raw: Fraction = Fraction(0)
    r: Fraction = Fraction(0)

    @classmethod
    def of(cls, coefficient: Coefficient) -> Amount:
        """Return the amount of one coefficient."""
        return cls(r=coefficient.number) if coefficient.unit == "r" else cls(raw=coefficient.number)

    def factor(self, card: Card, place: Place) -> Fraction:
        """Return the number that the direction of `card` at `place` is multiplied by.

        Raises:
            InvalidInputError: for a part in `r` where there is no R, or where the direction is zero.
        """
        if not self.r:
            return self.raw
        in_r = Coefficient(self.r, "r").factor(card.norms[place], card.residual_norms.get(place), str(place))
        return self.raw + in_r

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return bool(self.raw or self.r)

    def __add__(self, other: Amount) -> Amount:
        """Add both parts."""
        return Amount(self.raw + other.raw, self.r + other.r)

    def __mul__(self, factor: Fraction) -> Amount:
        """Scale both parts."""
        return Amount(self.raw * factor, self.r * factor)


class Source(NamedTuple):
    """A stored direction in one use: the version's digest, the tokens it steers, and its place."""

    digest: str
    tokens: Tokens
    place: Place


Combination = Mapping[Source, Amount]
Leaf = Callable[[Reference, Coefficient], Combination]


def combine(node: Vector, leaf: Leaf, text: str) -> Combination:
    """Evaluate a Vector expression.

    Args:
        node: the tree.
        leaf: gives the combination of one reference times its own coefficient.
        text: the expression, for messages.

    Raises:
        ExpressionError: for what is not evaluated yet, with its column.
    """
    match node:
        case Reference(remote=None):
            return leaf(node, ONE)
        case Scaled(Coefficient(unit="r") as coefficient, Reference(remote=None) as reference):
            return leaf(reference, coefficient)
        case Scaled(coefficient, vector):
            return scaled(combine(vector, leaf, text), coefficient.number)
        case Sum(terms):
            return added(combine(term, leaf, text) for term in terms)
        case _:
            raise not_yet(node, text)


def vector_of(tree: Expression, text: str) -> Vector:
    """Return the vector that the expression adds: itself, or what stands in its single `add`.

    Raises:
        ExpressionError: for any other step, which is not evaluated yet.
    """
    match tree:
        case Program((Add(vector),)):
            return vector
        case Program(steps):
            raise not_yet(next((step for step in steps if not isinstance(step, Add)), steps[-1]), text)
        case _:
            return tree


def scaled(combination: Combination, factor: Fraction) -> Combination:
    """Multiply every amount; a factor of zero leaves nothing."""
    return {source: amount * factor for source, amount in combination.items()} if factor else {}


def added(combinations: Iterable[Combination]) -> Combination:
    """Add up; amounts that come to zero are left out."""
    total: dict[Source, Amount] = {}
    for combination in combinations:
        for source, amount in combination.items():
            total[source] = total.get(source, Amount()) + amount
    return {source: amount for source, amount in total.items() if amount}


def not_yet(node: Vector | Step, text: str) -> ExpressionError:
    """Return the error for what parses but is not evaluated yet."""
    what = f"{type(node).__name__.lower()}(…)"
    if isinstance(node, Add):
        what = "more than one step"
    if isinstance(node, Reference):
        what = "a reference to another store"
    hint = "use names of this library, numbers, + - * and parentheses"
    return ExpressionError(f"{what} is not yet supported", hint, column=node.column, text=text)
