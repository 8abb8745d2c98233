"""Draw: an answer's parts on the terminal, shrunk to its width; without colour or limit where it is no terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable

from rich import box
from rich.console import Console, RenderableType
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from .answer import Facts, Part, Sides, Table, printable

WIDE = 10_000


def draw(parts: Iterable[Part]) -> None:
    """Print `parts` on stdout."""
    if sys.stdout.isatty():
        _draw(Console(file=sys.stdout, highlight=False, markup=False, emoji=False), parts)
        return
    text = io.StringIO()
    _draw(Console(file=text, width=WIDE, color_system=None, highlight=False, markup=False, emoji=False), parts)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _draw(console: Console, parts: Iterable[Part]) -> None:
    for number, part in enumerate(parts):
        if number and not isinstance(part, str):
            console.print()
        if isinstance(part, Sides) and not console.is_terminal:
            _below_each_other(console, part)
        else:
            console.print(_renderable(part), soft_wrap=isinstance(part, str))


def _renderable(part: Part) -> RenderableType:
    match part:
        case Table():
            return _table(part)
        case Facts():
            return _facts(part)
        case Sides():
            return _sides(part)
        case _:
            return Text(printable(part))


def _table(table: Table) -> RichTable:
    used = [index for index, _ in enumerate(table.columns) if any(row[index] for row in table.rows)]
    columns = [
        Column(
            table.columns[index],
            justify="right" if table.columns[index] in table.right else "left",
            no_wrap=table.columns[index] in table.right,
            overflow="fold" if index == 0 else "ellipsis",
        )
        for index in used
    ]
    drawn = RichTable(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    _give_title(drawn, table.title)
    for row in table.rows:
        drawn.add_row(*(Text(printable(row[index])) for index in used))
    return drawn


def _facts(facts: Facts) -> RichTable:
    drawn = RichTable.grid(Column(style="dim", no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
    _give_title(drawn, facts.title)
    for name, value in facts.values:
        if value:
            drawn.add_row(name, Text(printable(value)))
    return drawn


def _sides(sides: Sides) -> RichTable:
    drawn = RichTable(
        *(Column(title, ratio=1, overflow="fold") for title, _ in sides.texts),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        expand=True,
    )
    drawn.add_row(*(Text(printable(text)) for _, text in sides.texts))
    return drawn


def _below_each_other(console: Console, sides: Sides) -> None:
    for number, (title, text) in enumerate(sides.texts):
        if number:
            console.print()
        console.print(f"{title}:", soft_wrap=True)
        console.print(Text(printable(text)), soft_wrap=True)


def _give_title(drawn: RichTable, title: str) -> None:
    drawn.title, drawn.title_justify, drawn.title_style = title or None, "left", "bold"
