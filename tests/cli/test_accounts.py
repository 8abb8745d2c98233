"""Users, tokens and namespaces through the command line, as whoever runs the server has them."""

from __future__ import annotations

import pytest

from tests.cli.steering import Steer
from vectorstore.accounts.caller import authenticate
from vectorstore.accounts.rights import Right
from vectorstore.accounts.users import add_user
from vectorstore.store import Store, events


@pytest.fixture
def team(steer: Steer) -> Steer:
    """Have an administrator, a user, and a namespace of theirs."""
    steer.ok("user", "add", "root", "--admin")
    steer.ok("user", "add", "ada")
    steer.ok("namespace", "create", "acme", "--visibility", "internal", "--owner", "ada")
    return steer


def test_users_are_added_listed_shut_out_and_let_in(team: Steer):
    assert team("user", "disable", "ada").out == "ada is a user, shut out\n"
    listed = team.ok("user", "list")["users"]
    assert [(user["name"], user["admin"], user["disabled"]) for user in listed] == [
        ("ada", False, True),
        ("root", True, False),
    ]
    assert team("user", "enable", "ada").out == "ada is a user\n"
    assert "nobody would be left to administer this" in team.fails(5, "user", "disable", "root")
    assert team("user", "admin", "ada").out == "ada is an administrator\n"
    assert team("user", "admin", "root", "--undo").out == "root is a user\n"
    assert "there is a user 'ada' already" in team.fails(5, "user", "add", "ada")
    assert "there is no user 'eve'" in team.fails(3, "user", "disable", "eve")


def test_a_token_is_printed_once_and_is_good(team: Steer):
    words = ("token", "create", "ada", "--name", "ci", "--scope", "read", "--namespace", "acme", "--days", "9")
    done = team(*words)
    text = done.out.strip()
    assert done.err == "note: keep it now: it is not shown again\n"
    with Store.open() as store, store.database.read() as session:
        caller = authenticate(session, text)
    assert (caller.name, caller.scopes) == ("ada", Right.READ)
    shown = (
        team("token", "list").out + team("token", "list", "ada", "--json").out + team("audit", "system", "--json").out
    )
    assert caller.token in shown
    assert text.split("_")[2] not in shown
    assert team("token", "revoke", str(caller.token)).out == f"the token {caller.token} of ada is revoked\n"
    assert team.ok("token", "list", "ada")["tokens"][0]["revoked_at"] is not None
    assert "there is no token 'x'" in team.fails(3, "token", "revoke", "x")
    assert "a token for 0 days" in team.fails(2, "token", "create", "ada", "--name", "x", "--days", "0")
    assert team.ok(*words)["token"].startswith("stv_")


def test_namespaces_have_members_visibility_and_quotas(team: Steer):
    assert team("namespace", "member", "set", "acme", "root", "reader").out == "root is reader of acme\n"
    assert team.ok("namespace", "member", "list", "acme")["members"] == {"ada": "owner", "root": "reader"}
    assert "without an owner" in team.fails(5, "namespace", "member", "remove", "acme", "ada")
    assert team("namespace", "member", "remove", "acme", "root").out == "root is no member of acme\n"
    changed = team("namespace", "set", "acme", "--visibility", "public", "--max-versions", "2000")
    assert changed.out == "acme is public, at most 2,000 versions\n"
    assert team("namespace", "set", "acme", "--max-versions", "none").out == "acme is public\n"
    assert "nothing to set" in team.fails(2, "namespace", "set", "acme")
    assert "max_bytes cannot be '-1'" in team.fails(2, "namespace", "set", "acme", "--max-bytes", "-1")
    assert [each["name"] for each in team.ok("namespace", "list")["namespaces"]] == ["acme", "system"]
    assert "the service's own" in team.fails(2, "namespace", "create", "system")


def test_the_audit_of_system_tells_of_users_and_shows_the_token_of_who_did_it(team: Steer):
    said = team.ok("audit", "system")["events"]
    assert [(event["action"], event["subject"]) for event in said] == [("user.create", "root"), ("user.create", "ada")]
    assert "token" not in team("audit", "system").out.splitlines()[0].split()
    with Store.open() as store, events.acting("root", "0123456789ab"):
        add_user(store, "bob")
    assert "0123456789ab" in team("audit", "system").out


def test_an_empty_library_says_what_to_type(steer: Steer):
    steer.ok("init")
    assert steer("user", "list").err == "note: there are no users; add one: steer user add NAME\n"
    assert steer("token", "list").err == "note: there are no tokens\n"
    assert steer("namespace", "list").err == "note: there are no namespaces; make one: steer namespace create NAME\n"


def test_long_lists_come_in_pages(team: Steer):
    for name in ("cid", "dan"):
        team.ok("user", "add", name)
        team.ok("token", "create", name, "--name", "laptop")
        team.ok("namespace", "create", f"of-{name}")
        team.ok("namespace", "member", "set", "of-cid", name, "reader")
    lists = {("user",): "users", ("token",): "tokens", ("namespace",): "namespaces"}
    for words, what in lists.items():
        whole = team.ok(*words, "list")
        first = team.ok(*words, "list", "--limit", "1")
        rest = team.ok(*words, "list", "--after", first["cursor"])
        assert whole["cursor"] is None
        assert first[what] + rest[what] == whole[what]
        assert len(first[what]) == 1
    members = team.ok("namespace", "member", "list", "of-cid", "--limit", "1")
    assert members["members"] == {"cid": "reader"}
    assert f"add --after {members['cursor']}" in team("namespace", "member", "list", "of-cid", "--limit", "1").err
