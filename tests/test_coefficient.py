"""Coefficients: exact numbers with a unit."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectorstore.coefficient import Coefficient, number_text
from vectorstore.errors import InvalidInputError

DECIMALS = st.decimals(-(10**12), 10**12, places=9).map(Fraction)
COEFFICIENTS = st.builds(Coefficient, DECIMALS, st.sampled_from(["raw", "r"]))


@given(COEFFICIENTS)
def test_text_reads_back_exactly(coefficient: Coefficient):
    assert Coefficient.parse(str(coefficient)) == coefficient


@pytest.mark.parametrize(
    ("written", "number", "unit", "text"),
    [
        ("2", "2", "raw", "2"),
        ("-0.50", "-1/2", "raw", "-0.5"),
        ("+.5", "1/2", "raw", "0.5"),
        ("2.", "2", "raw", "2"),
        (" 1e-2r ", "1/100", "r", "0.01r"),
        ("1E3", "1000", "raw", "1000"),
        ("-0", "0", "raw", "0"),
        (2, "2", "raw", "2"),
        (0.1, "1/10", "raw", "0.1"),
        (1e-5, "1/100000", "raw", "0.00001"),
    ],
)
def test_numbers_are_read_exactly(written: str | float, number: str, unit: str, text: str):
    coefficient = Coefficient.parse(written)
    assert (coefficient.number, coefficient.unit, str(coefficient)) == (Fraction(number), unit, text)


def test_decimals_cancel():
    one, two, three = (Coefficient.parse(text).number for text in ("0.1", "0.2", "0.3"))
    assert one + two - three == 0


@pytest.mark.parametrize(
    "text", ["", "r", "two", "1/2", "0.15R", "1e400", "nan", "inf", "1_000", "0x1", "2 r", "-", "9" * 300, "١", "2\n3"]
)
def test_anything_else_is_refused_in_one_line(text: str):
    with pytest.raises(InvalidInputError, match="is not a coefficient; write a number such as 2") as caught:
        Coefficient.parse(text)
    assert len(str(caught.value)) < 200


def test_floats_that_are_no_numbers_are_refused():
    for number in (float("nan"), float("inf")):
        with pytest.raises(InvalidInputError):
            Coefficient.parse(number)


def test_scaling_keeps_the_unit():
    assert Coefficient.parse("0.15r") * -2 == Coefficient.parse("-0.3r")


def test_a_raw_factor_is_the_number_whatever_the_norms():
    assert Coefficient.parse("-2").factor(0, None, "here") == -2


def test_a_factor_in_r_gives_the_direction_that_part_of_the_residual_norm():
    assert float(Coefficient.parse("0.15r").factor(3.0, 20.0, "here")) * 3.0 == pytest.approx(0.15 * 20)


def test_r_without_a_residual_norm_is_an_error():
    with pytest.raises(InvalidInputError, match=r"head_out.3 has no residual norm R, so 0.15r has no meaning"):
        Coefficient.parse("0.15r").factor(1.0, None, "head_out.3")


def test_r_on_a_zero_direction_is_an_error():
    with pytest.raises(InvalidInputError, match=r"the direction at resid_pre.3 is zero, so 0.15r has no meaning"):
        Coefficient.parse("0.15r").factor(0.0, 20.0, "resid_pre.3")


def test_fractions_that_no_decimal_equals_are_not_short():
    assert not Coefficient(Fraction(1, 3)).is_short
    assert number_text(Fraction(1, 3)).startswith("0.3333")
