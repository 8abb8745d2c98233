"""First: the administrator that a service needs before anybody can make users."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from vectorstore.accounts.rights import Right
from vectorstore.accounts.system import record
from vectorstore.accounts.tokens import insert_token
from vectorstore.accounts.users import find_user, insert_user
from vectorstore.errors import ConflictError
from vectorstore.store import Store
from vectorstore.store.team_schema import UserRow

ADMIN = "admin"


def make_admin(store: Store) -> str | None:
    """Make the user `admin` where there is no user yet, and return its token; None where there is one.

    Of several processes that start at once, one makes it.
    """
    with store.database.read() as session:  # nearly every start ends here, and writes nothing
        if _anybody(session):
            return None
    try:
        with store.database.write() as session:
            if _anybody(session):
                return None
            insert_user(session, ADMIN, admin=True)
            secret = insert_token(session, find_user(session, ADMIN), "first start", Right.ADMIN)
            record(session, "user.create", ADMIN, after={"admin": True, "token": secret.id})
    except ConflictError:  # another process was first
        return None
    return secret.text


def _anybody(session: Session) -> bool:
    return session.scalar(select(UserRow.id).limit(1)) is not None
