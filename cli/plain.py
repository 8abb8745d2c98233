"""Plain: tables that fit, drawn as rich draws them, without waiting for it: lists shall answer at once."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

from .answer import Part, Table, printable

_GAP = "   "
_BOLD = "\033[1m{}\033[0m"


def plain(parts: Sequence[Part]) -> str | None:
    """Return what is printed for one table, or None where that is anything else, or needs shrinking or wide letters."""
    if len(parts) != 1 or not isinstance(parts[0], Table):
        return None
    if not sys.stdout.isatty():
        return plain_table(parts[0])
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown") or sys.platform == "win32":
        return None
    return plain_table(parts[0], shutil.get_terminal_size().columns, _BOLD)


def plain_table(table: Table, width: int | None = None, head: str = "{}") -> str | None:
    """Return a table at most `width` wide, or None where it has to be shrunk or has letters that may be wide."""
    cells = [printable(text) for row in (table.columns, *table.rows) for text in row]
    if table.title or not all(text.isascii() and text.isprintable() and text == text.strip() for text in cells):
        return None
    columns = {title: [printable(row[index]) for row in table.rows] for index, title in enumerate(table.columns)}
    widths = {title: max(map(len, (title, *texts))) for title, texts in columns.items() if any(texts)}
    shown = [title for title in widths if title not in table.optional]
    for title in (None, *table.optional):
        more = [other for other in widths if other in (*shown, title)]
        if width is None or sum(widths[other] + len(_GAP) for other in more) - len(_GAP) <= width:
            shown = more
        elif title is None:
            return None
    rows = [shown, *zip(*(columns[title] for title in shown), strict=True)]
    lines = [_line(row, [widths[title] for title in shown], [title in table.right for title in shown]) for row in rows]
    rule = "─" * (sum(widths[title] + len(_GAP) for title in shown) - len(_GAP))
    return "\n".join((head.format(lines[0]), rule, *lines[1:]))


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = zip(texts, widths, right, strict=True)
    return _GAP.join(text.rjust(width) if turned else text.ljust(width) for text, width, turned in cells).rstrip()
