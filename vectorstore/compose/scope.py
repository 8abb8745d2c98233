"""Scope: one text under evaluation, and what its references mean; vectors in it come to combinations here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from vectorstore.coefficient import Coefficient
from vectorstore.compose import derive
from vectorstore.compose.combination import Combination, added, scaled
from vectorstore.compose.label import label
from vectorstore.compose.origins import Origin, made_for
from vectorstore.compose.pins import Pin, Pins, located
from vectorstore.errors import InvalidInputError
from vectorstore.expression import (
    At,
    Call,
    Mean,
    Normalize,
    Orthogonal,
    Project,
    Scaled,
    Sum,
    Vector,
    arguments_of,
    references,
)
from vectorstore.plan import Step
from vectorstore.reference import Reference

ONE = Coefficient(Fraction(1))

Piece = Combination | Step
"""A part of a program: what is added, still symbolically, or any other step."""


@dataclass(frozen=True)
class Scope:
    """One text: the expression's, or a recipe's.

    Attributes:
        text: for messages.
        pins: what its references mean.
        origins: where directions come from; functions put theirs in.
        vector: gives the combination of one reference times its own coefficient.
        program: gives the pieces of a recipe that stands as a step; None for what is a vector.
    """

    text: str
    pins: Pins
    origins: dict[str, Origin]
    vector: Callable[[Pin, Reference, Coefficient], Combination]
    program: Callable[[Pin, Reference], Sequence[Piece] | None]

    def combine_bare(self, node: Vector) -> Combination:
        """Evaluate a Vector expression that stands in no step function: everything in it has to be made to be added.

        Raises:
            ExpressionError: for what is not, and as for `combine`.
        """
        combination = self.combine(node)
        if made_for(combination, self.origins):
            for reference in references(node):
                self._check_added(reference)
        return combination

    def combine(self, node: Vector) -> Combination:
        """Evaluate a Vector expression.

        Raises:
            ExpressionError: for what does not go together, with its column.
        """
        match node:
            case Reference():
                return self._leaf(node, ONE)
            case Scaled(Coefficient(unit="r") as coefficient, Reference() as reference):
                return self._leaf(reference, coefficient)
            case Scaled(coefficient, vector):
                return scaled(self.combine(vector), coefficient.number)
            case Sum(terms):
                return added([self.combine(term) for term in terms])
            case _:
                arguments = [self.combine(vector) for vector in arguments_of(node)]
                with located(self.text, node.column):
                    return self._call(node, arguments)

    def _leaf(self, reference: Reference, coefficient: Coefficient) -> Combination:
        with located(self.text, reference.column):
            return self.vector(self.pins[reference.column], reference, coefficient)

    def _check_added(self, reference: Reference) -> None:
        with located(self.text, reference.column):
            for label, operator in made_for(self._leaf(reference, ONE), self.origins).items():
                raise wrong_operator(label, operator, reference)

    def _call(self, node: Call, arguments: Sequence[Combination]) -> Combination:
        first, second = arguments[0], arguments[-1]
        match node:
            case Mean():
                return derive.mean(arguments, self.origins)
            case At(_, layers, site):
                return derive.at(first, layers, site, self.origins)
            case Normalize():
                derived = derive.normalize(first, self.origins, label(node, self.pins))
            case Orthogonal():
                derived = derive.orthogonal(first, second, self.origins, label(node, self.pins))
            case Project():
                derived = derive.project(first, second, self.origins, label(node, self.pins))
        combination, origins = derived
        for key, origin in origins.items():
            self.origins.setdefault(key, origin)
        return combination


def wrong_operator(label: str, operator: str, reference: Reference) -> InvalidInputError:
    """Return the error for what is added, and made for another operator."""
    number = ", 1" if operator in ("clamp", "affine") else ""
    return InvalidInputError(
        f"{label} is made for the operator '{operator}'",
        f"write {operator}({reference}{number}) as a step, or add(…) to add it all the same",
    )
