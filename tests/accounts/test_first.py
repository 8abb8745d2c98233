"""The first administrator: made once, by whichever process comes first."""

from __future__ import annotations

from pathlib import Path

from tests.accounts.people import caller_of
from tests.accounts.starters import start
from tests.store.writers import PROCESSES
from vectorstore.accounts.first import make_admin
from vectorstore.accounts.rights import Right
from vectorstore.accounts.tokens import list_tokens
from vectorstore.accounts.users import add_user, list_users
from vectorstore.store import Store


def test_of_four_processes_that_start_at_once_one_makes_it(store: Store, library_url: str, blobs_folder: Path):
    barrier = PROCESSES.Barrier(4)
    started = [
        PROCESSES.Process(target=start, args=(library_url, str(blobs_folder), barrier, [number])) for number in range(4)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(200)
    assert [process.exitcode for process in started] == [0] * 4
    texts = [Path(f"{blobs_folder}-{number}.first").read_text() for number in range(4)]
    (text,) = filter(None, texts)
    caller = caller_of(store, text)
    assert (caller.name, caller.admin, caller.scopes) == ("admin", True, Right.ADMIN)
    assert [user.name for user in list_users(store)] == ["admin"]
    assert len(list_tokens(store)) == 1


def test_it_is_made_once_and_never_where_there_are_users(store: Store):
    assert make_admin(store) is not None
    assert make_admin(store) is None


def test_where_somebody_made_users_nobody_else_is_let_in(store: Store):
    add_user(store, "ada")
    assert make_admin(store) is None
    assert [user.name for user in list_users(store)] == ["ada"]
