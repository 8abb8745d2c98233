"""Tables that fit look the same whether rich draws them or not."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli.answer import Table
from cli.draw import _draw
from cli.plain import plain_table

COLUMNS = ("name", "number", "more", "much more")
ROWS = st.lists(st.tuples(*[st.text(st.characters(codec="ascii"), max_size=12)] * 4), min_size=1, max_size=5)


def by_rich(table: Table, width: int) -> str:
    text = io.StringIO()
    _draw(Console(file=text, width=width, color_system=None, highlight=False, markup=False, emoji=False), [table])
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


@given(rows=ROWS, width=st.integers(20, 60))
def test_a_table_that_fits_looks_as_rich_draws_it(rows: list[tuple[str, ...]], width: int):
    rows = [("love", *row[1:]) for row in rows]
    table = Table(COLUMNS, rows, right=("number",), optional=("much more", "more"))
    mine = plain_table(table, width)
    assert mine is None or mine == by_rich(table, width)


def test_columns_go_in_the_order_in_which_they_are_optional():
    table = Table(("a", "b", "c"), [("love", "x" * 20, "y" * 5)], optional=("c", "b"))
    assert plain_table(table, 100) == by_rich(table, 100)
    assert "yyyyy" in (plain_table(table, 20) or "")
    assert "xxxxx" not in (plain_table(table, 20) or "")


@pytest.mark.parametrize(
    ("table", "width"),
    [
        (Table(("a",), [("x" * 30,)]), 20),
        (Table(("a",), [("愛",)]), 80),
        (Table(("a",), [("two\nlines",)]), 80),
        (Table(("a",), [("x",)], title="title"), 80),
    ],
)
def test_what_needs_shrinking_or_has_wide_letters_is_left_to_rich(table: Table, width: int):
    assert plain_table(table, width) is None
