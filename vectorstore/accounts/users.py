"""Users: who may sign in. They are never deleted, since events name them, but shut out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from vectorstore.accounts.system import record
from vectorstore.canonical import Json
from vectorstore.errors import ConflictError, NotFoundError
from vectorstore.reference import check_name
from vectorstore.store import Store
from vectorstore.store.save import insert_into
from vectorstore.store.team_schema import UserRow


@dataclass(frozen=True)
class User:
    """Somebody who may sign in.

    Attributes:
        name: what they are called.
        admin: whether they may do everything everywhere.
        created_at: since when.
        disabled: whether they are shut out.
    """

    name: str
    admin: bool
    created_at: datetime
    disabled: bool

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {**vars(self), "created_at": self.created_at.isoformat()}


def add_user(store: Store, name: str, *, admin: bool = False) -> User:
    """Make a user.

    Raises:
        ConflictError: when there is one of this name.
        InvalidInputError: for what is no name.
    """
    with store.database.write() as session:
        insert_user(session, name, admin=admin)
        record(session, "user.create", name, after={"admin": admin})
        return _user(find_user(session, name))


def insert_user(session: Session, name: str, *, admin: bool) -> None:
    """Make a user's row; whoever does records it as an event.

    Raises:
        ConflictError, InvalidInputError: as for `add_user`.
    """
    check_name(name)
    values = {"name": name, "admin": admin, "created_at": datetime.now(UTC)}
    insert = insert_into(session, UserRow).values(values).on_conflict_do_nothing()
    if session.execute(insert.returning(UserRow.id)).scalar() is None:
        raise ConflictError(f"there is a user '{name}' already", "choose another name")


def list_users(store: Store, *, limit: int | None = None, after: str = "") -> Sequence[User]:
    """Return users by name: at most `limit`, those after this name."""
    query = select(UserRow).where(UserRow.name > after).order_by(UserRow.name).limit(limit)
    with store.database.read() as session:
        return [_user(row) for row in session.scalars(query)]


def show_user(store: Store, name: str) -> User:
    """Return a user.

    Raises:
        NotFoundError: when there is none of this name.
    """
    with store.database.read() as session:
        return _user(find_user(session, name))


def set_disabled(store: Store, name: str, *, disabled: bool) -> User:
    """Shut a user out, or let them in again; their tokens follow at once.

    Raises:
        NotFoundError: when there is none of this name.
        ConflictError: for the last administrator.
    """
    with store.database.write() as session:
        _lock_admins(session)
        row = find_user(session, name, lock=True)
        if disabled != (row.disabled_at is not None):
            row.disabled_at = datetime.now(UTC) if disabled else None
            if disabled and row.admin:
                _require_admin(session)
            record(session, "user.disable" if disabled else "user.enable", name)
        return _user(row)


def set_admin(store: Store, name: str, *, admin: bool) -> User:
    """Make a user an administrator, or no longer.

    Raises:
        NotFoundError, ConflictError: as for `set_disabled`.
    """
    with store.database.write() as session:
        _lock_admins(session)
        row = find_user(session, name, lock=True)
        if row.admin != admin:
            row.admin = admin
            if not admin and row.disabled_at is None:
                _require_admin(session)
            record(session, "user.admin", name, before={"admin": not admin}, after={"admin": admin})
        return _user(row)


def find_user(session: Session, name: str, *, lock: bool = False) -> UserRow:
    """Return the row of a user.

    Raises:
        NotFoundError: when there is none of this name.
    """
    query = select(UserRow).where(UserRow.name == name)
    row = session.scalar(
        query.with_for_update(key_share=True).execution_options(populate_existing=True) if lock else query
    )
    if row is None:
        raise NotFoundError(f"there is no user '{name[:60]}'", "see `steer user list`")
    return row


def _require_admin(session: Session) -> None:
    """Check that an administrator is left; their rows are locked, so this is true at the end too."""
    session.flush()
    left = select(func.count()).select_from(UserRow).where(UserRow.admin, UserRow.disabled_at.is_(None))
    if not session.scalar(left):
        raise ConflictError("nobody would be left to administer this", "make somebody else an administrator first")


def _lock_admins(session: Session) -> None:
    """Lock the rows of all administrators, in one order for all, before any other row of a user."""
    query = select(UserRow.id).where(UserRow.admin).order_by(UserRow.id)
    session.execute(query.with_for_update(key_share=True)).all()


def _user(row: UserRow) -> User:
    return User(row.name, row.admin, row.created_at, row.disabled_at is not None)
