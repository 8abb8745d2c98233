"""Namespaces as teams have them: who sees them, who works in them, and how much they may hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from vectorstore.accounts.access import SYSTEM, visible
from vectorstore.accounts.caller import Caller
from vectorstore.accounts.rights import check_role
from vectorstore.accounts.users import find_user
from vectorstore.canonical import Json
from vectorstore.errors import ConflictError, InvalidInputError, NotFoundError
from vectorstore.reference import check_name
from vectorstore.store import Store, events
from vectorstore.store.save import insert_into
from vectorstore.store.schema import NamespaceRow
from vectorstore.store.team_schema import MembershipRow, UserRow

VISIBILITIES = ("public", "internal", "private")
_MOST = (1 << 62) - 1


@dataclass(frozen=True)
class Namespace:
    """A team's library.

    Attributes:
        name: what it is called.
        visibility: `public`, `internal` or `private`.
        max_bytes, max_versions: its quotas; None for none.
        created_at: since when.
    """

    name: str
    visibility: str
    max_bytes: int | None
    max_versions: int | None
    created_at: datetime

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {**vars(self), "created_at": self.created_at.isoformat()}


def add_namespace(store: Store, name: str, visibility: str = "private", *, owner: str | None = None) -> Namespace:
    """Make a namespace; `owner` is a user.

    Raises:
        ConflictError: when there is one of this name.
        InvalidInputError: for what is no name, or one that is not to be had.
    """
    check_name(name, "namespace")
    _check_visibility(visibility)
    _require_free(name)
    values = {"name": name, "created_at": datetime.now(UTC), "event_seq": 0, "event_hash": "", "visibility": visibility}
    with store.database.write() as session:
        insert = insert_into(session, NamespaceRow).values(values).on_conflict_do_nothing()
        made = session.execute(insert.returning(NamespaceRow.id)).scalar()
        if made is None:
            raise ConflictError(f"the name '{name}' is taken", "choose another name")
        if owner is not None:
            session.add(MembershipRow(namespace_id=made, user_id=find_user(session, owner).id, role="owner"))
        events.record(session, made, "namespace.create", name, after={"visibility": visibility, "owner": owner})
        return _shown(session.get_one(NamespaceRow, made))


def list_namespaces(
    store: Store, caller: Caller | None = None, *, limit: int | None = None, after: str = ""
) -> Sequence[Namespace]:
    """Return the namespaces that a caller may know of, or all, by name: at most `limit`, those after this name."""
    query = select(NamespaceRow).where(NamespaceRow.name > after).order_by(NamespaceRow.name).limit(limit)
    with store.database.read() as session:
        return [_shown(row) for row in session.scalars(query if caller is None else query.where(visible(caller)))]


def show_namespace(store: Store, name: str) -> Namespace:
    """Return a namespace.

    Raises:
        NotFoundError: when there is none of this name.
    """
    with store.database.read() as session:
        return _shown(find_namespace(session, name))


def set_namespace(store: Store, name: str, changes: Mapping[str, str | int | None]) -> Namespace:
    """Change visibility or quotas; a quota of None is none.

    Raises:
        NotFoundError: when there is no such namespace.
        InvalidInputError: for a value that cannot be.
    """
    if "visibility" in changes:
        _check_visibility(changes["visibility"])
    for quota in ("max_bytes", "max_versions"):
        value = changes.get(quota)
        if value is not None and (type(value) is not int or not 0 <= value <= _MOST):
            raise InvalidInputError(f"{quota} cannot be {value}", "give a number, or null for no limit")
    _require_free(name)
    with store.database.write() as session:
        row = find_namespace(session, name, lock=True)
        before = {key: getattr(row, key) for key, value in changes.items() if getattr(row, key) != value}
        for key in before:
            setattr(row, key, changes[key])
        for action, keys in (("namespace.visibility", {"visibility"}), ("quota.set", {"max_bytes", "max_versions"})):
            old = {key: value for key, value in before.items() if key in keys}
            if old:
                events.record(session, row.id, action, name, before=old, after={key: changes[key] for key in old})
        return _shown(row)


def members(store: Store, name: str, *, limit: int | None = None, after: str = "") -> Mapping[str, str]:
    """Return the roles in a namespace, by user: of at most `limit`, those after this name."""
    with store.database.read() as session:
        row = find_namespace(session, name)
        query = select(UserRow.name, MembershipRow.role).join(UserRow, UserRow.id == MembershipRow.user_id)
        mine = (
            query.where(MembershipRow.namespace_id == row.id, UserRow.name > after).order_by(UserRow.name).limit(limit)
        )
        return {row.name: row.role for row in session.execute(mine)}


def set_member(store: Store, name: str, user: str, role: str) -> None:
    """Give a user a role in a namespace.

    Raises:
        NotFoundError: for an unknown namespace or user.
        ConflictError: when the last owner would be one no longer.
    """
    check_role(role)
    _require_free(name)
    with store.database.write() as session:
        row, person = find_namespace(session, name, lock=True), find_user(session, user)
        present = session.get(MembershipRow, (row.id, person.id))
        old = None if present is None else present.role
        if old == role:
            return
        if present is None:
            session.add(MembershipRow(namespace_id=row.id, user_id=person.id, role=role))
        else:
            present.role = role
        _require_owner(session, row, old)
        before = None if old is None else {"role": old}
        events.record(session, row.id, "member.set", user, before=before, after={"role": role})


def remove_member(store: Store, name: str, user: str) -> None:
    """Take a user's role in a namespace away.

    Raises:
        NotFoundError: for an unknown namespace or user, or one who has no role there.
        ConflictError: for the last owner.
    """
    _require_free(name)
    with store.database.write() as session:
        row, person = find_namespace(session, name, lock=True), find_user(session, user)
        present = session.get(MembershipRow, (row.id, person.id))
        if present is None:
            raise NotFoundError(f"{user} is no member of '{name}'", "see its members")
        old = present.role
        session.delete(present)
        _require_owner(session, row, old)
        events.record(session, row.id, "member.remove", user, before={"role": old})


def find_namespace(session: Session, name: str, *, lock: bool = False) -> NamespaceRow:
    """Return the row of a namespace.

    Raises:
        NotFoundError: when there is none of this name.
    """
    query = select(NamespaceRow).where(NamespaceRow.name == name)
    row = session.scalar(
        query.with_for_update(key_share=True).execution_options(populate_existing=True) if lock else query
    )
    if row is None:
        raise NotFoundError(f"there is no namespace '{name[:60]}'", "see `steer namespace list`")
    return row


def _require_owner(session: Session, row: NamespaceRow, old: str | None) -> None:
    session.flush()
    mine = select(func.count()).select_from(MembershipRow).where(MembershipRow.namespace_id == row.id)
    if old == "owner" and not session.scalar(mine.where(MembershipRow.role == "owner")):
        raise ConflictError(f"'{row.name}' would be left without an owner", "make somebody else one first")


def _require_free(name: str) -> None:
    if name == SYSTEM:
        raise InvalidInputError(f"the namespace '{SYSTEM}' is the service's own", "choose another name")


def _check_visibility(visibility: object) -> None:
    if visibility not in VISIBILITIES:
        raise InvalidInputError(
            f"there is no visibility '{str(visibility)[:40]}'", f"use one of {', '.join(VISIBILITIES)}"
        )


def _shown(row: NamespaceRow) -> Namespace:
    return Namespace(row.name, row.visibility, row.max_bytes, row.max_versions, row.created_at)
