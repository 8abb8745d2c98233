"""Reading: versions from their summaries. Many take as many queries as one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, select, text

from vectorstore.errors import IntegrityError
from vectorstore.fields import Fields
from vectorstore.identity import ModelIdentity
from vectorstore.store.summary import from_text
from vectorstore.store.tables import SUMMARIES, is_sqlite
from vectorstore.store.version import Version

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

# One parameter however many there are: the query's text stays the same, and so do its plans.
_WANTED = select(SUMMARIES)
_SQLITE = _WANTED.where(text("version_id IN (SELECT value FROM json_each(:ids))"))
_POSTGRESQL = _WANTED.where(text("version_id = ANY(CAST(:ids AS BIGINT[]))"))


class ModelRow(Protocol):
    """A version's row, as far as it says which model it was computed on."""

    id: Any
    model: Any


@contextmanager
def undamaged() -> Iterator[None]:
    """Say of values that no row of ours has, whether the driver or we fail to read them, that they are damaged.

    Raises:
        IntegrityError: for such a value.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"a row of the library is damaged ({error})", "restore the database from a backup"
        ) from error


def read_versions(connection: Connection | Session, ids: Sequence[int]) -> list[Version]:
    """Return the versions of these rows, in this order.

    Raises:
        IntegrityError: where a summary is damaged, or there is none.
    """
    if not ids:
        return []
    sqlite = is_sqlite(connection)
    asked = {"ids": json.dumps(list(ids)) if sqlite else list(ids)}
    try:
        rows = connection.execute(_SQLITE if sqlite else _POSTGRESQL, asked).all()  # at once: drivers are slow by row
        summaries: dict[int, str] = dict(rows)
        return [from_text(summaries[number]) for number in ids]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise IntegrityError(
            "the summary of a version, which lists are made of, is missing or damaged", "type: steer fsck"
        ) from error


def to_model(row: ModelRow) -> ModelIdentity | None:
    """Return the model that a version was computed on; recipes have none."""
    return None if row.model is None else ModelIdentity.from_json(Fields(row.model, f"the model of version {row.id}"))
