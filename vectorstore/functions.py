"""The functions of the language: what each takes and makes, and the checks of type, with columns."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Literal

from vectorstore.coefficient import Coefficient
from vectorstore.errors import ExpressionError
from vectorstore.expression import (
    Ablate,
    Add,
    Affine,
    At,
    Clamp,
    Gate,
    Keepnorm,
    Mean,
    Normalize,
    Orthogonal,
    Piecewise,
    Project,
    Step,
    Vector,
)
from vectorstore.place import SITES
from vectorstore.reference import Reference

MAX_LAYER = 999_999
MAX_NUMBER = 200


@dataclass(frozen=True)
class Number:
    """A number on its way to a vector or a function."""

    coefficient: Coefficient
    column: int

    @classmethod
    def product(cls, numbers: Sequence[Number]) -> Number:
        """Multiply; at most one of them has the unit r."""
        return reduce(_times, numbers, cls(Coefficient(Fraction(1)), numbers[0].column if numbers else 1))


@dataclass(frozen=True)
class LayerRange:
    """`6..12`, both ends included, on its way to `at`."""

    layers: tuple[int, int]
    column: int

    @classmethod
    def read(cls, first: str, last: str, column: int) -> LayerRange:
        """Check the order of two runs of digits.

        Raises:
            ExpressionError: when they run backwards or are no layers.
        """
        if max(len(first), len(last)) > len(str(MAX_LAYER)) or int(first) > int(last):
            raise fail(f"'{first[:20]}..{last[:20]}' is not a range of layers", "write 6..12", column)
        return cls((int(first), int(last)), column)


Value = Vector | Step | Number | LayerRange
Kind = Literal["vector", "number", "layers", "site", "step"]
_Node = Callable[..., Vector | Step]


@dataclass(frozen=True)
class Function:
    """What a function takes; `repeats` where more of the last kind may follow."""

    usage: str
    kinds: tuple[Kind, ...]
    node: _Node
    repeats: bool = False


FUNCTIONS: Mapping[str, Function] = {
    "mean": Function("mean(a, b)", ("vector", "vector"), lambda *all_, column: Mean(all_, column), repeats=True),
    "normalize": Function("normalize(a)", ("vector",), Normalize),
    "orthogonal": Function("orthogonal(a, b)", ("vector", "vector"), Orthogonal),
    "project": Function("project(a, b)", ("vector", "vector"), Project),
    "at": Function("at(a, 6..12, resid_pre)", ("vector", "layers", "site"), At),
    "add": Function("add(a)", ("vector",), Add),
    "piecewise": Function("piecewise(a)", ("vector",), Piecewise),
    "ablate": Function("ablate(a)", ("vector",), Ablate),
    "clamp": Function("clamp(a, 1.5)", ("vector", "number"), Clamp),
    "affine": Function("affine(a, 1.5)", ("vector", "number"), Affine),
    "keepnorm": Function("keepnorm(a)", ("vector",), Keepnorm),
    "gate": Function("gate(a, 1.5, add(b))", ("vector", "number", "step"), Gate),
}


def call(name: str, arguments: Sequence[Value], column: int) -> Vector | Step:
    """Make the node of `name(arguments)`.

    Raises:
        ExpressionError: for an unknown function, a wrong number of arguments, or one of a wrong type.
    """
    function = FUNCTIONS.get(name)
    if function is None:
        near = difflib.get_close_matches(name, FUNCTIONS, 1)
        hint = f"did you mean {near[0]}?" if near else f"functions: {', '.join(FUNCTIONS)}"
        raise fail(f"there is no function '{name[:40]}'", hint, column)
    kinds = function.kinds
    if function.repeats:
        kinds += kinds[-1:] * (len(arguments) - len(kinds))
    if len(arguments) != len(kinds):
        raise fail(f"{name} takes {len(kinds)} arguments, not {len(arguments)}", f"write {function.usage}", column)
    values = [_READERS[kind](value, function.usage) for kind, value in zip(kinds, arguments, strict=True)]
    return function.node(*values, column=column)


def require_vector(value: Value, where: str) -> Vector:
    """Return `value` if it is a vector; `where` says what needs one.

    Raises:
        ExpressionError: when it is a step, a number or layers.
    """
    if isinstance(value, Vector):
        return value
    if isinstance(value, Number):
        raise fail(
            f"{value.coefficient} is a number, and {where} needs a vector",
            "multiply a name by it: 2*love",
            value.column,
        )
    if isinstance(value, LayerRange):
        raise fail(f"a range of layers is no vector for {where}", "write love[6..12]", value.column)
    name = type(value).__name__.lower()
    raise fail(
        f"{name}(…) is a step, and {where} needs a vector", f"join steps by then: a then {name}(b)", value.column
    )


def fail(problem: str, hint: str, column: int) -> ExpressionError:
    """Return the error; `parse` adds the text."""
    return ExpressionError(problem, hint, column=column)


def _times(left: Number, right: Number) -> Number:
    if left.coefficient.unit == right.coefficient.unit == "r":
        raise fail("the unit r stands twice", "one coefficient with r for each name: 0.15r*love", right.column)
    unit = "r" if "r" in (left.coefficient.unit, right.coefficient.unit) else "raw"
    product = Coefficient(left.coefficient.number * right.coefficient.number, unit)  # type: ignore[arg-type]
    if not product.is_short:
        raise fail("this product has too many digits", "write shorter numbers", right.column)
    return Number(product, left.column)


def _vector(value: Value, usage: str) -> Vector:
    return require_vector(value, usage)


def _number(value: Value, usage: str) -> Fraction:
    if not isinstance(value, Number):
        raise fail("expected a number", f"write {usage}", value.column)
    if value.coefficient.unit == "r":
        raise fail("the unit r stands on a name only", f"write {usage}", value.column)
    return value.coefficient.number


def _layers(value: Value, usage: str) -> tuple[int, int]:
    if isinstance(value, LayerRange):
        return value.layers
    if isinstance(value, Number) and value.coefficient.unit == "raw":
        number = value.coefficient.number
        if number.denominator == 1 and 0 <= number <= MAX_LAYER:
            return int(number), int(number)
    raise fail("expected a layer, or layers with both ends included", f"write {usage}", value.column)


def _site(value: Value, usage: str) -> str:
    if isinstance(value, Reference) and str(value) in SITES:
        return str(value)
    raise fail("expected a site", f"write {usage}; sites: {', '.join(SITES)}", value.column)


def _step(value: Value, usage: str) -> Step | Vector:
    return value if isinstance(value, Step) else _vector(value, usage)


_READERS: Mapping[Kind, Callable[[Value, str], object]] = {
    "vector": _vector,
    "number": _number,
    "layers": _layers,
    "site": _site,
    "step": _step,
}
