"""Program: an expression as a row of pieces, and these as the steps of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from vectorstore.compose import steps as functions
from vectorstore.compose.combination import Combination, added, selected
from vectorstore.compose.origins import Origins, made_for
from vectorstore.compose.pins import located
from vectorstore.compose.scope import Piece, Scope, wrong_operator
from vectorstore.expression import (
    Ablate,
    Add,
    Affine,
    Clamp,
    Expression,
    Gate,
    Keepnorm,
    Piecewise,
    Program,
    Vector,
)
from vectorstore.expression import Step as StepNode
from vectorstore.place import Place
from vectorstore.plan import Step
from vectorstore.reference import Reference

PLAIN: Mapping[str, Callable[[Combination, Origins], tuple[Step, ...]]] = {
    "ablate": functions.ablate_steps,
    "keepnorm": functions.keepnorm_steps,
    "piecewise": functions.piecewise_steps,
}
"""Operators that need nothing but a vector, so that a bare reference can mean them."""


def pieces(tree: Expression, scope: Scope) -> tuple[Piece, ...]:
    """Evaluate an expression: its steps in order, additions that follow each other made one.

    Raises:
        ExpressionError: for what does not go together, with its column.
    """
    nodes = tree.steps if isinstance(tree, Program) else (tree,)
    return tuple(_merged(piece for node in nodes for piece in _pieces(node, scope)))


def plan_steps(pieces: Iterable[Piece], origins: Origins) -> tuple[Step, ...]:
    """Return the steps of a program, sums made.

    Raises:
        InvalidInputError: when a sum is larger than float32 holds.
    """
    steps: list[Step] = []
    for piece in pieces:
        steps += [piece] if isinstance(piece, Step) else functions.add_steps(piece, origins)
    return tuple(steps)


def target_layers(pieces: Iterable[Piece]) -> set[int]:
    """Return the layers whose activations the pieces change."""
    layers: set[int] = set()
    for piece in pieces:
        layers |= {piece.target.layer} if isinstance(piece, Step) else {source.place.layer for source in piece}
    return layers


def within(pieces: Iterable[Piece], keep: Callable[[Place], bool]) -> tuple[Piece, ...]:
    """Return what changes activations at the places to keep."""
    kept: list[Piece] = []
    for piece in pieces:
        if not isinstance(piece, Step):
            kept.append(selected(piece, keep))
        elif keep(piece.target):
            kept.append(piece)
    return tuple(kept)


def _merged(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Add up what is added in a row: the sum is the same, and what cancels is gone."""
    row: list[Combination] = []
    for piece in pieces:
        if isinstance(piece, Step):
            yield from _sum(row)
            yield piece
            row = []
        else:
            row.append(piece)
    yield from _sum(row)


def _sum(row: Sequence[Combination]) -> Sequence[Combination]:
    total = row[0] if len(row) == 1 else added(row)
    return [total] if total else []


def _pieces(node: StepNode | Vector, scope: Scope) -> Sequence[Piece]:
    match node:
        case Reference():
            return _bare(node, scope)
        case Add(vector):
            return [scope.combine(vector)]
        case Ablate() | Keepnorm() | Piecewise() | Clamp() | Affine() | Gate():
            combination = scope.combine(node.vector)
            inner = plan_steps(_merged(_pieces(node.step, scope)), scope.origins) if isinstance(node, Gate) else ()
            with located(scope.text, node.column):
                return _steps(node, combination, inner, scope.origins)
        case _:
            return [scope.combine_bare(node)]


def _steps(node: StepNode, combination: Combination, inner: Sequence[Step], origins: Origins) -> Sequence[Step]:
    match node:
        case Clamp(_, number):
            return functions.clamp_steps(combination, number, origins)
        case Affine(_, number):
            return functions.affine_steps(combination, number, origins)
        case Gate(_, threshold):
            return functions.gate_steps(combination, threshold, inner, origins)
        case Ablate():
            return functions.ablate_steps(combination, origins)
        case Piecewise():
            return functions.piecewise_steps(combination, origins)
        case _:
            return functions.keepnorm_steps(combination, origins)


def _bare(reference: Reference, scope: Scope) -> Sequence[Piece]:
    """Evaluate a reference that is a step by itself: a recipe's steps, or the one that its card says."""
    with located(scope.text, reference.column):
        program = scope.program(scope.pins[reference.column], reference)
    if program is not None:
        return program
    combination = scope.combine(reference)
    with located(scope.text, reference.column):
        for label, operator in made_for(combination, scope.origins).items():
            if operator not in PLAIN:
                raise wrong_operator(label, operator, reference)
            return PLAIN[operator](combination, scope.origins)
    return [combination]
