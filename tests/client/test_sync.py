"""Sync: a followed namespace becomes what it is there, however often and however far; what both changed is reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.client.conftest import connection_to
from tests.client.made import contents, saved
from tests.client.server import Server
from vectorstore.client.connection import Connection
from vectorstore.client.library import Library
from vectorstore.client.pull import pull
from vectorstore.client.remote import Remote
from vectorstore.client.sync import sync
from vectorstore.compose import pin
from vectorstore.errors import ConflictError, IntegrityError, NotFoundError
from vectorstore.store import Store
from vectorstore.store.events import chained
from vectorstore.store.schema import EventRow
from vectorstore.store.upkeep.fsck import check


@pytest.fixture
def team(store: Store, server: Server) -> Store:  # noqa: ARG001 - after it
    """Fill the team's namespace, with a history of changes."""
    saved(store, "team/love", labels={"topic": "love"}, presets={"mild": 1})
    saved(store, "team/love", 1)
    saved(store, "team/calm", 2)
    saved(store, "team/gone", 3)
    store.save_recipe("team/mood", pin(store, "2*team/love@1 + team/calm"))
    store.set_alias("team/love@1", "prod")
    store.set_alias("team/love@2", "prod")
    store.set_alias("team/love@1", "old")
    store.set_label("team/love@1", "topic", "weddings")
    store.set_label("team/love@1", "by", "ann")
    store.remove_label("team/love@1", "by")
    store.set_preset("team/love@1", "strong", "0.1r")
    store.set_description("team/calm@1", "Calm.")
    store.yank("team/love@2", "too strong")
    store.deprecate("team/love@1", "use calm")
    store.delete("team/gone@1", "not needed")
    return store


def test_a_namespace_becomes_what_it_is_there(library: Library, team: Store, mine: Store):
    synced = sync(library, mine, "team")
    assert sorted(synced.new) == ["team/calm@1", "team/love@1", "team/love@2", "team/mood@1"]
    assert synced.conflicts == []
    assert contents(mine) == contents(team)
    assert check(mine, full=True).ok
    again = sync(library, mine, "team")
    assert (again.new, again.changed, again.aliases, again.seq) == ([], [], [], synced.seq)


def test_pages_are_followed_to_their_end(library: Library, team: Store, mine: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vectorstore.client.library.AT_ONCE", 3)
    sync(library, mine, "team")
    assert contents(mine) == contents(team)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("subject", "other/love@1"),
        ("subject", "team/../x@1"),
        ("subject", "team/love"),
        ("before", {"alias": "../x", "version": 1}),
        ("hash", "x"),
    ],
)
def test_events_that_cannot_be_are_refused(library: Library, team: Store, mine: Store, column: str, value: object):
    with team.database.write() as session:
        row = session.scalars(select(EventRow).where(EventRow.action == "alias.set").order_by(EventRow.seq)).first()
        setattr(row, column, value)
        if column != "hash":  # by somebody who can count
            before = select(EventRow.hash).where(EventRow.seq == row.seq - 1, EventRow.namespace_id == row.namespace_id)
            row.hash = chained(row, session.scalar(before))
    with pytest.raises(IntegrityError):
        sync(library, mine, "team")
    assert contents(mine) == {}


def test_what_happens_later_follows(library: Library, team: Store, mine: Store):
    sync(library, mine, "team")
    saved(team, "team/love", 5)
    team.set_alias("team/love@3", "prod")
    team.remove_alias("team/love", "old")
    team.remove_label("team/love@1", "topic")
    team.set_preset("team/love@1", "mild", 3)
    team.remove_preset("team/love@1", "strong")
    team.set_description("team/calm@1", "")
    team.restore("team/love@2")
    team.undeprecate("team/love@1")
    team.delete("team/mood@1")
    team.delete("team/calm@1")
    synced = sync(library, mine, "team")
    assert (synced.new, synced.conflicts, synced.kept) == (["team/love@3"], [], [])
    assert sorted(synced.deleted) == ["team/calm@1", "team/mood@1"]
    assert contents(mine) == contents(team)
    assert check(mine, full=True).ok


def test_a_library_on_either_database_follows_and_serves_on(store: Store, mine: Store):
    saved(mine, "team/love", labels={"topic": "love"})
    mine.save_recipe("team/mood", pin(mine, "2*team/love"))
    mine.set_alias("team/love@1", "prod")
    first, second = Server(mine), Server(store)
    try:
        with Connection(Remote("first", first.url), first.admin) as connection:
            assert sync(Library(connection), store, "team").conflicts == []
            mine.set_label("team/love@1", "topic", "weddings")
            assert sync(Library(connection), store, "team").changed == ["team/love@1 label topic"]
        with Connection(Remote("second", second.url), second.admin) as connection:
            assert Library(connection).resolve("team/love@prod").labels == {"topic": "weddings"}
            assert sync(Library(connection), mine, "team").conflicts == []
    finally:
        first.stop()
        second.stop()
    assert contents(store) == contents(mine)
    assert check(store, full=True).ok


class Stopped(BaseException):
    """The program is killed."""


class Mortal(Connection):
    """A connection whose program is killed before a request, or after it."""

    left: int
    after: bool

    @contextmanager
    def _opened(self, method: str, url: str, headers: Any, **request: Any) -> Iterator[Any]:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Stopped
        with super()._opened(method, url, headers, **request) as answer:
            if self.left == 0:
                raise Stopped
            yield answer


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_killed_at_any_request_it_converges(remote: Remote, team: Store, mine: Store):
    with connection_to(remote) as known:
        token = known._authorization["Authorization"].removeprefix("Bearer ")
    killed = 0
    for left in range(1, 100):
        with Mortal(remote, token) as connection:
            connection.left, connection.after = left, left % 2 == 0
            try:
                sync(Library(connection), mine, "team")
            except Stopped:
                killed += 1
                assert check(mine).ok
                continue
        break
    assert killed > 3
    assert contents(mine) == contents(team)
    team.set_alias("team/love@1", "prod")
    with connection_to(remote) as connection:
        assert sync(Library(connection), mine, "team").aliases == ["team/love@prod"]


def test_an_alias_that_both_moved_is_reported_until_it_is_decided(library: Library, team: Store, mine: Store):
    sync(library, mine, "team")
    saved(team, "team/love", 5)
    mine.set_alias("team/love@1", "prod")
    team.set_alias("team/love@3", "prod")
    for _ in range(2):
        (conflict,) = sync(library, mine, "team").conflicts
        assert conflict.what == "team/love@prod"
        assert conflict.here.startswith("team/love@1")
        assert conflict.there.startswith("team/love@3")
        assert mine.resolve("team/love@prod").number == 1
    assert sync(library, mine, "team", choice="theirs").conflicts == []
    assert mine.resolve("team/love@prod").number == 3
    assert sync(library, mine, "team").aliases == []


def test_ours_leaves_it_for_good(library: Library, team: Store, mine: Store):
    sync(library, mine, "team")
    mine.remove_alias("team/love", "prod")
    team.set_alias("team/love@1", "prod")
    (conflict,) = sync(library, mine, "team").conflicts
    assert conflict.here == "nothing"
    assert sync(library, mine, "team", choice="ours").conflicts == []
    assert sync(library, mine, "team").conflicts == []
    with pytest.raises(NotFoundError):
        mine.resolve("team/love@prod")


def test_a_label_that_both_changed_is_a_conflict_and_one_that_only_they_changed_is_not(
    library: Library, team: Store, mine: Store
):
    sync(library, mine, "team")
    mine.set_label("team/love@1", "topic", "mine")
    mine.set_label("team/love@1", "own", "1")
    team.set_label("team/love@1", "topic", "theirs")
    team.set_label("team/love@1", "by", "bob")
    synced = sync(library, mine, "team")
    assert [(each.what, each.here, each.there) for each in synced.conflicts] == [
        ("team/love@1 label topic", "mine", "theirs")
    ]
    assert mine.resolve("team/love@1").labels == {"topic": "mine", "own": "1", "by": "bob"}
    sync(library, mine, "team", choice="theirs")
    assert mine.resolve("team/love@1").labels == {"topic": "theirs", "own": "1", "by": "bob"}


def test_what_was_pulled_before_is_no_conflict(library: Library, team: Store, mine: Store):
    pull(library, mine, [library.resolve("team/love@prod")], aliases=["prod"])
    pull(library, mine, [library.resolve("team/mood")])
    team.set_alias("team/love@1", "prod")
    assert sync(library, mine, "team").conflicts == []
    assert contents(mine) == contents(team)


def test_a_number_that_is_taken_here_is_a_conflict_and_theirs_renumbers(library: Library, team: Store, mine: Store):
    own = saved(mine, "team/love", 77)
    conflicts = sync(library, mine, "team").conflicts
    assert "team/love@1" in [each.what for each in conflicts]
    assert mine.resolve("team/love@1") == own
    assert sync(library, mine, "team", choice="theirs").conflicts == []
    theirs = team.resolve("team/love@1")
    found = mine.resolve(f"team/love@{theirs.digest}")
    assert found.labels == theirs.labels
    assert found.number == 3
    assert mine.resolve("team/love@old").digest == theirs.digest


def test_deleted_there_stays_here_where_it_is_made_pinned_or_named_here(library: Library, team: Store, mine: Store):
    saved(mine, "team/calm", 2)
    sync(library, mine, "team")
    saved(team, "team/love", 5)
    sync(library, mine, "team")
    mine.save_recipe("own", pin(mine, "team/love@1"))
    mine.set_alias("team/love@3", "best")
    for reference in ("team/mood@1", "team/calm@1", "team/love@1", "team/love@2", "team/love@3"):
        team.delete(reference)
    synced = sync(library, mine, "team")
    assert sorted(synced.deleted) == ["team/love@2", "team/mood@1"]
    kept = dict(synced.kept)
    assert kept["team/calm@1"] == "it was made here"
    assert "needed by own@1" in kept["team/love@1"]
    assert kept["team/love@3"] == "it is @best here"
    assert mine.resolve("team/love@3").aliases == ("best",)


def test_a_history_that_was_altered_is_not_followed(library: Library, team: Store, mine: Store):
    with team.database.write() as session:
        session.execute(update(EventRow).where(EventRow.seq == 3, EventRow.action == "version.save").values(actor="x"))
    before = contents(mine)
    with pytest.raises(IntegrityError, match=r"event 3 of team is missing, or was altered; .*--again"):
        sync(library, mine, "team")
    assert contents(mine) == before


def test_a_namespace_that_is_hidden_is_not_there(library: Library, mine: Store):
    with pytest.raises(NotFoundError):
        sync(library, mine, "nowhere")


def test_two_at_once_are_refused(library: Library, team: Store, mine: Store):  # noqa: ARG001 - something to follow
    from vectorstore.client.cursor import alone  # noqa: PLC0415

    with alone(mine, library.remote, "team"), pytest.raises(ConflictError, match="being followed already"):
        sync(library, mine, "team")
