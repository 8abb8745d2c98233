"""First: the administrator that a service needs before anybody can make users."""

from __future__ import annotations

from sqlalchemy import select

from vectorstore.accounts.rights import Right
from vectorstore.accounts.tokens import make_token
from vectorstore.accounts.users import add_user
from vectorstore.errors import ConflictError
from vectorstore.store import Store
from vectorstore.store.team_schema import UserRow

ADMIN = "admin"


def make_admin(store: Store) -> str | None:
    """Make the user `admin` where there is no user yet, and return its token; None where there is one.

    Of several processes that start at once, one makes it.
    """
    with store.database.read() as session:
        if session.scalar(select(UserRow.id).limit(1)) is not None:
            return None
    try:
        add_user(store, ADMIN, admin=True)
    except ConflictError:  # another process was first
        return None
    text, _ = make_token(store, ADMIN, "first start", Right.ADMIN)
    return text
