"""Presets: a coefficient with layers and tokens, in one canonical form."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_coefficient import COEFFICIENTS
from vectorstore.coefficient import Coefficient
from vectorstore.errors import InvalidInputError
from vectorstore.preset import Preset
from vectorstore.tokens import Tokens

RANGES = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda pair: (min(pair), max(pair)))
PRESETS = st.builds(
    Preset,
    COEFFICIENTS,
    st.none() | RANGES,
    st.none() | st.sampled_from(get_args(Tokens)),
)
GOOD: dict[str, Any] = {"coefficient": "2", "layers": [3, 6], "tokens": "all"}


@given(PRESETS)
def test_json_reads_back(preset: Preset):
    assert Preset.from_json(preset.to_json()) == preset


@pytest.mark.parametrize("value", ["2", 2, 2.0, Coefficient.parse("2"), Preset(Coefficient.parse("2"))])
def test_a_bare_coefficient_is_a_preset(value: Any):
    assert Preset.parse(value) == Preset(Coefficient.parse("2"))


@pytest.mark.parametrize(
    "change",
    [
        {"coefficient": 2},
        {"coefficient": "two"},
        {"layers": []},
        {"layers": [3]},
        {"layers": [3.5, 6]},
        {"layers": [True, 6]},
        {"layers": ["3", "6"]},
        {"layers": [6, 3]},
        {"layers": [-1, 3]},
        {"layers": "3..6"},
        {"tokens": "some"},
        {"tokens": ["all"]},
        {"extra": 1},
    ],
)
def test_a_wrong_part_is_refused(change: dict[str, Any]):
    with pytest.raises(InvalidInputError):
        Preset.from_json(GOOD | change)


@pytest.mark.parametrize("part", GOOD)
def test_a_missing_part_is_refused(part: str):
    with pytest.raises(InvalidInputError, match="this is not a preset"):
        Preset.from_json({name: value for name, value in GOOD.items() if name != part})
