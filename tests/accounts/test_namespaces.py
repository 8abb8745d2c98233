"""Namespaces: made once, changed, and never without an owner who had one."""

from __future__ import annotations

import pytest

from vectorstore.accounts.namespaces import (
    add_namespace,
    list_namespaces,
    members,
    remove_member,
    set_member,
    set_namespace,
)
from vectorstore.accounts.users import add_user
from vectorstore.errors import ConflictError, InvalidInputError, NotFoundError
from vectorstore.store import Store, events
from vectorstore.store.feed import feed


@pytest.fixture
def team(store: Store) -> Store:
    """Have two users and a namespace of the first."""
    for name in ("ada", "bob"):
        add_user(store, name)
    add_namespace(store, "acme", "internal", owner="ada")
    return store


def test_every_change_is_an_event_of_the_namespace(team: Store):
    set_member(team, "acme", "bob", "reader")
    set_member(team, "acme", "bob", "reader")
    set_member(team, "acme", "bob", "writer")
    remove_member(team, "acme", "bob")
    set_namespace(team, "acme", {"visibility": "public", "max_versions": 7})
    set_namespace(team, "acme", {"visibility": "public", "max_versions": None})
    told = [(event.action, event.before, event.after) for event in feed(team, "acme")]
    assert told == [
        ("namespace.create", None, {"visibility": "internal", "owner": "ada"}),
        ("member.set", None, {"role": "reader"}),
        ("member.set", {"role": "reader"}, {"role": "writer"}),
        ("member.remove", {"role": "writer"}, None),
        ("namespace.visibility", {"visibility": "internal"}, {"visibility": "public"}),
        ("quota.set", {"max_versions": None}, {"max_versions": 7}),
        ("quota.set", {"max_versions": 7}, {"max_versions": None}),
    ]
    with team.database.read() as session:
        assert events.verify(session, "acme") == 7


def test_the_last_owner_stays_one(team: Store):
    for change in (lambda: remove_member(team, "acme", "ada"), lambda: set_member(team, "acme", "ada", "maintainer")):
        with pytest.raises(ConflictError, match="'acme' would be left without an owner"):
            change()
    assert members(team, "acme") == {"ada": "owner"}
    set_member(team, "acme", "bob", "owner")
    remove_member(team, "acme", "ada")
    assert members(team, "acme") == {"bob": "owner"}


def test_a_name_is_taken_once(team: Store):
    with pytest.raises(ConflictError, match="the name 'acme' is taken"):
        add_namespace(team, "acme")
    with pytest.raises(NotFoundError, match="there is no user 'eve'"):
        add_namespace(team, "new", owner="eve")
    assert "new" not in [namespace.name for namespace in list_namespaces(team)]


def test_what_cannot_be_is_refused(team: Store):
    for changes in ({"visibility": "secret"}, {"visibility": None}, {"max_bytes": -1}, {"max_versions": 1 << 63}):
        with pytest.raises(InvalidInputError):
            set_namespace(team, "acme", changes)
    with pytest.raises(InvalidInputError, match="there is no role 'boss'"):
        set_member(team, "acme", "bob", "boss")
    with pytest.raises(NotFoundError, match="bob is no member of 'acme'"):
        remove_member(team, "acme", "bob")
    with pytest.raises(NotFoundError, match="there is no namespace 'acm'"):
        set_namespace(team, "acm", {"visibility": "public"})
