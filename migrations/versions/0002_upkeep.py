"""Authors that can be asked for, names in order, tombstones that say who; blobs have no state between live and gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FULL_NAME = sa.String(257).with_variant(sa.String(257, collation="C"), "postgresql")
AUTHOR = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
DIGEST = sa.String(71).with_variant(sa.String(71, collation="C"), "postgresql")
BATCH = 1000
AUTOINCREMENT = {"sqlite_autoincrement": True}


def upgrade() -> None:
    """Add what is new, and carry the authors over."""
    _lock()
    op.execute("UPDATE blobs SET state = 'pending' WHERE state = 'deleting'")
    _blob_states("'pending', 'live'")
    op.create_table(
        "authors",
        sa.Column("version_id", ROW_ID, sa.ForeignKey("versions.id"), primary_key=True, nullable=False),
        sa.Column("position", sa.Integer(), primary_key=True, nullable=False),
        sa.Column("author", AUTHOR, nullable=False),
    )
    op.create_index("ix_authors_author_version_id", "authors", ["author", "version_id"])
    _authors_to_rows()
    op.add_column("versions", sa.Column("full_name", FULL_NAME))
    op.execute(
        "UPDATE versions SET full_name = (SELECT namespaces.name || '/' || artifacts.name FROM artifacts "
        "JOIN namespaces ON namespaces.id = artifacts.namespace_id WHERE artifacts.id = versions.artifact_id)"
    )
    with _same_row_ids(), op.batch_alter_table("versions", table_kwargs=AUTOINCREMENT) as versions:
        versions.alter_column("full_name", nullable=False)
        versions.drop_column("authors")
    op.create_index(
        "ix_versions_newest_full_name",
        "versions",
        ["full_name"],
        sqlite_where=sa.text("newest = 1"),
        postgresql_where=sa.text("newest"),
    )
    op.create_index("ix_version_sites_layer_version_id", "version_sites", ["layer", "version_id"])
    op.create_index("ix_version_sites_site_version_id", "version_sites", ["site", "version_id"])
    op.add_column("tombstones", sa.Column("actor", sa.String(255), nullable=False, server_default=""))
    with op.batch_alter_table("tombstones") as tombstones:
        tombstones.alter_column("actor", server_default=None)
    op.create_index("ix_tombstones_digest", "tombstones", ["digest"])
    with op.batch_alter_table("events") as events:  # for the longest name in the longest namespace
        events.alter_column("subject", type_=sa.String(512), existing_type=sa.String(255), existing_nullable=False)
    key = "rowid" if op.get_bind().dialect.name == "sqlite" else "version_id"
    op.execute(f"DELETE FROM version_search WHERE {key} IN (SELECT id FROM versions WHERE NOT newest)")  # noqa: S608


def downgrade() -> None:
    """Take it back; who deleted a version is lost, and text search finds old versions again once they change.

    Events keep their longer subjects: their hashes cover them, so they cannot be cut.
    """
    _lock()
    op.drop_index("ix_tombstones_digest", "tombstones")
    with op.batch_alter_table("tombstones") as tombstones:
        tombstones.drop_column("actor")
    op.drop_index("ix_version_sites_site_version_id", "version_sites")
    op.drop_index("ix_version_sites_layer_version_id", "version_sites")
    op.drop_index("ix_versions_newest_full_name", "versions")
    op.add_column("versions", sa.Column("authors", sa.JSON()))
    _authors_to_lists()
    with _same_row_ids(), op.batch_alter_table("versions", table_kwargs=AUTOINCREMENT) as versions:
        versions.alter_column("authors", nullable=False)
        versions.drop_column("full_name")
    op.drop_table("authors")
    _blob_states("'pending', 'live', 'deleting'")


def _lock() -> None:
    """Take the tables at once, in the order in which changes take them: neither waits for the other in a circle."""
    if op.get_bind().dialect.name != "sqlite":
        op.execute("LOCK TABLE artifacts, versions, blobs IN ACCESS EXCLUSIVE MODE")


@contextmanager
def _same_row_ids() -> Iterator[None]:
    """Let SQLite go on counting where it was when it rebuilds the table: ids of deleted rows shall not come again."""
    if op.get_bind().dialect.name != "sqlite":
        yield
        return
    last = op.get_bind().execute(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'versions'")).scalar() or 0
    yield
    for table in ("_alembic_tmp_versions", "versions"):
        op.get_bind().execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table})
    op.get_bind().execute(sa.text("INSERT INTO sqlite_sequence VALUES ('versions', :last)"), {"last": last})


def _blob_states(states: str) -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(op.f("ck_blobs_state"), "blobs", type_="check")
        op.create_check_constraint(op.f("ck_blobs_state"), "blobs", f"state IN ({states})")
        return
    blobs = sa.Table(
        "blobs",
        sa.MetaData(),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blobs")),
        sa.CheckConstraint(f"state IN ({states})", name=op.f("ck_blobs_state")),
    )
    sa.Index("ix_blobs_leased_until", blobs.c.leased_until, sqlite_where=sa.text("state <> 'live'"))
    with op.batch_alter_table("blobs", copy_from=blobs, recreate="always"):
        pass


def _authors_to_rows() -> None:
    connection = op.get_bind()
    versions = sa.table("versions", sa.column("id"), sa.column("authors", sa.JSON()))
    authors = sa.table("authors", sa.column("version_id"), sa.column("position"), sa.column("author"))
    last = 0
    while found := connection.execute(
        sa.select(versions.c.id, versions.c.authors).where(versions.c.id > last).order_by(versions.c.id).limit(BATCH)
    ).all():
        rows = [
            {"version_id": version_id, "position": position, "author": author}
            for version_id, names in found
            for position, author in enumerate(names or ())
        ]
        if rows:
            connection.execute(sa.insert(authors), rows)
        last = found[-1].id


def _authors_to_lists() -> None:
    connection = op.get_bind()
    connection.execute(sa.text("UPDATE versions SET authors = '[]'"))
    rows = connection.execute(sa.text("SELECT version_id, author FROM authors ORDER BY version_id, position"))
    names: dict[int, list[str]] = {}
    for version_id, author in rows:
        names.setdefault(version_id, []).append(author)
    update = "UPDATE versions SET authors = :authors WHERE id = :id"
    if connection.dialect.name != "sqlite":
        update = "UPDATE versions SET authors = CAST(:authors AS JSON) WHERE id = :id"
    for version_id, authors in names.items():
        connection.execute(sa.text(update), {"authors": json.dumps(authors), "id": version_id})
