"""Full-text search behind one interface: FTS5 on SQLite, tsvector and GIN on PostgreSQL.

Both get words that were cut here, so both find the same: runs of letters and digits, without case and accents. A word
of a query means itself; `wed*` means every word that begins so. Several words must all occur. No text is an error.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from sqlalchemy import ColumnElement, Select, Text, cast, column, delete, func, insert, literal_column, table
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY
from sqlalchemy.orm import Session

from vectorstore.store.schema import VersionRow

TABLE = "version_search"
MAX_WORDS = 16
MAX_WORD = 64
_WORD = re.compile(r"([^\W_]+)(\*?)")
_FTS5 = table(TABLE, column("rowid"), column("words"))
_TSVECTOR = table(TABLE, column("version_id"), column("words"))


def is_search_table(name: str | None) -> bool:
    """Return whether a table belongs to the index: FTS5 keeps several, which no ORM class describes."""
    return name is not None and name.startswith(TABLE)


def index(session: Session, version_id: int, texts: Iterable[str]) -> None:
    """Make a version findable by the words of `texts`, and by no others."""
    forget(session, version_id)
    words = [word for word, _ in _words(" ".join(texts))]
    if _is_sqlite(session):
        session.execute(insert(_FTS5).values(rowid=version_id, words=" ".join(words)))
    else:
        vector = func.array_to_tsvector(cast(words, ARRAY(Text)))
        session.execute(insert(_TSVECTOR).values(version_id=version_id, words=vector))


def forget(session: Session, version_id: int) -> None:
    """Let a version be found no more."""
    if _is_sqlite(session):
        session.execute(delete(_FTS5).where(_FTS5.c.rowid == version_id))
    else:
        session.execute(delete(_TSVECTOR).where(_TSVECTOR.c.version_id == version_id))


def narrow(
    session: Session, statement: Select[VersionRow], query: str
) -> tuple[Select[VersionRow], ColumnElement[int]] | None:
    """Keep the versions that have all words of `query`; also return the column to order and page by.

    Returns None where the query has no word: nothing can match it.
    """
    words = _words(query)[:MAX_WORDS]
    if not words:
        return None
    if _is_sqlite(session):
        match = " ".join(f'"{word}"{star}' for word, star in words)
        statement = statement.join(_FTS5, _FTS5.c.rowid == VersionRow.id)
        # FTS5 walks its matches by row id, newest first, and stops when the page is full.
        return statement.where(literal_column(TABLE).op("MATCH")(match)), _FTS5.c.rowid
    match = " & ".join(f"'{word}'{':*' if star else ''}" for word, star in words)
    statement = statement.join(_TSVECTOR, _TSVECTOR.c.version_id == VersionRow.id)
    return statement.where(_TSVECTOR.c.words.op("@@")(cast(match, TSQUERY))), VersionRow.id.expression


def _words(text: str) -> list[tuple[str, str]]:
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return [(word[:MAX_WORD], star) for word, star in _WORD.findall(plain.casefold())]


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"
