"""Tables, as far as lists read them: without the ORM, which takes longer to import than a list takes.

`schema` has all of it, and a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Boolean, Connection, DateTime, Dialect, TypeDecorator, column, table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

REFERENCE_LENGTH = 512


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite keeps no time zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the moment with its time zone."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value and value.astimezone(UTC)


NAMESPACES = table("namespaces", column("id"), column("name"))
VERSIONS = table(
    "versions",
    *map(column, ("id", "namespace_id", "artifact_id", "full_name", "number", "digest", "description", "license")),
    *map(column, ("method", "model_reference")),
    column("created_at", UtcDateTime),
    column("yanked_at", UtcDateTime),
    *map(column, ("yank_reason", "deprecation")),
    column("newest", Boolean),
    column("model"),
)
BLOB_SIZES = table("blobs", *map(column, ("digest", "size")))
BLOBS = table("version_blobs", *map(column, ("version_id", "position", "media_type", "digest", "size")))
SITES = table(
    "version_sites", *map(column, ("version_id", "site", "layer", "width", "positions", "norm", "residual_norm"))
)
SUMMARIES = table("summaries", *map(column, ("version_id", "summary")))
ALIASES = table("aliases", *map(column, ("version_id", "alias")))
AUTHORS = table("authors", *map(column, ("version_id", "position", "author")))
LABELS = table("labels", *map(column, ("version_id", "key", "value")))
PRESETS = table(
    "presets", *map(column, ("version_id", "name", "coefficient", "unit", "first_layer", "last_layer", "tokens"))
)


def is_sqlite(connection: Connection | Session) -> bool:
    """Return whether the database is SQLite; else it is PostgreSQL."""
    engine = connection.engine if isinstance(connection, Connection) else connection.get_bind()
    return engine.dialect.name == "sqlite"
