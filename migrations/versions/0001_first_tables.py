"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# In the order in which they refer to each other.
TABLES = (
    "namespaces",
    "blobs",
    "artifacts",
    "versions",
    "version_blobs",
    "version_sites",
    "aliases",
    "labels",
    "presets",
    "recipe_terms",
    "lineage",
    "evaluations",
    "tombstones",
    "events",
)
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make all tables and the search index."""
    _names()
    _versions()
    _contents()
    _movable()
    _relations()
    _history()
    if op.get_bind().dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE version_search USING fts5(words, tokenize = 'unicode61 remove_diacritics 0')")
    else:
        op.execute(
            "CREATE TABLE version_search (version_id BIGINT CONSTRAINT pk_version_search PRIMARY KEY "
            "CONSTRAINT fk_version_search_version_id REFERENCES versions (id), words TSVECTOR NOT NULL)"
        )
        op.execute("CREATE INDEX ix_version_search_words ON version_search USING gin (words)")


def downgrade() -> None:
    """Remove everything."""
    op.drop_table("version_search")
    for table in reversed(TABLES):
        op.drop_table(table)


def _ordered(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _id() -> sa.Column[int]:
    return sa.Column("id", ROW_ID, primary_key=True)


def _reference(column: str, target: str, *, primary_key: bool = False) -> sa.Column[int]:
    return sa.Column(column, ROW_ID, sa.ForeignKey(target), primary_key=primary_key, nullable=False)


def _digest(column: str = "digest", *constraints: sa.ForeignKey, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(column, _ordered(71), *constraints, primary_key=primary_key, nullable=False)


def _name(column: str = "name", *, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(column, _ordered(128), primary_key=primary_key, nullable=False)


def _required(column: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(column, kind, nullable=False)


def _position() -> sa.Column[int]:
    return sa.Column("position", sa.Integer(), primary_key=True, nullable=False)


def _names() -> None:
    op.create_table(
        "namespaces",
        _id(),
        _name(),
        _required("created_at", MOMENT),
        _required("event_seq", sa.BigInteger()),
        _required("event_hash", sa.String(71)),
        sa.UniqueConstraint("name", name="uq_namespaces_name"),
    )
    op.create_table(
        "blobs",
        _digest(primary_key=True),
        _required("size", sa.BigInteger()),
        _required("state", sa.String(8)),
        _required("leased_until", MOMENT),
        sa.Column("verified_at", MOMENT),
        sa.CheckConstraint("state IN ('pending', 'live', 'deleting')", name="state"),
    )
    unfinished = sa.text("state <> 'live'")
    op.create_index(
        "ix_blobs_leased_until", "blobs", ["leased_until"], sqlite_where=unfinished, postgresql_where=unfinished
    )
    op.create_table(
        "artifacts",
        _id(),
        _reference("namespace_id", "namespaces.id"),
        _name(),
        _required("kind", sa.String(8)),
        _required("created_at", MOMENT),
        _required("next_version", sa.Integer()),
        sa.UniqueConstraint("namespace_id", "name", name="uq_artifacts_namespace_id_name"),
        sa.CheckConstraint("kind IN ('vector', 'recipe')", name="kind"),
    )


def _versions() -> None:
    op.create_table(
        "versions",
        _id(),
        _reference("namespace_id", "namespaces.id"),
        _reference("artifact_id", "artifacts.id"),
        _required("number", sa.Integer()),
        _digest("digest", sa.ForeignKey("blobs.digest")),
        _required("created_at", MOMENT),
        _required("newest", sa.Boolean()),
        sa.Column("yanked_at", MOMENT),
        _required("description", sa.Text()),
        _required("license", sa.String(255)),
        _required("authors", sa.JSON()),
        sa.Column("method", sa.String(128)),
        sa.Column("model_reference", sa.String(512)),
        sa.Column("fingerprint", sa.String(71)),
        sa.Column("architecture", sa.String(255)),
        sa.Column("tokenizer_digest", sa.String(71)),
        sa.Column("layer_count", sa.Integer()),
        sa.Column("d_model", sa.Integer()),
        sa.Column("model", sa.JSON()),
        sa.UniqueConstraint("artifact_id", "number", name="uq_versions_artifact_id_number"),
        sa.UniqueConstraint("artifact_id", "digest", name="uq_versions_artifact_id_digest"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_versions_digest", "versions", ["digest"])
    _newest_index("uq_versions_newest", "artifact_id", unique=True)
    _newest_index("ix_versions_newest_id", "id")
    for column in ("namespace_id", "model_reference", "fingerprint", "method"):
        _newest_index(f"ix_versions_newest_{column}", column, "id")


def _newest_index(name: str, *columns: str, unique: bool = False) -> None:
    op.create_index(
        name,
        "versions",
        list(columns),
        unique=unique,
        sqlite_where=sa.text("newest = 1"),
        postgresql_where=sa.text("newest"),
    )


def _contents() -> None:
    op.create_table(
        "version_blobs",
        _reference("version_id", "versions.id", primary_key=True),
        _position(),
        _digest("digest", sa.ForeignKey("blobs.digest")),
        _required("size", sa.BigInteger()),
        _required("media_type", sa.String(255)),
    )
    op.create_index("ix_version_blobs_digest", "version_blobs", ["digest"])
    op.create_table(
        "version_sites",
        _reference("version_id", "versions.id", primary_key=True),
        sa.Column("site", sa.String(16), primary_key=True, nullable=False),
        sa.Column("layer", sa.Integer(), primary_key=True, nullable=False),
        _required("width", sa.Integer()),
        sa.Column("positions", sa.Integer()),
        _required("norm", sa.Float(53)),
        sa.Column("residual_norm", sa.Float(53)),
    )
    op.create_index("ix_version_sites_site_layer_version_id", "version_sites", ["site", "layer", "version_id"])


def _movable() -> None:
    op.create_table(
        "aliases",
        _reference("artifact_id", "artifacts.id", primary_key=True),
        _name("alias", primary_key=True),
        _reference("version_id", "versions.id"),
    )
    op.create_index("ix_aliases_version_id", "aliases", ["version_id"])
    op.create_table(
        "labels",
        _reference("version_id", "versions.id", primary_key=True),
        _name("key", primary_key=True),
        _required("value", _ordered(255)),
    )
    op.create_index("ix_labels_key_value_version_id", "labels", ["key", "value", "version_id"])
    op.create_table(
        "presets",
        _reference("version_id", "versions.id", primary_key=True),
        _name(primary_key=True),
        _required("coefficient", sa.Text()),
        _required("unit", sa.String(3)),
        sa.Column("first_layer", sa.Integer()),
        sa.Column("last_layer", sa.Integer()),
        sa.Column("tokens", sa.String(16)),
        sa.CheckConstraint("unit IN ('raw', 'r')", name="unit"),
    )


def _relations() -> None:
    for table, column in (("recipe_terms", "pinned_id"), ("lineage", "parent_id")):
        op.create_table(
            table,
            _reference("version_id", "versions.id", primary_key=True),
            _position(),
            _reference(column, "versions.id"),
        )
        op.create_index(f"ix_{table}_{column}", table, [column])


def _history() -> None:
    op.create_table(
        "evaluations",
        _id(),
        _reference("version_id", "versions.id"),
        _required("created_at", MOMENT),
        _required("actor", sa.String(255)),
        _required("suite", sa.String(255)),
        _required("result", sa.JSON()),
    )
    op.create_index("ix_evaluations_version_id", "evaluations", ["version_id"])
    op.create_table(
        "tombstones",
        _reference("artifact_id", "artifacts.id", primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, nullable=False),
        _digest(),
        _required("deleted_at", MOMENT),
        _required("reason", sa.Text()),
    )
    op.create_table(
        "events",
        _reference("namespace_id", "namespaces.id", primary_key=True),
        sa.Column("seq", sa.BigInteger(), primary_key=True, nullable=False),
        _required("created_at", MOMENT),
        _required("actor", sa.String(255)),
        _required("action", sa.String(32)),
        _required("subject", sa.String(255)),
        sa.Column("before", sa.JSON()),
        sa.Column("after", sa.JSON()),
        _required("hash", sa.String(71)),
    )
