"""Identities: users as an OpenID provider knows them. The first time that somebody signs in makes their user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from sqlalchemy.orm import Session

from vectorstore.accounts.rights import Right
from vectorstore.accounts.system import record
from vectorstore.accounts.tokens import insert_token
from vectorstore.accounts.users import find_user, insert_user
from vectorstore.errors import ConflictError, NotAllowedError
from vectorstore.reference import MAX_NAME
from vectorstore.store import Store, events
from vectorstore.store.save import insert_into
from vectorstore.store.team_schema import IdentityRow, TokenRow, UserRow

TOKEN_NAME = "signed in"  # noqa: S105 - what a token is called
_ROOM = 8  # for the number after a name that is taken


@dataclass(frozen=True)
class Identity:
    """Somebody, as a provider tells of them.

    Attributes:
        issuer: the provider.
        subject: what it calls them, for good.
        name: what they would like to be called.
        email: theirs; may be empty.
    """

    issuer: str
    subject: str
    name: str
    email: str


def sign_in(store: Store, identity: Identity, public: str, lifetime: timedelta) -> str:
    """Return the text of a new token for somebody whom a provider vouched for; make their user where there is none.

    Whose user it is, issuer and subject alone say: a user of the same name is somebody else.

    Args:
        store: the library.
        identity: who.
        public: the token's public part. It is used once: who comes again with it gets nothing.
        lifetime: until the token expires.

    Raises:
        NotAllowedError: when the user is shut out, or the public part was used.
        ConflictError: when the user has too many tokens.
    """
    with store.database.write() as session:
        if session.get(TokenRow, public) is not None:
            raise NotAllowedError("this sign-in was used already", "sign in again: steer login REMOTE --sso")
        user, made = _user(session, identity)
        if user.disabled_at is not None:
            raise NotAllowedError(f"the user {user.name} is shut out", "ask an administrator")
        expires = datetime.now(UTC) + lifetime
        secret = insert_token(session, user, TOKEN_NAME, Right.OWN, expires=expires, public=public)
        told = {"issuer": identity.issuer, "subject": identity.subject}
        with events.acting(user.name, public):
            if made:
                record(session, "user.create", user.name, after={"admin": False, **told})
            record(session, "user.login", user.name, after={"token": public, **told})
    return secret.text


def fitting_name(wish: str) -> str:
    """Return a name of our grammar that is like the one that somebody would like to have."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", wish.partition("@")[0]).strip("-_")[: MAX_NAME - _ROOM]
    if not name:
        return "user"
    return name if name[0].isalpha() else f"user-{name}"


def _user(session: Session, identity: Identity) -> tuple[UserRow, bool]:
    """Return the user of an identity, and whether it was made just now."""
    known = session.get(IdentityRow, (identity.issuer, identity.subject))
    if known is not None:
        known.email = identity.email
        return session.get_one(UserRow, known.user_id), False
    user = _new_user(session, fitting_name(identity.name))
    values = {
        "issuer": identity.issuer,
        "subject": identity.subject,
        "user_id": user.id,
        "email": identity.email,
    }
    insert = insert_into(session, IdentityRow).values(values).on_conflict_do_nothing()
    if session.execute(insert.returning(IdentityRow.user_id)).scalar() is None:
        raise ConflictError("somebody signs in as the same person at this moment", "try again")
    return user, True


def _new_user(session: Session, name: str) -> UserRow:
    """Make a user of this name, or with a number after it where it is taken."""
    for number in count(1):
        wanted = name if number == 1 else f"{name}-{number}"
        try:
            insert_user(session, wanted, admin=False)
        except ConflictError:  # taken: nothing was written
            continue
        return find_user(session, wanted)
    raise AssertionError  # pragma: no cover - numbers do not end
