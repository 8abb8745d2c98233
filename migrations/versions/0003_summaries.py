"""Summaries: each version as one text, so that a page of a list is read from one table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BATCH = 1000
VERSIONS = sa.table(
    "versions",
    *map(sa.column, ("id", "full_name", "number", "digest", "method", "description", "license")),
    sa.column("created_at", sa.DateTime(timezone=True)),
    sa.column("yanked_at", sa.DateTime(timezone=True)),
    sa.column("model", sa.JSON()),
)
SUMMARIES = sa.table("summaries", sa.column("version_id"), sa.column("summary"))
PARTS = {
    "version_blobs": ("media_type", "digest", "size"),
    "version_sites": ("site", "layer", "width", "positions", "norm", "residual_norm"),
    "labels": ("key", "value"),
    "aliases": ("alias",),
    "presets": ("name", "coefficient", "unit", "first_layer", "last_layer", "tokens"),
    "authors": ("author",),
}
ORDER = {"version_blobs": "position", "authors": "position", "labels": "key", "aliases": "alias", "presets": "name"}
SITES = ("resid_pre", "resid_post", "attn_out", "mlp_out", "head_out")


def upgrade() -> None:
    """Add the table, and write a summary of every version."""
    _lock()
    op.create_table(
        "summaries",
        sa.Column("version_id", ROW_ID, sa.ForeignKey("versions.id"), primary_key=True, nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
    )
    connection, last = op.get_bind(), 0
    mine = sa.select(VERSIONS.c.id).order_by(VERSIONS.c.id).limit(BATCH)
    while ids := connection.execute(mine.where(VERSIONS.c.id > last)).scalars().all():
        connection.execute(sa.insert(SUMMARIES), _summaries(connection, ids))
        last = ids[-1]


def downgrade() -> None:
    """Take the table away: all of it is said elsewhere."""
    _lock()
    op.drop_table("summaries")


def _lock() -> None:
    """Take the tables at once, in the order in which changes take them: neither waits for the other in a circle."""
    if op.get_bind().dialect.name != "sqlite":
        op.execute("LOCK TABLE artifacts, versions, blobs IN ACCESS EXCLUSIVE MODE")


def _summaries(connection: sa.Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of these versions; a version whose own rows are damaged gets an empty summary, which says so."""
    try:
        rows = connection.execute(sa.select(VERSIONS).where(VERSIONS.c.id.between(ids[0], ids[-1]))).all()
        parts = {table: _parts(connection, table, ids[0], ids[-1]) for table in PARTS}
        return [{"version_id": row.id, "summary": _summary(row, parts)} for row in rows]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        if len(ids) == 1:
            return [{"version_id": ids[0], "summary": ""}]
        return [made for version_id in ids for made in _summaries(connection, [version_id])]


def _parts(connection: sa.Connection, name: str, first: int, last: int) -> dict[int, list[list[Any]]]:
    """Return the rows of one kind of part by version, in order."""
    columns = ("version_id", *PARTS[name])
    table = sa.table(name, *map(sa.column, dict.fromkeys((*columns, ORDER.get(name, "layer")))))
    query = sa.select(*(table.c[column] for column in columns)).where(table.c.version_id.between(first, last))
    found: dict[int, list[list[Any]]] = {}
    for version_id, *values in connection.execute(query.order_by(table.c[ORDER.get(name, "layer")])):
        found.setdefault(version_id, []).append(values)
    return found


def _summary(row: Any, parts: dict[str, dict[int, list[list[Any]]]]) -> str:  # noqa: ANN401 - a Row of the columns
    blobs, sites, labels, aliases, presets, authors = (parts[name].get(row.id, []) for name in PARTS)
    said = {
        "name": row.full_name,
        "number": row.number,
        "digest": row.digest,
        "method": row.method,
        "created_at": _moment(row.created_at),
        "blobs": blobs,
        "model": None if row.model is None else json.dumps(row.model),
        "directions": sorted(sites, key=_place),
        "labels": dict(labels),
        "aliases": _only(aliases),
        "presets": presets,
        "description": row.description,
        "license": row.license,
        "authors": _only(authors),
        "yanked": row.yanked_at is not None,
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _moment(moment: datetime) -> str:
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)).isoformat()


def _place(direction: Sequence[Any]) -> tuple[int, int]:
    site, layer, *_ = direction
    return SITES.index(site), layer


def _only(rows: Iterable[Sequence[Any]]) -> list[Any]:
    return [value for (value,) in rows]
