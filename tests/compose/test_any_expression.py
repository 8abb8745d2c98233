"""Whatever is written, the answer is a plan that a model could carry out, or one error with its column."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.compose.library import MODEL, VECTORS
from vectorstore.coefficient import Coefficient
from vectorstore.compose import compose, pin, report, to_vector
from vectorstore.errors import ExpressionError, InvalidInputError
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
from vectorstore.place import SITES
from vectorstore.plan import Plan
from vectorstore.reference import Reference
from vectorstore.store import Store

EXTREMES = st.sampled_from([Fraction(0), Fraction(10) ** 90, Fraction(10) ** -90, Fraction(-(10**38)), Fraction(1, 8)])
NUMBERS = st.decimals(-4, 4, places=2).map(Fraction) | EXTREMES
NAMES = st.sampled_from([Reference(name) for name in VECTORS])
LAYERED = st.builds(Reference, st.sampled_from(["love", "calm", "narrow", "front"]), layers=st.just((3, 3)))
ATOMS = NAMES | LAYERED | st.builds(Scaled, st.builds(Coefficient, NUMBERS, st.just("r")), NAMES | LAYERED)
RANGES = st.tuples(st.integers(0, 6), st.integers(0, 2)).map(lambda pair: (pair[0], sum(pair)))


def _compound(inner: st.SearchStrategy[Vector]) -> st.SearchStrategy[Vector]:
    return st.one_of(
        st.builds(Scaled, st.builds(Coefficient, NUMBERS), inner),
        st.builds(Sum, st.tuples(inner, inner)),
        st.builds(Mean, st.tuples(inner, inner)),
        st.builds(Normalize, inner),
        st.builds(Orthogonal, inner, inner),
        st.builds(Project, inner, inner),
        st.builds(At, inner, RANGES, st.sampled_from(SITES)),
    )


VECTOR: st.SearchStrategy[Vector] = st.recursive(ATOMS, _compound, max_leaves=6)
SIMPLE: st.SearchStrategy[Step | Vector] = st.one_of(
    VECTOR,
    st.builds(Add, VECTOR),
    st.builds(Ablate, VECTOR),
    st.builds(Clamp, VECTOR, NUMBERS),
    st.builds(Affine, VECTOR, NUMBERS),
    st.builds(Keepnorm, VECTOR),
    st.builds(Piecewise, VECTOR),
)
STEP: st.SearchStrategy[Step | Vector] = SIMPLE | st.builds(Gate, LAYERED | VECTOR, NUMBERS, SIMPLE)
PROGRAM = st.builds(Program, st.lists(STEP, min_size=2, max_size=3).map(tuple))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(expression=VECTOR | PROGRAM)
def test_the_answer_is_a_sound_plan_or_one_error(library: Store, expression: Expression):
    plan = _plan(library, expression)
    if isinstance(plan, InvalidInputError):
        event(f"refused: {type(plan).__name__}")
        assert isinstance(plan, ExpressionError) or "larger than float32 holds" in str(plan)
        assert "\n" not in str(plan)
        return
    event(f"planned: {len(plan.steps) > 0}")
    _check_sound(plan)
    assert [step.operator for step in compose(library, pin(library, expression)).steps] == [
        step.operator for step in plan.steps
    ]


def _plan(library: Store, expression: Expression) -> Plan | InvalidInputError:
    try:
        return compose(library, expression)
    except InvalidInputError as error:
        return error


def _check_sound(plan: Plan) -> None:
    for step in plan.steps:
        for part in step:
            assert np.isfinite(part.direction).all()
            assert (part.direction.dtype, part.direction.flags.writeable) == (np.float32, False)
            assert part.direction.shape[-1] == MODEL.widths[part.place.site]
            assert part.place.layer < MODEL.layer_count
            assert part.terms
    for step_report in report(plan).steps:
        assert 0 <= step_report.interference <= 1 + 1e-9
        assert all(abs(cosine.cosine) <= 1 + 1e-9 for cosine in step_report.cosines)
    if plan.steps and {step.operator for step in plan.steps} == {"add"} and len({s.tokens for s in plan.steps}) == 1:
        _check_one_vector(plan)


def _check_one_vector(plan: Plan) -> None:
    shapes = {len({term.directions[step.place].shape for term in step.terms}) for step in plan.steps}
    if shapes == {1}:
        vector, card = to_vector(plan)
        assert set(vector.places) == set(card.places) == set(plan.places)
