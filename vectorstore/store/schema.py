"""The tables, one class each, the same on SQLite and PostgreSQL. Alembic's migrations make them.

What a version *is* (its blobs, sites, terms and lineage) is written once and never changed. What may move (aliases,
labels, presets, description, yanked or not) is rows of its own or plain columns, and events keep its history.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from vectorstore.store.tables import REFERENCE_LENGTH, UtcDateTime

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
NAME_LENGTH = 128
DIGEST_LENGTH = 71


def ordered_text(length: int) -> String:
    """Return text that compares byte by byte on both databases, so that ranges of prefixes use the index."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


ROW_ID = BigInteger().with_variant(Integer, "sqlite")
NAME = ordered_text(NAME_LENGTH)
DIGEST = ordered_text(DIGEST_LENGTH)
LABEL_VALUE = ordered_text(255)
REFERENCE = String(REFERENCE_LENGTH)


class Base(DeclarativeBase):
    """The one metadata, with names for all constraints."""

    metadata = MetaData(naming_convention=NAMING)


def table_of(row: type[Base]) -> Table:
    """Return the table of a row: statements about it run without the ORM, in a fraction of the time."""
    return Base.metadata.tables[row.__tablename__]


class NamespaceRow(Base):
    """A team's library; also the end of its chain of events.

    Where teams share a store, `visibility` says who reads it besides its members: `public` anybody, `internal` every
    user, `private` nobody; `max_bytes` and `max_versions` are its quotas.
    """

    __tablename__ = "namespaces"
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    name: Mapped[str] = mapped_column(NAME, unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    event_seq: Mapped[int] = mapped_column(BigInteger, default=0)
    event_hash: Mapped[str] = mapped_column(String(DIGEST_LENGTH), default="")
    visibility: Mapped[str] = mapped_column(String(8), default="private", server_default="private")
    max_bytes: Mapped[int | None] = mapped_column(BigInteger)
    max_versions: Mapped[int | None] = mapped_column(BigInteger)


class BlobRow(Base):
    """Bytes that the library answers for: `live` while a version needs them, else `pending`.

    What is pending may be collected some time after `leased_until`: when a save is over that was never finished, or
    when the last version that needed the bytes was deleted.
    """

    __tablename__ = "blobs"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'live')", name="state"),
        Index(None, "leased_until", sqlite_where=text("state <> 'live'"), postgresql_where=text("state <> 'live'")),
    )
    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(8))
    leased_until: Mapped[datetime] = mapped_column(UtcDateTime)
    verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ArtifactRow(Base):
    """A name in a namespace. It stays when its versions are deleted, so that no number is ever used twice."""

    __tablename__ = "artifacts"
    __table_args__ = (
        UniqueConstraint("namespace_id", "name"),
        CheckConstraint("kind IN ('vector', 'recipe')", name="kind"),
    )
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id"))
    name: Mapped[str] = mapped_column(NAME)
    kind: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    next_version: Mapped[int] = mapped_column(Integer, default=1)
    namespace: Mapped[NamespaceRow] = relationship(lazy="raise")


_NEWEST: dict[str, Any] = {"sqlite_where": text("newest = 1"), "postgresql_where": text("newest")}


class VersionRow(Base):
    """A version. `newest` marks the newest one of its name that is not yanked: the catalogue lists those.

    `full_name` is `namespace/name`, kept here so that a list by name needs no sorting. Recipes have no method and no
    model.
    """

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("artifact_id", "number"),
        UniqueConstraint("artifact_id", "digest"),
        Index("uq_versions_newest", "artifact_id", unique=True, **_NEWEST),
        Index("ix_versions_newest_id", "id", **_NEWEST),
        Index("ix_versions_newest_namespace_id", "namespace_id", "id", **_NEWEST),
        Index("ix_versions_newest_model_reference", "model_reference", "id", **_NEWEST),
        Index("ix_versions_newest_fingerprint", "fingerprint", "id", **_NEWEST),
        Index("ix_versions_newest_method", "method", "id", **_NEWEST),
        Index("ix_versions_newest_full_name", "full_name", **_NEWEST),
        Index(None, "digest"),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id"))
    artifact_id: Mapped[int] = mapped_column(ForeignKey("artifacts.id"))
    full_name: Mapped[str] = mapped_column(ordered_text(2 * NAME_LENGTH + 1))
    number: Mapped[int] = mapped_column(Integer)
    digest: Mapped[str] = mapped_column(DIGEST, ForeignKey("blobs.digest"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    newest: Mapped[bool]
    yanked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    yank_reason: Mapped[str | None] = mapped_column(Text)
    deprecation: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    license: Mapped[str] = mapped_column(String(255))
    method: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    model_reference: Mapped[str | None] = mapped_column(REFERENCE)
    fingerprint: Mapped[str | None] = mapped_column(String(DIGEST_LENGTH))
    architecture: Mapped[str | None] = mapped_column(String(255))
    tokenizer_digest: Mapped[str | None] = mapped_column(String(DIGEST_LENGTH))
    layer_count: Mapped[int | None]
    d_model: Mapped[int | None]
    model: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    artifact: Mapped[ArtifactRow] = relationship(lazy="raise")
    blobs: Mapped[list[VersionBlobRow]] = relationship(lazy="raise", order_by="VersionBlobRow.position")
    sites: Mapped[list[VersionSiteRow]] = relationship(lazy="raise")
    aliases: Mapped[list[AliasRow]] = relationship(lazy="raise", order_by="AliasRow.alias")
    authors: Mapped[list[AuthorRow]] = relationship(lazy="raise", order_by="AuthorRow.position")
    labels: Mapped[list[LabelRow]] = relationship(lazy="raise", order_by="LabelRow.key")
    presets: Mapped[list[PresetRow]] = relationship(lazy="raise", order_by="PresetRow.name")


class VersionBlobRow(Base):
    """A blob of a version's manifest, in the manifest's order."""

    __tablename__ = "version_blobs"
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[str] = mapped_column(DIGEST, ForeignKey("blobs.digest"), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(String(255))


class VersionSiteRow(Base):
    """A direction of a version: its place, width, rows (`[t, d]`, else none), norm and R."""

    __tablename__ = "version_sites"
    __table_args__ = (
        Index(None, "site", "layer", "version_id"),
        Index(None, "layer", "version_id"),
        Index(None, "site", "version_id"),
    )
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    site: Mapped[str] = mapped_column(String(16), primary_key=True)
    layer: Mapped[int] = mapped_column(Integer, primary_key=True)
    width: Mapped[int]
    positions: Mapped[int | None]
    norm: Mapped[float] = mapped_column(Float(53))
    residual_norm: Mapped[float | None] = mapped_column(Float(53))


class SummaryRow(Base):
    """A version as one text, with all that lists show: what the other rows of it say."""

    __tablename__ = "summaries"
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    summary: Mapped[str] = mapped_column(Text)


class AliasRow(Base):
    """A movable name of one version."""

    __tablename__ = "aliases"
    artifact_id: Mapped[int] = mapped_column(ForeignKey("artifacts.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(NAME, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), index=True)


class AuthorRow(Base):
    """Who made a version, in the order in which they were named."""

    __tablename__ = "authors"
    __table_args__ = (Index(None, "author", "version_id"),)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    author: Mapped[str] = mapped_column(ordered_text(255))


class LabelRow(Base):
    """`key=value` on a version."""

    __tablename__ = "labels"
    __table_args__ = (Index(None, "key", "value", "version_id"),)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    key: Mapped[str] = mapped_column(NAME, primary_key=True)
    value: Mapped[str] = mapped_column(LABEL_VALUE)


class PresetRow(Base):
    """A named coefficient on a version; `coefficient` is exact decimal text."""

    __tablename__ = "presets"
    __table_args__ = (CheckConstraint("unit IN ('raw', 'r')", name="unit"),)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    name: Mapped[str] = mapped_column(NAME, primary_key=True)
    coefficient: Mapped[str] = mapped_column(Text)
    unit: Mapped[str] = mapped_column(String(3))
    first_layer: Mapped[int | None]
    last_layer: Mapped[int | None]
    tokens: Mapped[str | None] = mapped_column(String(16))


class RecipeTermRow(Base):
    """A version that a recipe pins; it cannot be deleted while the recipe is there."""

    __tablename__ = "recipe_terms"
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    pinned_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), index=True)


class LineageRow(Base):
    """A version that another was made from."""

    __tablename__ = "lineage"
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), index=True)


class EvaluationRow(Base):
    """What a version was measured to do; rows are only ever added."""

    __tablename__ = "evaluations"
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(255))
    suite: Mapped[str] = mapped_column(String(255))
    result: Mapped[dict[str, Any]] = mapped_column(JSON)


class TombstoneRow(Base):
    """A version that was deleted: its number is never bound again."""

    __tablename__ = "tombstones"
    artifact_id: Mapped[int] = mapped_column(ForeignKey("artifacts.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[str] = mapped_column(DIGEST, index=True)
    deleted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reason: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(255))


class EventRow(Base):
    """One change: the audit trail and the feed of changes in one. `hash` covers it and the event before it.

    `token` is the public part of the token that it was made with, over the network.
    """

    __tablename__ = "events"
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(255))
    token: Mapped[str | None] = mapped_column(String(32))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(REFERENCE_LENGTH))
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    hash: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
