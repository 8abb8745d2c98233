"""The parser: what the language means, and one error line with the exact column for all that it is not."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vectorstore.coefficient import Coefficient
from vectorstore.errors import ExpressionError, exit_code
from vectorstore.expression import Ablate, Add, At, Clamp, Expression, Gate, Mean, Program, Scaled, Sum
from vectorstore.functions import FUNCTIONS
from vectorstore.parser import MAX_NESTING, MAX_TEXT, parse
from vectorstore.reference import Reference

A, B = Reference("a"), Reference("b")


def times(number: str, vector: Reference | Sum, unit: str = "raw") -> Scaled:
    return Scaled(Coefficient(Fraction(number), unit), vector)


def test_numbers_are_exact():
    assert parse("0.1*a") == times("1/10", A)


def test_the_unit_r_belongs_to_the_number():
    assert parse("0.15r*a") == times("0.15", A, "r")


def test_a_product_binds_before_a_sum():
    assert parse("a + 2*b") == Sum((A, times("2", B)))


def test_a_sum_is_flat_and_a_parenthesis_is_kept():
    assert parse("a + b + a") == Sum((A, B, A))
    assert parse("(a + b) + a") == Sum((Sum((A, B)), A))


def test_a_hyphen_in_a_name_is_no_minus():
    assert parse("a-b") == Reference("a-b")
    assert parse("a - b") == Sum((A, times("-1", B)))


def test_a_preset_may_have_a_hyphen_too():
    assert parse("a:very-strong - b") == Sum((Reference("a", preset="very-strong"), times("-1", B)))


def test_words_of_the_language_are_names_where_names_stand():
    assert parse("then") == Reference("then")
    assert parse("mean + add") == Sum((Reference("mean"), Reference("add")))
    assert parse("then then then") == Program((Reference("then"), Reference("then")))
    assert parse("r2 - e1") == Sum((Reference("r2"), times("-1", Reference("e1"))))


def test_a_name_before_a_parenthesis_is_a_function():
    assert parse("mean (mean, a)") == Mean((Reference("mean"), A))


def test_bare_vectors_stay_bare_between_steps():
    assert parse("ablate(a) then b then add(b)") == Program((Ablate(A), B, Add(B)))
    assert parse("gate(a, 2, b)") == Program((Gate(A, Fraction(2), B),))


def test_arguments_have_types():
    assert parse("at(a, 6..12, resid_post)") == At(A, (6, 12), "resid_post")
    assert parse("at(a, 2*3, resid_post)") == At(A, (6, 6), "resid_post")
    assert parse("clamp(a, -1.5)") == Program((Clamp(A, Fraction("-1.5")),))
    assert parse("gate(a, 2, ablate(b))") == Program((Gate(A, Fraction(2), Ablate(B)),))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_usage_of_each_function_parses(name: str):
    assert str(parse(FUNCTIONS[name].usage)) == FUNCTIONS[name].usage


def test_line_breaks_are_spaces():
    assert parse("a\n  + b") == parse("a + b")


ERRORS = [
    # nothing, or too little
    ("", 1, "the expression is empty"),
    (" \t", 1, "the expression is empty"),
    ("a +", 4, "expected a name, a number or '(', not the end"),
    ("2*", 3, "expected a name, a number or '(', not the end"),
    ("a then", 7, "expected a name, a number or '(', not the end"),
    ("(a + b", 7, "a '(' is not closed"),
    ("()", 2, "expected a name, a number or '(', not ')'"),
    # too much
    ("a b", 3, "expected + - * or 'then', not 'b'"),
    ("2 a", 3, "expected + - * or 'then', not 'a'"),
    ("a, b", 2, "expected + - * or 'then', not ','"),
    ("a)", 2, "this ')' closes nothing"),
    ("2(a + b)", 2, "expected an operator before '('"),
    ("(a)(b)", 4, "expected an operator before '('"),
    ("a then b)", 9, "this ')' closes nothing"),
    ("(a then b)", 4, "'then' cannot stand inside parentheses; save the steps as a recipe"),
    ("gate(a, 1, add(b) then c)", 19, "'then' cannot stand inside parentheses; save the steps as a recipe"),
    ("(a b)", 4, "expected + - * or ')', not 'b'"),
    # signs and operators
    ("a -b", 3, "a minus between two vectors has a space on each side; write a - b"),
    ("2*a -b", 5, "a minus between two vectors has a space on each side"),
    ("(a)-b", 4, "a minus between two vectors has a space on each side"),
    ("2-a", 2, "a minus between two vectors has a space on each side"),
    ("a- b", 4, "a minus between two vectors has a space on each side"),
    ("+a", 1, "expected a name, a number or '(', not '+'"),
    ("a + + b", 5, "expected a name, a number or '(', not '+'"),
    ("a ** b", 4, "expected a name, a number or '(', not '*'"),
    ("a / 2", 3, "there is no division; write 0.5*love"),
    ("(a)/2", 4, "there is no division; write 0.5*love"),
    ("a/2", 3, "there is no division: write 0.5*love"),
    # words
    ("a + $", 5, "expected a name, a number or '(', not '$'"),
    ("١*a", 1, "expected a name, a number or '(', not '١'"),
    ("2rose", 1, "expected a name, a number or '(', not '2rose'"),
    ("a + 2.5.1*b", 5, "expected a name, a number or '(', not '2.5.1'"),
    ("a + b.c", 5, "'b.c' is not a name"),
    ("a + b@0", 7, "'@0' is not a version"),
    ("2*a[9..6]", 5, "layers 9..6 run backwards"),
    ("2*a[6 .. 9]", 5, "'[6 .. 9]' is not a layer; write [6], or [6..12]"),
    ("a[6 + b", 2, "the '[' is not closed"),
    (f"{'9' * 300}*a", 1, "is not a coefficient"),
    ("1e99*1e99*1e99*a", 11, "this product has too many digits"),
    # types
    ("2", 1, "2 is a number, and steering needs a vector"),
    ("6..7", 1, "a range of layers is no vector"),
    ("a + 2", 5, "2 is a number, and a sum needs a vector"),
    ("2 + a", 1, "2 is a number, and a sum needs a vector"),
    ("a*b", 3, "two vectors cannot be multiplied"),
    ("2*ablate(a)", 3, "ablate(…) is a step, and a product needs a vector"),
    ("-ablate(a)", 2, "ablate(…) is a step, and a minus needs a vector"),
    ("a + add(b)", 5, "add(…) is a step, and a sum needs a vector"),
    ("mean(a, keepnorm(b))", 9, "keepnorm(…) is a step"),
    ("-(6..7)", 3, "a range of layers is no vector"),
    ("0.15r*(a + b)", 1, "the unit r stands on a name only"),
    ("2*0.15r*normalize(a)", 1, "the unit r stands on a name only"),
    ("0.15r*love:strong", 7, "'love:strong' has the coefficient of its preset; write 0.15r*love"),
    ("0.1r*2r*a", 6, "the unit r stands twice"),
    # functions
    ("foo(a)", 1, "there is no function 'foo'; functions: mean, normalize"),
    ("2*normalise(a)", 3, "there is no function 'normalise'; did you mean normalize?"),
    ("mean(a)", 1, "mean takes 2 arguments, not 1; write mean(a, b)"),
    ("a + orthogonal(a, b, c)", 5, "orthogonal takes 2 arguments, not 3"),
    ("ablate()", 8, "expected a name, a number or '(', not ')'"),
    ("clamp(a, b)", 10, "expected a number; write clamp(a, 1.5)"),
    ("clamp(a, 0.1r)", 10, "the unit r stands on a name only; write clamp(a, 1.5)"),
    ("clamp(1, a)", 7, "1 is a number, and clamp(a, 1.5) needs a vector"),
    ("at(a, b, resid_pre)", 7, "expected a layer"),
    ("at(a, -1, resid_pre)", 8, "expected a layer"),
    ("at(a, 1.5, resid_pre)", 7, "expected a layer"),
    ("at(a, 9..6, resid_pre)", 7, "'9..6' is not a range of layers"),
    ("at(a, 6..1234567, resid_pre)", 7, "is not a range of layers"),
    ("at(a, 1, resid)", 10, "expected a site"),
    ("gate(a, 1, 2)", 12, "2 is a number"),
    # size
    ("(" * 10_000 + "a" + ")" * 9_000, MAX_NESTING + 1, "parentheses are nested more than 100 deep"),
    ("(" * 10_000 + "a" + ")" * 10_000, MAX_TEXT + 1, "the expression has more than 20000 characters"),
    ("normalize(" * 101 + "a" + ")" * 101, 1010, "parentheses are nested more than 100 deep"),
    ("2*" * 9_000 + "a", 1323, "this product has too many digits"),
]


@pytest.mark.parametrize(("text", "column", "says"), ERRORS, ids=[text[:30] for text, _, _ in ERRORS])
def test_an_error_is_one_line_with_the_column(text: str, column: int, says: str):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert (caught.value.column, caught.value.text) == (column, text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert exit_code(caught.value) == 2


def test_deep_and_long_text_within_the_limits_is_read():
    assert parse("(" * MAX_NESTING + "a" + ")" * MAX_NESTING) == A
    assert len(parse(" + ".join(["a"] * 5_000)).terms) == 5_000  # type: ignore[union-attr]
    assert parse("-" * 10_000 + "a") == times("1", A)
    nested = "normalize(" * MAX_NESTING + "a" + ")" * MAX_NESTING
    assert str(parse(nested)) == nested


@given(st.text(alphabet="ab2.r@[]:/*+- (),then\n" + "é\x00", max_size=30))
@example("a@sha256:")
@example("..")
@example("-")
def test_any_text_parses_or_is_an_expression_error(text: str):
    outcome = parsed_or_error(text)
    if isinstance(outcome, ExpressionError):
        assert 1 <= outcome.column <= len(text) + 1
        assert "\n" not in str(outcome)
    else:
        assert parse(str(outcome)) == outcome


def parsed_or_error(text: str) -> Expression | ExpressionError:
    try:
        return parse(text)
    except ExpressionError as error:
        return error
