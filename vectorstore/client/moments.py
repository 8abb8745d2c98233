"""Moments: when something happened, as a remote says it."""

from __future__ import annotations

from datetime import UTC, datetime

from vectorstore.errors import IntegrityError
from vectorstore.fields import Fields


def moment(fields: Fields, name: str) -> datetime:
    """Return the time at `name`; one that names no zone is UTC.

    Raises:
        IntegrityError: when there is none.
    """
    text = fields.text(name)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise IntegrityError(f"the remote says that it was {text[:40]}", "tell whoever runs the remote") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def maybe_moment(fields: Fields, name: str) -> datetime | None:
    """Return the time at `name`, or None where the part is null or missing."""
    return None if fields.maybe(name, str) is None else moment(fields, name)
