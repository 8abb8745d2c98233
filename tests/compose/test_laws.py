"""The laws of composition, over random expressions."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.compose.library import VECTORS
from vectorstore.coefficient import Coefficient, number_text
from vectorstore.compose import compose, pin
from vectorstore.errors import ExpressionError
from vectorstore.expression import (
    Ablate,
    Add,
    Affine,
    At,
    Clamp,
    Expression,
    Gate,
    Keepnorm,
    Mean,
    Normalize,
    Orthogonal,
    Piecewise,
    Program,
    Project,
    Scaled,
    Step,
    Sum,
    Vector,
)
from vectorstore.plan import Plan
from vectorstore.recipe import Recipe
from vectorstore.reference import Reference
from vectorstore.store import Store
from vectorstore.vector import Array, direction_norm

RANGES = st.sampled_from([(0, 0), (2, 4), (3, 3)])
RESIDUAL = st.sampled_from(["resid_pre", "resid_post"])
NUMBERS = st.decimals(-4, 4, places=2).map(Fraction)
USABLE = [Reference(name) for name in VECTORS if name != "zero"]
LAYERED = [Reference("love", layers=layers) for layers in ((2, 3), (3, 3), (3, 4))]
PRESET = [Reference("love", preset=preset) for preset in ("strong", "portable", "early")]
IN_R = [Reference(name) for name in ("love", "calm", "front")]
ATOMS: st.SearchStrategy[Vector] = st.one_of(
    st.sampled_from([*USABLE, *LAYERED, *PRESET]),
    st.builds(Scaled, st.builds(Coefficient, NUMBERS, st.just("r")), st.sampled_from(IN_R)),
)
LINEAR: st.SearchStrategy[Vector] = st.recursive(
    ATOMS,
    lambda inner: (
        st.builds(Scaled, st.builds(Coefficient, NUMBERS), inner)
        | st.builds(Sum, st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=5,
)
AT = st.builds(At, st.sampled_from([Reference(name) for name in ("front", "narrow", "short")]), RANGES, RESIDUAL)
ALIKE: st.SearchStrategy[Vector] = st.recursive(
    st.sampled_from([Reference("love"), Reference("calm"), Reference("love", layers=(3, 4)), Reference("narrow")]),
    lambda inner: (
        st.builds(Scaled, st.builds(Coefficient, NUMBERS.filter(bool)), inner)
        | st.builds(Sum, st.tuples(inner, inner))
        | st.builds(Mean, st.tuples(inner, inner))
        | st.builds(Orthogonal, inner, inner)
        | st.builds(Project, inner, inner)
    ),
    max_leaves=4,
)
"""One kind of tokens and one shape, so that any two go together."""
SINGLE_PLACE = st.sampled_from(
    [Reference("love", layers=(3, 3)), Reference("calm", layers=(3, 3)), Reference("narrow")]
)
SINGLE: st.SearchStrategy[Vector] = st.builds(Scaled, st.builds(Coefficient, NUMBERS), SINGLE_PLACE)
LINE: st.SearchStrategy[Vector] = st.builds(Scaled, st.builds(Coefficient, NUMBERS.filter(bool)), SINGLE_PLACE)
STEP: st.SearchStrategy[Step] = st.one_of(
    st.builds(Add, SINGLE),
    st.builds(Ablate, LINE),
    st.builds(Clamp, LINE, NUMBERS),
    st.builds(Affine, LINE, NUMBERS),
    st.builds(Keepnorm, SINGLE),
    st.builds(Piecewise, SINGLE),
)
GATE = st.builds(Gate, st.just(Reference("love", layers=(2, 2))), NUMBERS, STEP | SINGLE)
PROGRAM = st.builds(Program, st.lists(STEP | GATE, min_size=1, max_size=4).map(tuple))
VECTOR = LINEAR | ALIKE | st.builds(Normalize, LINEAR) | AT
# examples share the library: most only read it, and one saves a next version of a recipe
laws = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def close(left: Plan, right: Plan) -> bool:
    """Whether both do the same within 1e-6 of the parts' size; a place one lacks has zero in the other."""
    mine, other = ({(step.place, step.tokens): step.direction for step in plan.steps} for plan in (left, right))
    return all(
        np.allclose(mine.get(key, 0.0), other.get(key, 0.0), rtol=1e-6, atol=1e-6 * _size(left, right, key))
        for key in mine.keys() | other.keys()
    )


def _size(left: Plan, right: Plan, key: object) -> float:
    parts = [
        float(np.abs(term.scaled(place)).max())
        for plan in (left, right)
        for term in plan.terms
        for place in term.factors
        if (place, term.tokens) == key
    ]
    return max(parts, default=0.0)


def plan(library: Store, expression: Expression | Recipe) -> Plan:
    """Compose what can be composed: random vectors may cancel where a function needs a direction, or share no place."""
    try:
        return compose(library, expression)
    except ExpressionError as error:
        assume(not re.search("is zero, and has no norm|the vectors share no place", error.problem))
        raise


def summed(*vectors: Vector) -> Vector:
    return Sum(vectors)


def times(number: Fraction | int, vector: Vector) -> Vector:
    return Scaled(Coefficient(Fraction(number)), vector)


@laws
@given(a=VECTOR)
def test_zero_times_anything_is_the_empty_plan(library: Store, a: Vector):
    found = plan(library, times(0, a))
    assert (found.steps, found.terms) == ((), ())


@laws
@given(a=VECTOR)
def test_anything_less_itself_is_the_empty_plan(library: Store, a: Vector):
    found = plan(library, summed(a, times(-1, a)))
    assert (found.steps, found.terms) == ((), ())


@laws
@given(a=VECTOR, b=VECTOR)
def test_sums_commute(library: Store, a: Vector, b: Vector):
    assert close(plan(library, summed(a, b)), plan(library, summed(b, a)))


@laws
@given(a=VECTOR, b=VECTOR, c=VECTOR)
def test_sums_associate(library: Store, a: Vector, b: Vector, c: Vector):
    assert close(plan(library, summed(summed(a, b), c)), plan(library, summed(a, summed(b, c))))


@laws
@given(a=VECTOR, b=VECTOR, number=NUMBERS)
def test_numbers_distribute_over_sums(library: Store, a: Vector, b: Vector, number: Fraction):
    left = plan(library, times(number, summed(a, b)))
    assert close(left, plan(library, summed(times(number, a), times(number, b))))


@laws
@given(a=VECTOR, m=NUMBERS, n=NUMBERS)
def test_coefficients_of_one_vector_add_up_and_multiply(library: Store, a: Vector, m: Fraction, n: Fraction):
    assert close(plan(library, summed(times(m, a), times(n, a))), plan(library, times(m + n, a)))
    assert close(plan(library, times(m, times(n, a))), plan(library, times(m * n, a)))


@laws
@given(a=VECTOR, number=NUMBERS)
def test_a_coefficient_scales_every_step(library: Store, a: Vector, number: Fraction):
    once, scaled = plan(library, a), plan(library, times(number, a))
    assert len(scaled.steps) == (len(once.steps) if number else 0)
    for before, after in zip(once.steps, scaled.steps, strict=False):
        atol = 1e-6 * abs(float(number)) * _size(once, once, (before.place, before.tokens))
        assert np.allclose(after.direction, before.direction * float(number), rtol=1e-5, atol=atol)


@laws
@given(a=VECTOR, b=VECTOR)
def test_what_meets_is_summed_into_one_step(library: Store, a: Vector, b: Vector):
    steps = plan(library, summed(a, b)).steps
    assert len({(step.place, step.tokens) for step in steps}) == len(steps)


@laws
@given(a=VECTOR)
def test_a_pinned_recipe_is_its_expression_bit_for_bit(library: Store, a: Vector):
    text, recipe = plan(library, a), compose(library, pin(library, a))
    assert [(step.place, step.tokens, step.direction.tobytes()) for step in recipe.steps] == [
        (step.place, step.tokens, step.direction.tobytes()) for step in text.steps
    ]


@settings(laws, max_examples=10)
@given(a=VECTOR, b=VECTOR, number=NUMBERS)
def test_a_nested_recipe_equals_its_expansion(own_library: Store, a: Vector, b: Vector, number: Fraction):
    expanded = plan(own_library, summed(times(number, a), b))
    saved = own_library.save_recipe("inner", pin(own_library, a)).version.reference  # an older one, if `a` comes again
    nested = compose(own_library, f"{number_text(number)}*{saved} + ({b})")
    assert close(nested, expanded)


def test_decimals_cancel_exactly(library: Store):
    assert compose(library, "0.1*love + 0.2*love - 0.3*love").steps == ()
    assert compose(library, "0.1r*love + 0.2r*love - 0.3r*love").steps == ()
    assert compose(library, "love:strong - 2*love").steps == ()


@laws
@given(a=ALIKE, b=ALIKE)
def test_the_mean_of_two_is_half_their_sum(library: Store, a: Vector, b: Vector):
    half = Fraction(1, 2)
    assert close(plan(library, Mean((a, b))), plan(library, summed(times(half, a), times(half, b))))


@laws
@given(a=VECTOR, number=NUMBERS.filter(bool))
def test_normalize_knows_the_sign_of_a_vector_and_not_its_size(library: Store, a: Vector, number: Fraction):
    sign = 1 if number > 0 else -1
    once = plan(library, times(sign, Normalize(a)))
    assert close(plan(library, Normalize(times(number, a))), once)
    for step in once.steps:
        assert direction_norm(step.direction) == pytest.approx(1, rel=1e-6)


@laws
@given(a=ALIKE, b=ALIKE)
def test_what_is_along_and_what_is_orthogonal_make_the_whole(library: Store, a: Vector, b: Vector):
    parts = plan(library, summed(Orthogonal(a, b), Project(a, b)))
    assert close(parts, plan(library, a))


@laws
@given(a=ALIKE, b=ALIKE)
def test_what_is_orthogonal_has_no_part_along_the_other(library: Store, a: Vector, b: Vector):
    rest = {step.place: step.direction for step in plan(library, Orthogonal(a, b)).steps}
    for step in plan(library, b).steps:
        if step.place in rest:
            assert abs(cosine(rest[step.place], step.direction)) < 1e-5
    again = plan(library, Project(Orthogonal(a, b), b))
    assert again.steps == ()


@laws
@given(a=ALIKE, b=ALIKE, number=NUMBERS.filter(bool))
def test_along_goes_by_the_line_and_not_by_its_length(library: Store, a: Vector, b: Vector, number: Fraction):
    along = plan(library, Project(a, b))
    assert close(plan(library, Project(a, times(number, b))), along)
    assert close(plan(library, Project(Project(a, b), b)), along)
    assert close(plan(library, Project(times(number, a), b)), plan(library, times(number, Project(a, b))))


@laws
@given(a=ALIKE, b=ALIKE, c=ALIKE)
def test_project_goes_into_sums(library: Store, a: Vector, b: Vector, c: Vector):
    whole = plan(library, Project(summed(a, b), c))
    assert close(whole, plan(library, summed(Project(a, c), Project(b, c))))


@laws
@given(a=SINGLE, b=SINGLE, layer=st.integers(0, 5), site=RESIDUAL)
def test_at_goes_into_sums(library: Store, a: Vector, b: Vector, layer: int, site: str):
    moved = plan(library, At(summed(a, b), (layer, layer), site))
    assert close(moved, plan(library, summed(At(a, (layer, layer), site), At(b, (layer, layer), site))))


@laws
@given(a=VECTOR, b=VECTOR)
def test_additions_in_a_row_are_a_sum(library: Store, a: Vector, b: Vector):
    assert close(plan(library, Program((a, b))), plan(library, summed(a, b)))


@laws
@given(program=PROGRAM)
def test_a_pinned_program_is_its_expression_bit_for_bit(library: Store, program: Program):
    assert exact(plan(library, pin(library, program))) == exact(plan(library, program))


@settings(laws, max_examples=10)
@given(first=PROGRAM, second=PROGRAM)
def test_a_nested_program_equals_its_expansion(own_library: Store, first: Program, second: Program):
    expanded = plan(own_library, Program((*first.steps, *second.steps)))
    own_library.save_recipe("inner", pin(own_library, first))
    assert exact(plan(own_library, Program((Reference("inner"), *second.steps)))) == exact(expanded)


def exact(found: Plan) -> list[tuple[object, ...]]:
    """Return all that the steps of a plan do, in order."""
    return [
        (part.operator, part.place, part.tokens, dict(part.params), part.direction.tobytes())
        for step in found.steps
        for part in step
    ]


def cosine(a: Array, b: Array) -> float:
    """Return the cosine, in float64."""
    left, right = a.astype(np.float64), b.astype(np.float64)
    return float(np.vdot(left, right) / (np.linalg.norm(left) * np.linalg.norm(right)))
