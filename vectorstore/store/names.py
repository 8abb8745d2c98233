"""Names: of namespaces, and what may be meant by one that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from vectorstore.errors import NotFoundError
from vectorstore.store.tables import NAMESPACES

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

NEIGHBOURS = 500


def namespace_id(connection: Connection | Session, name: str) -> int:
    """Return the row of a namespace.

    Raises:
        NotFoundError: naming near ones.
    """
    found = connection.scalar(select(NAMESPACES.c.id).where(NAMESPACES.c.name == name))
    if found is None:
        names = connection.scalars(select(NAMESPACES.c.name).order_by(NAMESPACES.c.name).limit(NEIGHBOURS))
        raise NotFoundError(f"there is no namespace '{name}'", near(name, names) or "see `steer list` for all")
    return int(found)


def near(name: str, names: Iterable[str]) -> str:
    """Return `did you mean love or live?`, or nothing."""
    found = get_close_matches(name, names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(found)}?" if found else ""
