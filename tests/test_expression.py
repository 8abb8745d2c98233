"""The syntax tree: canonical text that reads back, references in order."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given

from tests.expressions import EXPRESSIONS
from vectorstore.coefficient import Coefficient
from vectorstore.expression import Expression, Program, Scaled, Sum, negated, references
from vectorstore.parser import parse
from vectorstore.reference import Reference

A, B, C = Reference("a"), Reference("b"), Reference("c")


def raw(number: str) -> Coefficient:
    return Coefficient(Fraction(number))


@given(EXPRESSIONS)
def test_canonical_text_reads_back_as_the_same_tree(expression: Expression):
    assert parse(str(expression)) == expression


@given(EXPRESSIONS)
def test_canonical_text_is_a_fixed_point(expression: Expression):
    assert str(parse(str(expression))) == str(expression)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("love*2", "2*love"),
        ("2 *love* 3", "6*love"),
        ("- love", "-love"),
        ("--love", "1*love"),
        ("a+b", "a + b"),
        ("a - -2*b", "a + 2*b"),
        ("a + -b", "a - b"),
        ("a - (2*b)", "a - 2*b"),
        ("a - (b + c)", "a - (b + c)"),
        ("((a + b)) - c", "(a + b) - c"),
        ("2*(a - b)*0.50", "1*(a - b)"),
        ("-(2*love)", "-2*love"),
        ("2*-love", "2*(-love)"),
        ("2*0.15r*love", "0.3r*love"),
        (".5*love", "0.5*love"),
        ("1e-2*love", "0.01*love"),
        ("default/love", "love"),
        ("a then  2*b then add(a)", "a then 2*b then add(a)"),
        ("gate( a,1,b )", "gate(a, 1, b)"),
        ("at(a, 6 , resid_pre)", "at(a, 6, resid_pre)"),
    ],
)
def test_many_ways_of_writing_have_one_canonical_text(written: str, canonical: str):
    assert str(parse(written)) == canonical
    assert parse(canonical) == parse(written)


def test_references_come_in_order_of_appearance_with_their_columns():
    tree = parse("gate(a, 1, add(2*b)) then mean(a, c[3]) then orthogonal(b, a)")
    assert [(str(reference), reference.column) for reference in references(tree)] == [
        ("a", 6),
        ("b", 18),
        ("a", 32),
        ("c[3]", 35),
        ("b", 57),
        ("a", 60),
    ]


def test_columns_take_no_part_in_equality():
    assert parse("   a + b") == parse("a + b")


def test_negating_turns_the_sign_of_a_coefficient():
    assert negated(Scaled(raw("2"), A)) == Scaled(raw("-2"), A)
    assert negated(Sum((A, B))) == Scaled(raw("-1"), Sum((A, B)))


def test_a_step_alone_is_a_program():
    tree = parse("add(a)")
    assert isinstance(tree, Program)
    assert str(tree) == "add(a)"
