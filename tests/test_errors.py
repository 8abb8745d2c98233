"""The exception family: exit codes by the table, and one safe line whatever the values hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectorstore import errors
from vectorstore.errors import (
    ConflictError,
    ExpressionError,
    IntegrityError,
    InvalidInputError,
    MisfitError,
    NotAllowedError,
    NotAuthenticatedError,
    NotFoundError,
    SchemaError,
    UnavailableError,
    VectorstoreError,
    exit_code,
)

CODES = {
    VectorstoreError: 1,
    InvalidInputError: 2,
    ExpressionError: 2,
    NotFoundError: 3,
    NotAllowedError: 4,
    NotAuthenticatedError: 4,
    ConflictError: 5,
    MisfitError: 5,
    IntegrityError: 6,
    UnavailableError: 7,
    SchemaError: 7,
}
FAMILY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, VectorstoreError)]


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_every_class_has_the_exit_code_of_the_table(kind: type[VectorstoreError]):
    assert exit_code(kind("it broke")) == CODES[kind]


def test_a_class_that_is_not_in_the_table_takes_its_parents_code():
    class DiskFullError(UnavailableError):
        """Outside the package."""

    assert exit_code(DiskFullError("no space")) == 7


def test_the_line_holds_the_problem_and_then_the_hint():
    assert str(NotFoundError("no vector 'luve'", "did you mean 'love'?")) == "no vector 'luve'; did you mean 'love'?"


def test_without_a_hint_the_line_is_the_problem():
    assert str(NotFoundError("no vector 'luve'")) == "no vector 'luve'"


def test_line_breaks_become_single_spaces():
    assert str(UnavailableError("connection refused\r\n\tis the server running?\n", "start it")) == (
        "connection refused is the server running? ; start it"
    )


def test_control_characters_become_their_escapes():
    assert str(InvalidInputError("'\x1b[2J\x00\x7f\u202e\udc80'")) == r"'\x1b[2J\x00\x7f\u202e\udc80'"


def test_spaces_in_an_expression_stay_so_that_its_columns_stay():
    error = ExpressionError("unexpected '*'", column=5, text="a   *")
    assert str(error) == "column 5 of 'a   *': unexpected '*'"
    assert (error.column, error.text) == (5, "a   *")


def test_without_a_text_no_column_is_shown():
    assert str(ExpressionError("empty", "write a name")) == "empty; write a name"


@given(st.text(st.characters()), st.text(st.characters()))
def test_any_text_gives_one_line_that_can_be_printed(problem: str, hint: str):
    line = str(InvalidInputError(problem, hint))
    assert line.isprintable()
    line.encode()
