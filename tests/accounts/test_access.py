"""Access: every role, visibility, right and token, against a table that was written by hand."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.accounts.people import allowed, known, signed_in
from vectorstore.accounts.access import right_of
from vectorstore.accounts.caller import ANONYMOUS, Caller
from vectorstore.accounts.namespaces import VISIBILITIES, add_namespace, find_namespace, remove_member, set_member
from vectorstore.accounts.rights import ROLES, Right
from vectorstore.accounts.users import add_user, find_user, set_admin, set_disabled
from vectorstore.errors import InvalidInputError, NotAllowedError, NotAuthenticatedError, NotFoundError
from vectorstore.store import Store

# What each may do where the token goes as far as it can: "" is hidden.
TABLE = {
    "anonymous": {"public": "r", "internal": "", "private": ""},
    "stranger": {"public": "r", "internal": "r", "private": ""},
    "reader": {"public": "r", "internal": "r", "private": "r"},
    "writer": {"public": "rw", "internal": "rw", "private": "rw"},
    "maintainer": {"public": "rwm", "internal": "rwm", "private": "rwm"},
    "owner": {"public": "rwmo", "internal": "rwmo", "private": "rwmo"},
    "admin": {"public": "rwmoa", "internal": "rwmoa", "private": "rwmoa"},
}
RIGHTS = {"r": Right.READ, "w": Right.WRITE, "m": Right.MAINTAIN, "o": Right.OWN, "a": Right.ADMIN}
WITHIN = {"r": "r", "w": "rw", "m": "rwm", "o": "rwmo", "a": "rwmoa"}


@pytest.fixture
def team(store: Store) -> Store:
    """Have a namespace of each visibility, another one, and somebody in each role in all of the first three."""
    add_user(store, "root", admin=True)
    for name in ("stranger", *ROLES):
        add_user(store, name)
    for visibility in VISIBILITIES:
        add_namespace(store, f"the-{visibility}", visibility, owner="root")
        for role in ROLES:
            set_member(store, f"the-{visibility}", role, role)
    add_namespace(store, "elsewhere")
    return store


def somebody(store: Store, who: str, scope: Right, namespace: str | None = None) -> Caller:
    return ANONYMOUS if who == "anonymous" else signed_in(store, "root" if who == "admin" else who, scope, namespace)


def answer(store: Store, caller: Caller, namespace: str, needed: Right) -> str:
    try:
        allowed(store, caller, namespace, needed)
    except NotFoundError:
        return "hidden"
    except NotAuthenticatedError:
        return "sign in"
    except NotAllowedError:
        return "refused"
    return "granted"


@pytest.mark.parametrize("who", TABLE)
def test_each_may_do_what_the_table_says_as_far_as_the_token_goes(team: Store, who: str):
    for letter, scope in RIGHTS.items():
        caller = somebody(team, who, scope)
        for visibility, all_of_it in TABLE[who].items():
            expected = "".join(each for each in all_of_it if each in WITHIN[letter])
            for right, needed in RIGHTS.items():
                refused = "sign in" if who == "anonymous" else "refused"
                said = "hidden" if not expected else "granted" if right in expected else refused
                assert answer(team, caller, f"the-{visibility}", needed) == said, (scope, visibility, needed)


@pytest.mark.parametrize("who", [who for who in TABLE if who != "anonymous"])
def test_a_token_for_one_namespace_sees_of_the_others_what_anybody_sees(team: Store, who: str):
    caller = somebody(team, who, Right.ADMIN, "elsewhere")
    for visibility in VISIBILITIES:
        for needed in Right:
            public = "granted" if needed == Right.READ else "refused"
            expected = public if visibility == "public" else "hidden"
            assert answer(team, caller, f"the-{visibility}", needed) == expected
    assert known(team, caller) == (["elsewhere", "the-public"] if who == "admin" else ["the-public"])


@pytest.mark.parametrize("who", TABLE)
def test_lists_show_exactly_what_can_be_read(team: Store, who: str):
    for namespace in (None, "the-private"):
        caller = somebody(team, who, Right.READ, namespace)
        every = ("elsewhere", "system", *(f"the-{visibility}" for visibility in VISIBILITIES))
        readable = [name for name in every if answer(team, caller, name, Right.READ) == "granted"]
        assert known(team, caller) == sorted(readable)


def words(store: Store, caller: Caller, namespace: str) -> tuple[type, str, str]:
    with pytest.raises(NotFoundError) as caught:
        allowed(store, caller, namespace, Right.READ)
    return type(caught.value), caught.value.problem.replace(namespace, "…"), caught.value.hint


@pytest.mark.parametrize("who", ["anonymous", "stranger"])
def test_what_is_hidden_is_answered_like_what_is_not_there(team: Store, who: str):
    caller = somebody(team, who, Right.ADMIN)
    said = words(team, caller, "the-private")
    assert said == words(team, caller, "the-privat") == words(team, caller, "system") == words(team, caller, "nothing")
    assert said == (NotFoundError, "there is no namespace '…'", "see `GET /v1/namespaces` for those that you may see")


def test_a_refusal_says_which_right_and_which_role_gives_it(team: Store):
    with pytest.raises(NotAllowedError, match="needs the right to maintain; ask an owner to make you maintainer"):
        allowed(team, signed_in(team, "writer"), "the-private", Right.MAINTAIN)
    with pytest.raises(NotAuthenticatedError, match="you have to sign in"):
        allowed(team, ANONYMOUS, "the-public", Right.WRITE)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    visibility=st.sampled_from(VISIBILITIES),
    scope=st.sampled_from(Right),
    who=st.sampled_from(["stranger", *ROLES, "root"]),
    bound=st.sampled_from([None, "here", "elsewhere"]),
)
def test_a_token_never_widens_rights(team: Store, who: str, visibility: str, scope: Right, bound: str | None):
    with team.database.read() as session:
        here, there = (find_namespace(session, each) for each in (f"the-{visibility}", "elsewhere"))
        row = find_user(session, who)
        narrowed = {None: None, "here": here.id, "elsewhere": there.id}[bound]
        whole = right_of(session, Caller(row.name, row.id, row.admin, scopes=Right.ADMIN), here.name)
        token = Caller(row.name, row.id, row.admin, scopes=scope, namespace_id=narrowed)
        assert (right_of(session, token, here.name) or 0) <= min(whole or 0, scope)


def test_rights_go_at_once_with_the_membership_and_the_role(team: Store):
    writer, root = signed_in(team, "writer"), signed_in(team, "root")
    allowed(team, writer, "the-private", Right.WRITE)
    set_member(team, "the-private", "writer", "reader")
    assert answer(team, writer, "the-private", Right.WRITE) == "refused"
    remove_member(team, "the-private", "writer")
    assert answer(team, writer, "the-private", Right.READ) == "hidden"
    add_user(team, "other", admin=True)
    set_admin(team, "root", admin=False)
    set_disabled(team, "other", disabled=False)
    assert answer(team, root, "elsewhere", Right.READ) == "granted"  # until the token is looked at again
    assert answer(team, signed_in(team, "root"), "elsewhere", Right.READ) == "hidden"


def test_nobody_writes_to_system_and_administrators_read_it(team: Store):
    root = signed_in(team, "root")
    allowed(team, root, "system", Right.READ)
    for needed in (right for right in Right if right > Right.READ):
        assert answer(team, root, "system", needed) == "refused"
    for change in (
        lambda: add_namespace(team, "system"),
        lambda: set_member(team, "system", "writer", "reader"),
        lambda: remove_member(team, "system", "writer"),
    ):
        with pytest.raises(InvalidInputError, match="the namespace 'system' is the service's own"):
            change()
