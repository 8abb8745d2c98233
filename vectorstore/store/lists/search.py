"""Full-text search behind one interface: FTS5 on SQLite, tsvector and GIN on PostgreSQL.

Both get words that were cut here, so both find the same: runs of letters and digits, without case and accents. A word
of a query means itself; `wed*` means every word that begins so. Several words must all occur. No text is an error, but
for one of more than MAX_WORDS different words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import ARRAY, Boolean, Connection, Text, bindparam, cast, column, delete, func, insert, table
from sqlalchemy.types import UserDefinedType

from vectorstore.errors import InvalidInputError
from vectorstore.store.lists.source import Source
from vectorstore.store.tables import is_sqlite

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

TABLE = "version_search"
MAX_WORDS = 64
MAX_WORD = 64
_WORD = re.compile(r"([^\W_]+)(\*?)")
_FTS5 = table(TABLE, column("rowid"), column("words"), column(TABLE))
_TSVECTOR = table(TABLE, column("version_id"), column("words"))
_ADD = insert(_FTS5)
_FORGET = {  # whether on SQLite
    True: delete(_FTS5).where(_FTS5.c.rowid == bindparam("version")),
    False: delete(_TSVECTOR).where(_TSVECTOR.c.version_id == bindparam("version")),
}
_FOUND, _INDEXED = _FTS5.alias(), _TSVECTOR.alias()  # no query asks for words twice


class _TsQuery(UserDefinedType[str]):
    """PostgreSQL's query type: SQLAlchemy's own comes with all of its dialect, which SQLite has no use for."""

    cache_ok = True

    def get_col_spec(self, **_settings: object) -> str:
        """Return its name."""
        return "TSQUERY"


def is_search_table(name: str | None) -> bool:
    """Return whether a table belongs to the index: FTS5 keeps several, which no ORM class describes."""
    return name is not None and name.startswith(TABLE)


def index(session: Connection | Session, version_id: int, texts: Iterable[str], *, known: bool = True) -> None:
    """Make a version findable by the words of `texts`, and by no others; one that is new is not `known` yet."""
    if known:
        forget(session, version_id)
    words = [word for word, _ in _words(" ".join(texts))]
    if is_sqlite(session):
        session.execute(_ADD, {"rowid": version_id, "words": " ".join(words)})
    else:
        vector = func.array_to_tsvector(cast(words, ARRAY(Text)))
        session.execute(insert(_TSVECTOR).values(version_id=version_id, words=vector))


def forget(session: Connection | Session, version_id: int) -> None:
    """Let a version be found no more."""
    session.execute(_FORGET[is_sqlite(session)], {"version": version_id})


def source(connection: Connection | Session, query: str) -> Source | None:
    """Return the versions that have all words of `query`.

    Returns None where the query has no word: nothing can match it.

    Raises:
        InvalidInputError: for more than MAX_WORDS different words.
    """
    words = list(dict.fromkeys(_words(query)))
    if not words:
        return None
    if len(words) > MAX_WORDS:
        raise InvalidInputError(f"{len(words)} different words to look for", f"{MAX_WORDS} are allowed")
    if is_sqlite(connection):
        match = " ".join(f'"{word}"{star}' for word, star in words)
        # FTS5 has the matches in order, and finds its place in them anew for each version that it is asked about.
        return Source(_FOUND.c.rowid, (_FOUND.c[TABLE].op("MATCH")(match),), newest=True, cost=20)
    match = " & ".join(f"'{word}'{':*' if star else ''}" for word, star in words)
    words_value = cast(match, _TsQuery())
    # The function behind @@, which PostgreSQL never answers by the index: when to walk along the rows is our choice.
    matches = func.ts_match_vq(_INDEXED.c.words, words_value, type_=Boolean)
    by_index = _INDEXED.c.words.op("@@")(words_value)
    return Source(_INDEXED.c.version_id, (matches,), newest=True, walked=False, collected=(by_index,), cost=2)


def _words(text: str) -> list[tuple[str, str]]:
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return [(word[:MAX_WORD], star) for word, star in _WORD.findall(plain.casefold())]
