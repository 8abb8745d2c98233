"""Draw: an answer's parts on the terminal, shrunk to its width; without colour or limit where it is no terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Column
from rich.table import Table as RichTable
from rich.text import Text

from .answer import Facts, Part, Shaded, Sides, Table, printable

WIDE = 10_000
FAINT = 0.1  # of the largest number: less is not coloured


def draw(parts: Sequence[Part]) -> None:
    """Print `parts` on stdout."""
    if sys.stdout.isatty():
        _draw(Console(file=sys.stdout, highlight=False, markup=False, emoji=False), parts)
        return
    text = io.StringIO()
    _draw(Console(file=text, width=WIDE, color_system=None, highlight=False, markup=False, emoji=False), parts)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _draw(console: Console, parts: Sequence[Part]) -> None:
    for number, part in enumerate(parts):
        if number and not (isinstance(part, str) and isinstance(parts[number - 1], str)):
            console.print()
        if isinstance(part, Sides) and not console.is_terminal:
            _below_each_other(console, part)
        elif isinstance(part, Shaded):
            _shade(console, part)
        else:
            console.print(_renderable(part, console), soft_wrap=isinstance(part, str))


def _renderable(part: str | Table | Facts | Sides, console: Console) -> RenderableType:
    match part:
        case Table():
            return _fitting(part, console)
        case Facts():
            return _facts(part)
        case Sides():
            return _sides(part)
        case _:
            return Text(printable(part))


def _fitting(table: Table, console: Console) -> RichTable:
    """Take in those optional columns that there is room for; the others are shrunk if they must be."""
    used = [title for index, title in enumerate(table.columns) if any(row[index] for row in table.rows)]
    shown = [title for title in used if title not in table.optional]
    for title in table.optional:
        more = [other for other in used if other in (*shown, title)]
        if (
            Measurement.get(console, console.options.update(max_width=WIDE), _table(table, more)).maximum
            <= console.width
        ):
            shown = more
    return _table(table, shown)


def _table(table: Table, shown: Sequence[str]) -> RichTable:
    drawn = RichTable(*(_column(table, title) for title in shown), box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    _give_title(drawn, table.title)
    for row in table.rows:
        texts = dict(zip(table.columns, row, strict=True))
        drawn.add_row(*(Text(printable(texts[title])) for title in shown))
    return drawn


def _column(table: Table, title: str) -> Column:
    return Column(
        title,
        justify="right" if title in table.right else "left",
        no_wrap=title in (*table.right, *table.whole),
        overflow="fold" if title == table.columns[0] else "ellipsis",
    )


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


def _shade(console: Console, shaded: Shaded) -> None:
    """Print the pieces: green above zero and red below, the stronger the larger; or a line each where nobody looks."""
    console.print(Text(shaded.title, "bold"), soft_wrap=True)
    if not console.is_terminal:
        for piece, value in shaded.pieces:
            console.print(Text(f"{value:+10.4g}  {printable(piece)!r}"), soft_wrap=True)
        return
    largest = max((abs(value) for _, value in shaded.pieces), default=0) or 1
    text = Text()
    for piece, value in shaded.pieces:
        part = value / largest
        depth = round(160 * abs(part))
        colour = f"white on rgb({depth},0,0)" if part < 0 else f"white on rgb(0,{depth},0)"
        text.append(printable(piece), colour if abs(part) > FAINT else "")
    console.print(text)


def _give_title(drawn: RichTable, title: str) -> None:
    drawn.title, drawn.title_justify, drawn.title_style = title or None, "left", "bold"
