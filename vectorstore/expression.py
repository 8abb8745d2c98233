"""The syntax tree of the language: Vector nodes, for which the laws of algebra hold, and Step nodes that run in order.

`str(node)` is canonical text: it parses back to an equal tree. Columns take no part in equality.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import get_args

from vectorstore.coefficient import Coefficient, number_text
from vectorstore.reference import Reference

MINUS_ONE = Coefficient(Fraction(-1))


@dataclass(frozen=True)
class Scaled:
    """`2*love`, `-love` or `0.15r*love`; unit `r` stands on a reference only."""

    coefficient: Coefficient
    vector: Vector
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """`-love` rather than `-1*love`, where that reads back."""
        if self.coefficient == MINUS_ONE and not isinstance(self.vector, Scaled):
            return f"-{_factor(self.vector)}"
        return f"{self.coefficient}*{_factor(self.vector)}"


@dataclass(frozen=True)
class Sum:
    """`a + 2*b - c`: a difference is a sum whose term is negated."""

    terms: tuple[Vector, ...]
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """Terms in order, with a minus where one is negative."""
        first, *rest = self.terms
        return (f"({first})" if isinstance(first, Sum) else str(first)) + "".join(_signed(term) for term in rest)


@dataclass(frozen=True)
class Mean:
    """`mean(a, b)`: the mean of directions at each place."""

    vectors: tuple[Vector, ...]
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        return f"mean({', '.join(map(str, self.vectors))})"


@dataclass(frozen=True)
class Normalize:
    """`normalize(a)`: each direction divided by its norm."""

    vector: Vector
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        return f"normalize({self.vector})"


@dataclass(frozen=True)
class Orthogonal:
    """`orthogonal(a, b)`: what is left of `a` without its part along `b`."""

    vector: Vector
    other: Vector
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        return f"orthogonal({self.vector}, {self.other})"


@dataclass(frozen=True)
class Project:
    """`project(a, b)`: the part of `a` along `b`."""

    vector: Vector
    other: Vector
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        return f"project({self.vector}, {self.other})"


@dataclass(frozen=True)
class At:
    """`at(a, 6..12, resid_post)`: one direction, placed elsewhere; both ends included."""

    vector: Vector
    layers: tuple[int, int]
    site: str
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        first, last = self.layers
        return f"at({self.vector}, {first if first == last else f'{first}..{last}'}, {self.site})"


@dataclass(frozen=True)
class Add:
    """`add(V)`: add the vector, whatever its card says it is made for."""

    vector: Vector
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        return f"add({self.vector})"


@dataclass(frozen=True)
class Piecewise:
    """`piecewise(V)`: add the vector where activations point its way, take it away where they point the other."""

    vector: Vector
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        return f"piecewise({self.vector})"


@dataclass(frozen=True)
class Ablate:
    """`ablate(V)`: take the activations' part along the direction away."""

    vector: Vector
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        return f"ablate({self.vector})"


@dataclass(frozen=True)
class Clamp:
    """`clamp(V, x)`: set the activations' part along the direction to `x`."""

    vector: Vector
    number: Fraction
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        return f"clamp({self.vector}, {number_text(self.number)})"


@dataclass(frozen=True)
class Affine:
    """`affine(V, x)`: ablate around the vector's base point, then add `x` times the direction."""

    vector: Vector
    number: Fraction
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        return f"affine({self.vector}, {number_text(self.number)})"


@dataclass(frozen=True)
class Keepnorm:
    """`keepnorm(V)`: add, then give the activations the norm they had."""

    vector: Vector
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        return f"keepnorm({self.vector})"


@dataclass(frozen=True)
class Gate:
    """`gate(V, threshold, Step)`: run the step where the activations' part along the direction is larger."""

    vector: Vector
    threshold: Fraction
    step: Step | Vector
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """As a call."""
        return f"gate({self.vector}, {number_text(self.threshold)}, {self.step})"


@dataclass(frozen=True)
class Program:
    """Steps, run as written: `ablate(a) then b`.

    A bare vector is the step that its card says: `add`, for most. A bare recipe is its own steps.
    """

    steps: tuple[Step | Vector, ...]
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """Joined by `then`."""
        return " then ".join(map(str, self.steps))


Call = Mean | Normalize | Orthogonal | Project | At
Vector = Reference | Scaled | Sum | Call
Step = Add | Piecewise | Ablate | Clamp | Affine | Keepnorm | Gate
Expression = Vector | Program
_NODES = (*get_args(Vector), *get_args(Step))


def references(node: Expression | Step) -> Iterator[Reference]:
    """Yield every reference of the tree, in order of appearance."""
    if isinstance(node, Reference):
        yield node
        return
    for part in fields(node):
        value = getattr(node, part.name)
        for child in value if isinstance(value, tuple) else (value,):
            if isinstance(child, _NODES):
                yield from references(child)


def arguments_of(node: Call) -> tuple[Vector, ...]:
    """Return the vectors that a function takes."""
    match node:
        case Mean(vectors):
            return vectors
        case Orthogonal(vector, other) | Project(vector, other):
            return vector, other
        case Normalize(vector) | At(vector):
            return (vector,)


def negated(node: Vector) -> Vector:
    """Return what `- node` means: a coefficient changes its sign, anything else gets one."""
    if isinstance(node, Scaled):
        return Scaled(node.coefficient * -1, node.vector, node.column)
    return Scaled(MINUS_ONE, node, node.column)


def _factor(node: Vector) -> str:
    return f"({node})" if isinstance(node, Sum | Scaled) else str(node)


def _signed(node: Vector) -> str:
    if isinstance(node, Sum):
        return f" + ({node})"
    if not isinstance(node, Scaled) or node.coefficient.number >= 0:
        return f" + {node}"
    if node.coefficient == MINUS_ONE and not isinstance(node.vector, Scaled):
        return f" - {_factor(node.vector)}"
    return f" - {negated(node)}"
