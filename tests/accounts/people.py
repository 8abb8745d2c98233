"""Users, namespaces and tokens for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import event

from vectorstore.accounts.access import access
from vectorstore.accounts.caller import Caller, authenticate
from vectorstore.accounts.namespaces import list_namespaces
from vectorstore.accounts.rights import Right
from vectorstore.accounts.tokens import make_token
from vectorstore.store import Store


def caller_of(store: Store, text: str) -> Caller:
    """Return whose token this is."""
    with store.database.read() as session:
        return authenticate(session, text)


def signed_in(store: Store, user: str, scope: Right = Right.ADMIN, namespace: str | None = None) -> Caller:
    """Return a user who comes with a token."""
    return caller_of(store, make_token(store, user, "test", scope, namespace=namespace)[0])


def allowed(store: Store, caller: Caller, namespace: str, needed: Right) -> None:
    """Ask for a right, in a transaction of its own."""
    with store.database.read() as session:
        access(session, caller, namespace, needed)


def known(store: Store, caller: Caller) -> list[str]:
    """Return the namespaces that a caller may know of."""
    return [found.name for found in list_namespaces(store, caller)]


@dataclass
class Asked:
    """The statements that a database was asked, with their parameters."""

    statements: list[str] = field(default_factory=list)
    parameters: list[object] = field(default_factory=list)


@contextmanager
def asked(store: Store) -> Iterator[Asked]:
    """Remember what the store's database is asked inside."""
    seen = Asked()
    engine = store.database._engine

    def remember(*said: object) -> None:
        _, _, statement, parameters, *_ = said
        seen.statements.append(str(statement))
        seen.parameters.append(parameters)

    event.listen(engine, "before_cursor_execute", remember)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", remember)
