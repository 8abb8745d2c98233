"""The tables that a library needs once teams share it: users and their rights, uploads, review, webhooks, other stores.

A library of one person has them too, and they stay empty.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from vectorstore.store.schema import DIGEST, NAME, REFERENCE, ROW_ID, Base, ordered_text
from vectorstore.store.tables import UtcDateTime


class UserRow(Base):
    """Somebody who may sign in. A user is never deleted, since events name them; `disabled_at` shuts them out.

    `admin` may do everything everywhere.
    """

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    name: Mapped[str] = mapped_column(NAME, unique=True)
    admin: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class IdentityRow(Base):
    """A user as an OpenID provider knows them."""

    __tablename__ = "identities"
    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    email: Mapped[str] = mapped_column(String(255))


class MembershipRow(Base):
    """The role of a user in a namespace."""

    __tablename__ = "memberships"
    __table_args__ = (CheckConstraint("role IN ('reader', 'writer', 'maintainer', 'owner')", name="role"),)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(16))


class TokenRow(Base):
    """A token, of which only the hash is kept. It can narrow its owner's rights, never widen them.

    `id` is its public part; `scopes` are rights with spaces between; with a namespace it is good for that one alone.
    `parent` is the token that it was made with, and is revoked with.
    """

    __tablename__ = "tokens"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(String(255))
    namespace_id: Mapped[int | None] = mapped_column(ForeignKey("namespaces.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    parent: Mapped[str | None] = mapped_column(String(32), index=True)


class UploadRow(Base):
    """Bytes that a namespace is sent, or was: until a version has them, only this says that it may use them."""

    __tablename__ = "uploads"
    __table_args__ = (Index(None, "namespace_id", "digest"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    digest: Mapped[str] = mapped_column(DIGEST)
    size: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger)
    finished: Mapped[bool]
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class ProtectionRow(Base):
    """An alias that only maintainers move in this namespace; with `approvals` of so many others."""

    __tablename__ = "protections"
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id"), primary_key=True)
    alias: Mapped[str] = mapped_column(NAME, primary_key=True)
    approvals: Mapped[int] = mapped_column(Integer)


class ProposalRow(Base):
    """The wish to move a protected alias, until somebody else has approved or rejected it."""

    __tablename__ = "proposals"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'approved', 'rejected', 'withdrawn')", name="state"),
        Index(None, "namespace_id", "id"),
        Index(
            "uq_proposals_open",
            "artifact_id",
            "alias",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
    )
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id"))
    artifact_id: Mapped[int] = mapped_column(ForeignKey("artifacts.id"))
    alias: Mapped[str] = mapped_column(NAME)
    number: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    proposed_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    proposed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class WebhookRow(Base):
    """Who is told of a namespace's events, in order; `sent_seq` is the last one that they got.

    The events are the outbox: each is written in the transaction of its change. `leased_until` keeps two processes from
    sending at once. `made_by` is the user on whose rights it rests; None where the library itself was at hand.
    """

    __tablename__ = "webhooks"
    id: Mapped[int] = mapped_column(ROW_ID, primary_key=True)
    namespace_id: Mapped[int] = mapped_column(ForeignKey("namespaces.id"), index=True)
    url: Mapped[str] = mapped_column(String(1024))
    secret: Mapped[str] = mapped_column(String(64))
    actions: Mapped[str] = mapped_column(String(512))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent_seq: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int]
    next_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str] = mapped_column(Text)
    made_by: Mapped[int | None] = mapped_column(BigInteger)


class SightingRow(Base):
    """What a reference to another store meant when it was last asked, so that it can be used offline."""

    __tablename__ = "sightings"
    remote: Mapped[str] = mapped_column(NAME, primary_key=True)
    reference: Mapped[str] = mapped_column(ordered_text(512), primary_key=True)
    digest: Mapped[str] = mapped_column(DIGEST)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CursorRow(Base):
    """How far the events of a namespace of another store were followed."""

    __tablename__ = "cursors"
    remote: Mapped[str] = mapped_column(REFERENCE, primary_key=True)
    namespace: Mapped[str] = mapped_column(NAME, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(DIGEST)
