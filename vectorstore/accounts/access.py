"""Access: what a caller may do in a namespace, and which namespaces they may know of."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, or_, select, true
from sqlalchemy.orm import Session

from vectorstore.accounts.caller import ANONYMOUS, HELD, Caller, caller_of
from vectorstore.accounts.rights import ROLES, Right, role_of
from vectorstore.accounts.secret import split
from vectorstore.errors import NotAllowedError, NotAuthenticatedError, NotFoundError
from vectorstore.store.save import RESERVED
from vectorstore.store.schema import NamespaceRow, table_of
from vectorstore.store.team_schema import MembershipRow

_SPACES, _MEMBERS = table_of(NamespaceRow), table_of(MembershipRow)
_OF_PLACE = (*(_SPACES.c[name] for name in ("id", "visibility", "max_bytes", "max_versions")), _MEMBERS.c.role)
_PLACE = (  # made once, as the next: every request asks one of them
    select(*_OF_PLACE)
    .outerjoin_from(
        _SPACES, _MEMBERS, (_MEMBERS.c.namespace_id == _SPACES.c.id) & (_MEMBERS.c.user_id == bindparam("user"))
    )
    .where(_SPACES.c.name == bindparam("namespace"))
)
_HELD_AT_PLACE = (
    HELD.add_columns(*_OF_PLACE)
    .outerjoin(_SPACES, _SPACES.c.name == bindparam("namespace"))
    .outerjoin(
        _MEMBERS, (_MEMBERS.c.namespace_id == _SPACES.c.id) & (_MEMBERS.c.user_id == HELD.selected_columns.user_id)
    )
)

SYSTEM = RESERVED
"""The namespace whose events tell of users and tokens; nobody writes to it, and administrators read it."""


class Grant(NamedTuple):
    """What a caller may do in a namespace.

    Attributes:
        namespace_id: its row.
        right: the most that the caller may do there.
        max_bytes, max_versions: its quotas; None where there is none.
    """

    namespace_id: int
    right: Right
    max_bytes: int | None = None
    max_versions: int | None = None


def access(session: Session, caller: Caller, namespace: str, needed: Right) -> NamespaceRow:
    """Return the row of a namespace in which the caller has a right: `granted`, for who changes it."""
    return session.get_one(NamespaceRow, granted(session, caller, namespace, needed).namespace_id)


def admitted(connection: Connection, token: str | None, namespace: str, needed: Right) -> tuple[Caller, Grant]:
    """Return whose token this is and what they may do in a namespace: `authenticate` and `granted` at once.

    Raises:
        NotAuthenticatedError, NotFoundError, NotAllowedError: as they say.
    """
    if token is None:
        return ANONYMOUS, granted(connection, ANONYMOUS, namespace, needed)
    public, hashed = split(token)
    row = connection.execute(_HELD_AT_PLACE, {"token": public, "namespace": namespace}).first()
    caller = caller_of(row, hashed)
    return caller, _granted(None if row is None or row.id is None else row, caller, namespace, needed)


def granted(connection: Connection | Session, caller: Caller, namespace: str, needed: Right) -> Grant:
    """Return what a caller may do in a namespace, if the right needed is in it.

    Raises:
        NotFoundError: when there is none, or the caller may not know of it: in the same words.
        NotAuthenticatedError: when somebody who did not sign in needs more than to read.
        NotAllowedError: when the right is missing; says which role gives it.
    """
    return _granted(_place(connection, caller, namespace), caller, namespace, needed)


def _granted(row: Any, caller: Caller, namespace: str, needed: Right) -> Grant:  # noqa: ANN401 - a Row of _PLACE, or None
    right = None if row is None else _right(caller, row)
    if row is None or right is None:
        hint = "see `GET /v1/namespaces` for those that you may see"
        raise NotFoundError(f"there is no namespace '{namespace}'", hint)
    if namespace == SYSTEM and needed > Right.READ:
        raise NotAllowedError(f"nobody writes to '{SYSTEM}'", "use a namespace of your own")
    if right >= needed:
        return Grant(row.id, right, row.max_bytes, row.max_versions)
    if caller.user_id is None:
        raise NotAuthenticatedError(f"to {needed.word} in '{namespace}' you have to sign in", "steer login URL")
    raise NotAllowedError(
        f"you may {right.word} in '{namespace}', and this needs the right to {needed.word}",
        f"ask an owner to make you {role_of(needed)}, or use a token with the scope {needed.word}",
    )


def right_of(connection: Connection | Session, caller: Caller, namespace: str) -> Right | None:
    """Return the most that a caller may do in a namespace; None where they may not know of it, or there is none."""
    row = _place(connection, caller, namespace)
    return None if row is None else _right(caller, row)


def _place(connection: Connection | Session, caller: Caller, namespace: str) -> Any:  # noqa: ANN401 - a Row of _PLACE
    return connection.execute(_PLACE, {"namespace": namespace, "user": caller.user_id}).first()


def _right(caller: Caller, row: Any) -> Right | None:  # noqa: ANN401 - a Row of _PLACE
    """Return the most that a caller may do in a namespace; None where they may not know of it."""
    given = Right.READ if row.visibility == "public" else None
    if caller.namespace_id not in (None, row.id):
        return given
    if caller.user_id is not None:
        if caller.admin:
            given = Right.ADMIN
        elif row.role is not None:
            given = ROLES[row.role]
        elif row.visibility == "internal":
            given = Right.READ
    return None if given is None else min(given, caller.scopes)


def visible(caller: Caller) -> ColumnElement[bool]:
    """Return the condition that the caller may know of the query's NamespaceRow."""
    public = NamespaceRow.visibility == "public"
    if caller.user_id is None:
        return public
    members = select(MembershipRow.namespace_id).where(MembershipRow.user_id == caller.user_id)
    seen = true() if caller.admin else or_(NamespaceRow.visibility == "internal", NamespaceRow.id.in_(members))
    here = true() if caller.namespace_id is None else NamespaceRow.id == caller.namespace_id
    return or_(public, seen & here)
