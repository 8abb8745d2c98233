"""Caller: who asks, and how far the token goes."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from vectorstore.accounts.rights import Right
from vectorstore.accounts.secret import split
from vectorstore.errors import NotAuthenticatedError
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


def authenticate(session: Session, text: str) -> Caller:
    """Return whose token this is.

    An unknown token costs what a wrong secret does, and is answered in the same words.

    Raises:
        NotAuthenticatedError: for a token that is not known, has expired or was revoked, or whose user is shut out.
    """
    public, hashed = split(text)
    query = select(TokenRow, UserRow).join(UserRow, UserRow.id == TokenRow.user_id).where(TokenRow.id == public)
    found = session.execute(query).first()
    kept = _NOBODYS if found is None else found[0].hash
    if not hmac.compare_digest(kept, hashed) or found is None:
        raise NotAuthenticatedError(_BAD, "sign in again: steer login URL")
    return _caller(*found)


def renewed(session: Session, caller: Caller) -> Caller:
    """Return what a caller's token is good for now.

    Raises:
        NotAuthenticatedError: when it is good for nothing any more.
    """
    if caller.token is None:
        return caller
    query = select(TokenRow, UserRow).join(UserRow, UserRow.id == TokenRow.user_id).where(TokenRow.id == caller.token)
    return _caller(*session.execute(query).one())


def _caller(token: TokenRow, user: UserRow) -> Caller:
    public = token.id
    if token.revoked_at is not None:
        raise NotAuthenticatedError(f"the token {public} was revoked", "make another one")
    if token.expires_at is not None and token.expires_at <= datetime.now(UTC):
        raise NotAuthenticatedError(f"the token {public} expired on {token.expires_at:%Y-%m-%d}", "make another one")
    if user.disabled_at is not None:
        raise NotAuthenticatedError(f"the user {user.name} is shut out", "ask an administrator")
    return Caller(user.name, user.id, user.admin, public, Right.parse(token.scopes), token.namespace_id)
