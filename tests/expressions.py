"""Random syntax trees, as the parser could have made them."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from tests.test_reference import NAMES, references
from vectorstore.coefficient import Coefficient
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

NUMBERS = st.decimals(-1000, 1000, places=4).map(Fraction)
RAW = st.builds(Coefficient, NUMBERS)
IN_R = st.builds(Coefficient, NUMBERS, st.just("r"))
REFERENCES = references(st.none() | NAMES)
RANGES = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair), max(pair)))


def _compound(inner: st.SearchStrategy[Vector]) -> st.SearchStrategy[Vector]:
    return st.one_of(
        st.builds(Scaled, RAW, inner),
        st.builds(Sum, st.lists(inner, min_size=2, max_size=4).map(tuple)),
        st.builds(Mean, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Normalize, inner),
        st.builds(Orthogonal, inner, inner),
        st.builds(Project, inner, inner),
        st.builds(At, inner, RANGES, st.sampled_from(SITES)),
    )


_WITH_R = st.builds(Scaled, IN_R, REFERENCES.filter(lambda reference: reference.preset is None))
VECTORS: st.SearchStrategy[Vector] = st.recursive(REFERENCES | _WITH_R, _compound, max_leaves=12)
_SIMPLE: st.SearchStrategy[Step] = st.one_of(
    st.builds(Add, VECTORS),
    st.builds(Ablate, VECTORS),
    st.builds(Clamp, VECTORS, NUMBERS),
    st.builds(Affine, VECTORS, NUMBERS),
    st.builds(Keepnorm, VECTORS),
    st.builds(Piecewise, VECTORS),
)
STEPS: st.SearchStrategy[Step] = _SIMPLE | st.builds(Gate, VECTORS, NUMBERS, _SIMPLE | VECTORS)
EXPRESSIONS: st.SearchStrategy[Expression] = st.one_of(
    VECTORS,
    st.builds(Program, st.tuples(STEPS)),
    st.builds(Program, st.lists(STEPS | VECTORS, min_size=2, max_size=3).map(tuple)),
)
