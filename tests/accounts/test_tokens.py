"""Tokens: who may make which, who may revoke them, and that nothing keeps or shows the secret."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import text as sql
from sqlalchemy import update

from tests.accounts.people import asked, caller_of, signed_in
from vectorstore.accounts import tokens
from vectorstore.accounts.caller import Caller
from vectorstore.accounts.namespaces import add_namespace
from vectorstore.accounts.rights import Right
from vectorstore.accounts.tokens import list_tokens, make_token, revoke_token
from vectorstore.accounts.users import add_user
from vectorstore.errors import ConflictError, InvalidInputError, NotAllowedError, NotAuthenticatedError, NotFoundError
from vectorstore.store import Store, events
from vectorstore.store.feed import feed
from vectorstore.store.schema import Base
from vectorstore.store.team_schema import TokenRow


@pytest.fixture
def team(store: Store) -> Store:
    """Have an administrator, two users and two namespaces."""
    add_user(store, "root", admin=True)
    for name in ("ada", "bob"):
        add_user(store, name)
    for name in ("acme", "other"):
        add_namespace(store, name, owner="ada")
    return store


def test_the_secret_is_in_no_table_no_event_no_log_no_repr_and_no_list(team: Store, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG), asked(team) as seen:
        text, token = make_token(team, "ada", "laptop", namespace="acme", lifetime=timedelta(days=3))
        listed = list_tokens(team, "ada")
        revoke_token(team, token.id)
    secret = text.split("_")[2]
    with team.database.read() as session:
        kept = [
            str(row)
            for table in Base.metadata.sorted_tables
            for row in session.execute(sql(f'SELECT * FROM "{table.name}"'))  # noqa: S608 - our own tables
        ]
        hashed = session.get_one(TokenRow, token.id).hash
    assert any(hashed in row for row in kept)
    told = [repr(token), repr(listed), str([each.to_json() for each in listed]), str(feed(team, "system")), caplog.text]
    for shown in (*kept, *told, str(seen.parameters)):
        assert secret not in shown
    for shown in told:
        assert hashed not in shown


def test_making_and_revoking_are_events_of_system_with_who_did_it(team: Store):
    with events.acting("root", "0123456789ab"):
        _, token = make_token(team, "ada", "ci", Right.READ, namespace="acme")
        revoke_token(team, token.id)
        revoke_token(team, token.id)
    made, revoked = feed(team, "system", limit=2)
    assert [(each.actor, each.token, each.subject) for each in (made, revoked)] == [("root", "0123456789ab", "ada")] * 2
    assert (made.action, revoked.action) == ("token.create", "token.revoke")
    assert made.after == {"id": token.id, "name": "ci", "scope": "read", "namespace": "acme"}
    with team.database.read() as session:
        assert events.verify(session, "system") == feed(team, "system")[-1].seq


@pytest.mark.parametrize("mine", Right)
@pytest.mark.parametrize("wanted", Right)
def test_a_token_makes_none_that_is_good_for_more(team: Store, mine: Right, wanted: Right):
    caller = signed_in(team, "ada", mine)
    if wanted <= mine:
        assert make_token(team, "ada", "next", wanted, by=caller)[1].scope == wanted.word
    else:
        with pytest.raises(NotAllowedError, match=f"good to {mine.word}, and this one would be to {wanted.word}"):
            make_token(team, "ada", "next", wanted, by=caller)


def test_a_token_for_one_namespace_makes_none_for_another_or_for_all(team: Store):
    caller = signed_in(team, "ada", Right.WRITE, "acme")
    assert make_token(team, "ada", "next", namespace="acme", by=caller)[1].namespace == "acme"
    with pytest.raises(NotAllowedError, match="good for one namespace alone"):
        make_token(team, "ada", "next", by=caller)
    for namespace in ("other", "none"):  # as of what the token cannot see
        with pytest.raises(NotFoundError, match=f"there is no namespace '{namespace}'"):
            make_token(team, "ada", "next", namespace=namespace, by=caller)


def test_a_token_that_ends_makes_none_that_outlives_it(team: Store):
    caller = signed_in(team, "ada", Right.WRITE)
    ends = datetime.now(UTC) + timedelta(days=2)
    with team.database.write() as session:
        session.execute(update(TokenRow).where(TokenRow.id == caller.token).values(expires_at=ends))
    expires = make_token(team, "ada", "next", lifetime=timedelta(days=1), by=caller)[1].expires_at
    assert expires is not None
    assert expires < ends
    for lifetime in (None, timedelta(days=3)):
        with pytest.raises(NotAllowedError, match="your token expires on"):
            make_token(team, "ada", "next", lifetime=lifetime, by=caller)


def test_only_administrators_make_tokens_for_others(team: Store):
    assert make_token(team, "ada", "for her", by=signed_in(team, "root"))[1].user == "ada"
    for caller in (
        signed_in(team, "bob"),
        signed_in(team, "root", Right.OWN),
        signed_in(team, "root", Right.ADMIN, "acme"),
    ):
        with pytest.raises(NotAllowedError, match="tokens are made by their owners"):
            make_token(team, "ada", "for her", by=caller)


def test_somebody_elses_token_is_answered_like_one_that_is_not_there(team: Store):
    _, hers = make_token(team, "ada", "hers")
    for caller in (
        signed_in(team, "bob"),
        signed_in(team, "root", Right.OWN),
        signed_in(team, "root", namespace="acme"),
    ):
        said = []
        for token in (hers.id, "0" * 12):
            with pytest.raises(NotFoundError) as caught:
                revoke_token(team, token, by=caller)
            said.append(str(caught.value).replace(token, "…"))
        assert said[0] == said[1]
    assert list_tokens(team, "ada")[0].revoked_at is None
    assert revoke_token(team, hers.id, by=signed_in(team, "root")).revoked_at is not None


def test_a_token_revokes_itself_and_of_its_users_those_that_go_no_further(team: Store):
    little, much = signed_in(team, "ada", Right.READ), signed_in(team, "ada", Right.WRITE)
    with pytest.raises(NotAllowedError, match="is good for more than yours"):
        revoke_token(team, much.token or "", by=little)
    bound = signed_in(team, "ada", Right.WRITE, "acme")
    with pytest.raises(NotAllowedError, match="is good for more than yours"):
        revoke_token(team, little.token or "", by=bound)
    for token, by in ((bound, much), (little, much), (much, much)):
        assert revoke_token(team, token.token or "", by=by).revoked_at is not None


def test_what_is_unknown_or_cannot_be_is_refused(team: Store, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(NotFoundError, match="there is no user 'eve'"):
        make_token(team, "eve", "x")
    with pytest.raises(NotFoundError, match="there is no namespace 'nowhere'"):
        make_token(team, "ada", "x", namespace="nowhere")
    for days in (-1, 0, 4000):
        with pytest.raises(InvalidInputError, match="up to 3650 days are possible"):
            make_token(team, "ada", "x", lifetime=timedelta(days=days))
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    _, first = make_token(team, "ada", "x")
    make_token(team, "ada", "x")
    with pytest.raises(ConflictError, match="ada has 2 tokens; revoke some"):
        make_token(team, "ada", "x")
    revoke_token(team, first.id)
    make_token(team, "ada", "x")


def made_with(team: Store, caller: Caller, user: str = "ada") -> Caller:
    return caller_of(team, make_token(team, user, "next", Right.READ, by=caller)[0])


def test_a_revoked_token_takes_along_all_that_were_made_with_it(team: Store):
    first = signed_in(team, "root")
    second, beside = made_with(team, first, "root"), signed_in(team, "root")
    third, hers = made_with(team, second, "root"), made_with(team, first)
    parents = {token.id: token.parent for token in list_tokens(team)}
    assert [parents[each.token or ""] for each in (first, second, third, hers)] == [
        None,
        first.token,
        second.token,
        first.token,
    ]
    revoke_token(team, first.token or "")
    good = {token.id for token in list_tokens(team) if token.revoked_at is None}
    assert good == {beside.token}
    said = [(each.subject, each.after) for each in feed(team, "system", after=0, limit=100) if "revoke" in each.action]
    assert said[0] == ("root", {"id": first.token})
    assert sorted((who, after["id"], after["with"]) for who, after in said[1:]) == sorted(
        (who, each.token, first.token) for who, each in (("root", second), ("root", third), ("ada", hers))
    )


def test_a_token_that_was_revoked_while_its_request_was_under_way_makes_none(team: Store):
    caller = signed_in(team, "ada")
    revoke_token(team, caller.token or "")
    with pytest.raises(NotAuthenticatedError, match="was revoked"):
        made_with(team, caller)


def test_of_many_that_are_made_while_their_maker_is_revoked_none_stays_good(team: Store):
    for _ in range(5):
        caller, ready = signed_in(team, "ada"), Barrier(3)

        def make(caller: Caller = caller, ready: Barrier = ready) -> None:
            ready.wait()
            with suppress(NotAuthenticatedError):
                for _ in range(5):
                    made_with(team, caller)

        with ThreadPoolExecutor(2) as pool:
            makers = [pool.submit(make) for _ in range(2)]
            ready.wait()
            revoke_token(team, caller.token or "")
            for maker in makers:
                maker.result()
        assert not [each for each in list_tokens(team, "ada") if each.revoked_at is None]
