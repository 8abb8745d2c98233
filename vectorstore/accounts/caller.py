"""Caller: who asks, and how far the token goes."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.orm import Session

from vectorstore.accounts.rights import Right
from vectorstore.accounts.secret import split
from vectorstore.errors import NotAuthenticatedError
from vectorstore.store.schema import table_of
from vectorstore.store.team_schema import TokenRow, UserRow

_NOBODYS = "0" * 64
_BAD = "the token is not known"


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: the user's; None for somebody who did not say.
        user_id: their row.
        admin: whether they may do everything everywhere, as far as the token goes.
        token: the token's public part.
        scopes: the most that the token is good for.
        namespace_id: the one namespace that the token is good for; None for all.
    """

    name: str | None = None
    user_id: int | None = None
    admin: bool = False
    token: str | None = None
    scopes: Right = Right.READ
    namespace_id: int | None = None


ANONYMOUS = Caller()

_TOKENS, _USERS = table_of(TokenRow), table_of(UserRow)
HELD = (  # made once, as all that requests ask
    select(
        _TOKENS.c.id.label("token"),
        *(_TOKENS.c[name] for name in ("hash", "scopes", "namespace_id", "expires_at", "revoked_at")),
        _USERS.c.id.label("user_id"),
        _USERS.c.name.label("user"),
        *(_USERS.c[name] for name in ("admin", "disabled_at")),
    )
    .join_from(_TOKENS, _USERS, _USERS.c.id == _TOKENS.c.user_id)
    .where(_TOKENS.c.id == bindparam("token"))
)
"""The token whose public part is the parameter `token`, and its user."""


def authenticate(connection: Connection | Session, text: str) -> Caller:
    """Return whose token this is.

    Raises:
        NotAuthenticatedError: as `caller_of` says.
    """
    public, hashed = split(text)
    return caller_of(connection.execute(HELD, {"token": public}).first(), hashed)


def caller_of(found: Any, hashed: str) -> Caller:  # noqa: ANN401 - a Row that begins as those of HELD, or None
    """Return whose token was found, if it is the one with this hash.

    An unknown token costs about what a wrong secret does, and is answered in the same words.

    Raises:
        NotAuthenticatedError: for a token that is not known, has expired or was revoked, or whose user is shut out.
    """
    kept = _NOBODYS if found is None else found.hash
    if not hmac.compare_digest(kept, hashed) or found is None:
        raise NotAuthenticatedError(_BAD, "sign in again: steer login URL")
    return _caller(found)


def renewed(connection: Connection | Session, caller: Caller) -> Caller:
    """Return what a caller's token is good for now.

    Raises:
        NotAuthenticatedError: when it is good for nothing any more.
    """
    if caller.token is None:
        return caller
    return _caller(connection.execute(HELD, {"token": caller.token}).one())


def _caller(row: Any) -> Caller:  # noqa: ANN401 - a Row of HELD
    if row.revoked_at is not None:
        raise NotAuthenticatedError(f"the token {row.token} was revoked", "make another one")
    if row.expires_at is not None and row.expires_at <= datetime.now(UTC):
        raise NotAuthenticatedError(f"the token {row.token} expired on {row.expires_at:%Y-%m-%d}", "make another one")
    if row.disabled_at is not None:
        raise NotAuthenticatedError(f"the user {row.user} is shut out", "ask an administrator")
    return Caller(row.user, row.user_id, row.admin, row.token, Right.parse(row.scopes), row.namespace_id)
