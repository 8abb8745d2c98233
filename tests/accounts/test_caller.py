"""Callers: which tokens are good, and what is said about those that are not."""

from __future__ import annotations

import sys
import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import update

from tests.accounts.people import asked, caller_of
from vectorstore.accounts.caller import ANONYMOUS, Caller, authenticate
from vectorstore.accounts.rights import Right
from vectorstore.accounts.secret import new_secret, split
from vectorstore.accounts.tokens import make_token, note_use, revoke_token
from vectorstore.accounts.users import add_user, set_disabled
from vectorstore.errors import NotAuthenticatedError
from vectorstore.store import Store
from vectorstore.store.team_schema import TokenRow


@pytest.fixture
def text(store: Store) -> str:
    """Have ada, with a token to write."""
    add_user(store, "root", admin=True)
    add_user(store, "ada")
    return make_token(store, "ada", "laptop", Right.WRITE)[0]


def wrong_secret(text: str) -> str:
    """Return a token of the same public part, with a good checksum and another secret."""
    public, other = text.split("_")[1], new_secret().text.split("_")[2]
    body = f"stv_{public}_{other}"
    return f"{body}_{zlib.crc32(body.encode()):08x}"


def refusal(store: Store, text: str) -> str:
    with pytest.raises(NotAuthenticatedError) as caught:
        caller_of(store, text)
    return str(caught.value)


def test_a_good_token_says_who_it_is(store: Store, text: str):
    caller = caller_of(store, text)
    assert (caller.name, caller.admin, caller.scopes, caller.namespace_id) == ("ada", False, Right.WRITE, None)
    assert caller.token == text.split("_")[1]
    assert text not in repr(caller)


def test_an_unknown_token_and_a_wrong_secret_take_the_same_path_to_the_same_words(store: Store, text: str):
    with asked(store) as unknown:
        said = refusal(store, new_secret().text)
    with asked(store) as wrong:
        again = refusal(store, wrong_secret(text))
    with asked(store) as good:
        caller_of(store, text)
    assert said == again
    assert unknown.statements == wrong.statements == good.statements
    assert len([each for each in good.statements if "tokens" in each]) == 1


def test_a_mistyped_token_is_refused_before_the_database(store: Store, text: str):
    caller_of(store, text)
    with asked(store) as seen:
        with pytest.raises(NotAuthenticatedError):
            split(text[:-1] + ("0" if text[-1] != "0" else "1"))
        refusal(store, text[:-1])
    assert not [statement for statement in seen.statements if "tokens" in statement]


def test_who_has_the_secret_is_told_what_became_of_the_token_and_nobody_else(store: Store, text: str):
    public = text.split("_")[1]
    unknown = refusal(store, new_secret().text)
    revoke_token(store, public)
    assert f"the token {public} was revoked" in refusal(store, text)
    assert refusal(store, wrong_secret(text)) == unknown


def test_a_token_expires(store: Store, text: str):
    text, token = make_token(store, "ada", "short", lifetime=timedelta(days=1))
    caller_of(store, text)
    with store.database.write() as session:
        session.execute(
            update(TokenRow).where(TokenRow.id == token.id).values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        )
    assert "expired on" in refusal(store, text)


def test_whoever_is_shut_out_is_so_at_once_and_comes_back_with_the_same_token(store: Store, text: str):
    set_disabled(store, "ada", disabled=True)
    assert "the user ada is shut out" in refusal(store, text)
    set_disabled(store, "ada", disabled=False)
    assert caller_of(store, text).name == "ada"


def used(store: Store, caller: Caller) -> datetime | None:
    with store.database.read() as session:
        return session.get_one(TokenRow, caller.token).last_used_at


def test_the_last_use_is_kept_once_in_a_minute_and_only_then_is_anything_written(store: Store, text: str):
    caller = caller_of(store, text)
    assert used(store, caller) is None
    note_use(store, caller)
    first = used(store, caller)
    assert first is not None
    with asked(store) as seen:
        note_use(store, caller)
    assert len(seen.statements) >= 1
    assert [statement for statement in seen.statements if "UPDATE" in statement or "IMMEDIATE" in statement] == []
    assert used(store, caller) == first
    with store.database.write() as session:
        session.execute(update(TokenRow).values(last_used_at=first - timedelta(seconds=61)))
    note_use(store, caller)
    assert (used(store, caller) or first) > first


def test_nobody_leaves_no_trace(store: Store):
    with asked(store) as seen:
        note_use(store, ANONYMOUS)
    assert seen.statements == []


def test_a_reader_that_looks_at_a_moment_is_not_disturbed_by_it(store: Store, text: str):
    caller = caller_of(store, text)
    with store.database.read() as session:
        assert session.get_one(TokenRow, caller.token).last_used_at is None
        note_use(store, caller)
        session.expire_all()
        assert session.get_one(TokenRow, caller.token).last_used_at is None
    assert used(store, caller) is not None


def work(store: Store, text: str) -> list[str]:
    """Return every hash, comparison and function of accounts that looking at a token takes, in order."""
    done: list[str] = []

    def watch(frame: FrameType, event: str, called: Any) -> None:
        if event == "call" and "/accounts/" in frame.f_code.co_filename:
            done.append(frame.f_code.co_qualname)
        if event == "c_call" and any(word in called.__name__ for word in ("sha256", "hexdigest", "compare_digest")):
            done.append(called.__name__)

    with store.database.look() as connection:
        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            with suppress(NotAuthenticatedError):
                authenticate(connection, text)
        finally:
            sys.setprofile(before)
    return done


def test_an_unknown_token_costs_the_same_work_as_a_wrong_secret(store: Store, text: str):
    unknown, wrong, good = (work(store, each) for each in (new_secret().text, wrong_secret(text), text))
    assert unknown == wrong
    assert unknown == good[: len(unknown)]
    assert sum("sha256" in each for each in unknown) == sum("compare_digest" in each for each in unknown) == 1
