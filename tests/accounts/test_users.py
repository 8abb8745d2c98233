"""Users: added once, shut out, made administrators; one administrator is always left."""

from __future__ import annotations

import pytest

from vectorstore.accounts.users import add_user, list_users, set_admin, set_disabled, show_user
from vectorstore.errors import ConflictError, InvalidInputError, NotFoundError
from vectorstore.store import Store
from vectorstore.store.feed import feed


def test_a_user_is_added_once_and_changes_are_events(store: Store):
    assert (add_user(store, "root", admin=True).admin, add_user(store, "ada").admin) == (True, False)
    with pytest.raises(ConflictError, match="there is a user 'ada' already"):
        add_user(store, "ada")
    with pytest.raises(InvalidInputError, match="'1st' is not a name"):
        add_user(store, "1st")
    set_disabled(store, "ada", disabled=True)
    set_disabled(store, "ada", disabled=True)
    assert [(user.name, user.disabled) for user in list_users(store)] == [("ada", True), ("root", False)]
    set_disabled(store, "ada", disabled=False)
    set_admin(store, "ada", admin=True)
    told = [(event.action, event.subject) for event in feed(store, "system")]
    changes = ["user.create", "user.disable", "user.enable", "user.admin"]
    assert told == [("user.create", "root"), *((change, "ada") for change in changes)]


def test_the_last_administrator_stays_one(store: Store):
    add_user(store, "root", admin=True)
    add_user(store, "ada", admin=True)
    set_disabled(store, "ada", disabled=True)
    with pytest.raises(ConflictError, match="nobody would be left to administer this"):
        set_admin(store, "root", admin=False)
    with pytest.raises(ConflictError, match="nobody would be left to administer this"):
        set_disabled(store, "root", disabled=True)
    assert (show_user(store, "root").admin, show_user(store, "root").disabled) == (True, False)
    set_disabled(store, "ada", disabled=False)
    assert not set_admin(store, "root", admin=False).admin


def test_where_nobody_administers_yet_users_come_and_go(store: Store):
    add_user(store, "ada")
    assert set_disabled(store, "ada", disabled=True).disabled
    assert not set_disabled(store, "ada", disabled=False).disabled
    with pytest.raises(NotFoundError, match="there is no user 'eve'"):
        set_disabled(store, "eve", disabled=True)
