"""Access: what a caller may do in a namespace, and which namespaces they may know of."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, or_, select, true
from sqlalchemy.orm import Session

from vectorstore.accounts.caller import Caller
from vectorstore.accounts.rights import ROLES, Right, role_of
from vectorstore.errors import NotAllowedError, NotAuthenticatedError, NotFoundError
from vectorstore.store.save import RESERVED
from vectorstore.store.schema import NamespaceRow
from vectorstore.store.team_schema import MembershipRow

SYSTEM = RESERVED
"""The namespace whose events tell of users and tokens; nobody writes to it, and administrators read it."""


def access(session: Session, caller: Caller, namespace: str, needed: Right) -> NamespaceRow:
    """Return the row of a namespace in which the caller has a right: `granted` without saying which."""
    return granted(session, caller, namespace, needed)[0]


def granted(session: Session, caller: Caller, namespace: str, needed: Right) -> tuple[NamespaceRow, Right]:
    """Return the row of a namespace in which the caller has the right needed, and the most that they may do there.

    Raises:
        NotFoundError: when there is none, or the caller may not know of it: in the same words.
        NotAuthenticatedError: when somebody who did not sign in needs more than to read.
        NotAllowedError: when the right is missing; says which role gives it.
    """
    row = session.scalar(select(NamespaceRow).where(NamespaceRow.name == namespace))
    right = None if row is None else right_of(session, caller, row)
    if row is None or right is None:
        hint = "see `GET /v1/namespaces` for those that you may see"
        raise NotFoundError(f"there is no namespace '{namespace}'", hint)
    if namespace == SYSTEM and needed > Right.READ:
        raise NotAllowedError(f"nobody writes to '{SYSTEM}'", "use a namespace of your own")
    if right >= needed:
        return row, right
    if caller.user_id is None:
        raise NotAuthenticatedError(f"to {needed.word} in '{namespace}' you have to sign in", "steer login URL")
    raise NotAllowedError(
        f"you may {right.word} in '{namespace}', and this needs the right to {needed.word}",
        f"ask an owner to make you {role_of(needed)}, or use a token with the scope {needed.word}",
    )


def right_of(session: Session, caller: Caller, row: NamespaceRow) -> Right | None:
    """Return the most that a caller may do in a namespace; None where they may not know of it."""
    if caller.namespace_id not in (None, row.id):
        return Right.READ if row.visibility == "public" else None
    given = Right.READ if row.visibility == "public" else None
    if caller.user_id is not None:
        if caller.admin:
            given = Right.ADMIN
        elif (role := session.scalar(_role(caller.user_id, row.id))) is not None:
            given = ROLES[role]
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


def _role(user_id: int, namespace_id: int) -> Select[str]:
    return select(MembershipRow.role).where(
        MembershipRow.user_id == user_id, MembershipRow.namespace_id == namespace_id
    )
