"""Problems: what a check of a library finds, and how it reads its tables: a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute

from vectorstore.canonical import Json
from vectorstore.store.store import Store

BATCH = 500


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be.

    Attributes:
        kind: `missing`, `damaged`, `orphan`, `unneeded`, `unmarked`, `version`, `name`, `events` or `database`.
        subject: what it is about: a digest, a version, a name, a namespace.
        detail: what is wrong.
        hint: what to do.
    """

    kind: str
    subject: str
    detail: str
    hint: str


@dataclass
class Checked:
    """What was looked at, and what was wrong.

    Attributes:
        full: whether every byte was read and hashed.
        blobs, files, versions, events: how many were looked at.
        problems: empty in a sound library.
        quarantined: where damaged files, and files that belong to nobody, were put.
    """

    full: bool
    blobs: int = 0
    files: int = 0
    versions: int = 0
    events: int = 0
    problems: list[Problem] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> Json:
        """Return everything, for programs."""
        return {**vars(self), "ok": self.ok, "problems": [vars(problem) for problem in self.problems]}


def pages(
    store: Store, query: Select[*tuple[Any, ...]], key: InstrumentedAttribute[Any]
) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield a query's rows by their first column, `key`, each page in a transaction of its own."""
    last = None
    while True:
        after = query if last is None else query.where(key > last)
        with store.database.read() as session:
            rows = session.execute(after.order_by(key).limit(BATCH)).all()
        if not rows:
            return
        yield rows
        last = rows[-1][0]
