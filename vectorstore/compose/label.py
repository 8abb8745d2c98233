"""Label: what a function is called in a plan: its text, with every reference pinned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vectorstore.compose.pins import Pins
from vectorstore.expression import At, Mean, Normalize, Orthogonal, Project, Scaled, Sum, Vector
from vectorstore.reference import Reference


def label(node: Vector, pins: Pins) -> str:
    """Return the text of a vector with versions for aliases and bare names: `normalize(love@2[6])`."""

    def pinned(reference: Reference) -> Reference:
        return replace(reference, version=pins[reference.column].version.number, alias=None, digest=None)

    return str(_renamed(node, pinned))


def _renamed(node: Vector, rename: Callable[[Reference], Reference]) -> Vector:
    match node:
        case Reference():
            return rename(node)
        case Scaled(_, vector) | Normalize(vector) | At(vector):
            return replace(node, vector=_renamed(vector, rename))
        case Sum(terms):
            return replace(node, terms=tuple(_renamed(term, rename) for term in terms))
        case Mean(vectors):
            return replace(node, vectors=tuple(_renamed(vector, rename) for vector in vectors))
        case Orthogonal(vector, other) | Project(vector, other):
            return replace(node, vector=_renamed(vector, rename), other=_renamed(other, rename))
