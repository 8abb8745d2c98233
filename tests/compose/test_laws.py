"""The laws of composition, over random expressions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compose.library import VECTORS
from vectorstore.coefficient import Coefficient, number_text
from vectorstore.compose import compose, pin
from vectorstore.expression import Scaled, Sum, Vector
from vectorstore.plan import Plan
from vectorstore.reference import Reference
from vectorstore.store import Store

NUMBERS = st.decimals(-4, 4, places=2).map(Fraction)
USABLE = [Reference(name) for name in VECTORS if name != "zero"]
LAYERED = [Reference("love", layers=layers) for layers in ((2, 3), (3, 3), (3, 4))]
PRESET = [Reference("love", preset=preset) for preset in ("strong", "portable", "early")]
IN_R = [Reference(name) for name in ("love", "calm", "front")]
ATOMS: st.SearchStrategy[Vector] = st.one_of(
    st.sampled_from([*USABLE, *LAYERED, *PRESET]),
    st.builds(Scaled, st.builds(Coefficient, NUMBERS, st.just("r")), st.sampled_from(IN_R)),
)
VECTOR: st.SearchStrategy[Vector] = st.recursive(
    ATOMS,
    lambda inner: (
        st.builds(Scaled, st.builds(Coefficient, NUMBERS), inner)
        | st.builds(Sum, st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=5,
)
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


def summed(*vectors: Vector) -> Vector:
    return Sum(vectors)


def times(number: Fraction | int, vector: Vector) -> Vector:
    return Scaled(Coefficient(Fraction(number)), vector)


@laws
@given(a=VECTOR)
def test_zero_times_anything_is_the_empty_plan(library: Store, a: Vector):
    plan = compose(library, times(0, a))
    assert (plan.steps, plan.terms) == ((), ())


@laws
@given(a=VECTOR)
def test_anything_less_itself_is_the_empty_plan(library: Store, a: Vector):
    plan = compose(library, summed(a, times(-1, a)))
    assert (plan.steps, plan.terms) == ((), ())


@laws
@given(a=VECTOR, b=VECTOR)
def test_sums_commute(library: Store, a: Vector, b: Vector):
    assert close(compose(library, summed(a, b)), compose(library, summed(b, a)))


@laws
@given(a=VECTOR, b=VECTOR, c=VECTOR)
def test_sums_associate(library: Store, a: Vector, b: Vector, c: Vector):
    assert close(compose(library, summed(summed(a, b), c)), compose(library, summed(a, summed(b, c))))


@laws
@given(a=VECTOR, b=VECTOR, number=NUMBERS)
def test_numbers_distribute_over_sums(library: Store, a: Vector, b: Vector, number: Fraction):
    left = compose(library, times(number, summed(a, b)))
    assert close(left, compose(library, summed(times(number, a), times(number, b))))


@laws
@given(a=VECTOR, m=NUMBERS, n=NUMBERS)
def test_coefficients_of_one_vector_add_up_and_multiply(library: Store, a: Vector, m: Fraction, n: Fraction):
    assert close(compose(library, summed(times(m, a), times(n, a))), compose(library, times(m + n, a)))
    assert close(compose(library, times(m, times(n, a))), compose(library, times(m * n, a)))


@laws
@given(a=VECTOR, number=NUMBERS)
def test_a_coefficient_scales_every_step(library: Store, a: Vector, number: Fraction):
    once, scaled = compose(library, a), compose(library, times(number, a))
    assert len(scaled.steps) == (len(once.steps) if number else 0)
    for before, after in zip(once.steps, scaled.steps, strict=False):
        atol = 1e-6 * abs(float(number)) * _size(once, once, (before.place, before.tokens))
        assert np.allclose(after.direction, before.direction * float(number), rtol=1e-5, atol=atol)


@laws
@given(a=VECTOR, b=VECTOR)
def test_what_meets_is_summed_into_one_step(library: Store, a: Vector, b: Vector):
    steps = compose(library, summed(a, b)).steps
    assert len({(step.place, step.tokens) for step in steps}) == len(steps)


@laws
@given(a=VECTOR)
def test_a_pinned_recipe_is_its_expression_bit_for_bit(library: Store, a: Vector):
    recipe, text = compose(library, pin(library, a)), compose(library, a)
    assert [(step.place, step.tokens, step.direction.tobytes()) for step in recipe.steps] == [
        (step.place, step.tokens, step.direction.tobytes()) for step in text.steps
    ]


@settings(laws, max_examples=10)
@given(a=VECTOR, b=VECTOR, number=NUMBERS)
def test_a_nested_recipe_equals_its_expansion(own_library: Store, a: Vector, b: Vector, number: Fraction):
    own_library.save_recipe("inner", pin(own_library, a))
    nested = compose(own_library, f"{number_text(number)}*inner + ({b})")
    assert close(nested, compose(own_library, summed(times(number, a), b)))


def test_decimals_cancel_exactly(library: Store):
    assert compose(library, "0.1*love + 0.2*love - 0.3*love").steps == ()
    assert compose(library, "0.1r*love + 0.2r*love - 0.3r*love").steps == ()
    assert compose(library, "love:strong - 2*love").steps == ()
