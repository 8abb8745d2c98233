"""Lock files: what they pin is the same on another machine, with a server or without, whatever moved meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.conftest import connection_to
from tests.client.made import saved
from tests.client.server import Server
from vectorstore.client.library import Library
from vectorstore.client.lock import check_lock, locked, make_lock, pull_locked, read_lock
from vectorstore.client.push import Target, push
from vectorstore.client.remote import Remote, read_remotes
from vectorstore.client.remotes import Remotes
from vectorstore.compose import compose, pin
from vectorstore.errors import ConflictError, IntegrityError, NotFoundError
from vectorstore.settings import Settings
from vectorstore.store import Store

EXPRESSION = "acme//team/love@prod:strong + calm"


@pytest.fixture
def own(mine: Store, remote: Remote, store: Store) -> Iterator[Store]:
    """Open one's own library, and fill it and the team's."""
    saved(store, "team/love", presets={"strong": 2})
    store.set_alias("team/love@1", "prod")
    saved(mine, "calm", 9)
    with connection_to(remote) as connection:
        push(mine, Library(connection), ["calm"], Target("acme", "team"))
    with Store.open(remotes=Remotes()) as opened:
        yield opened


@pytest.fixture
def path(own: Store, tmp_path: Path) -> Path:
    """Write a lock file."""
    lock = make_lock(own, {"mood": pin(own, EXPRESSION)}, read_remotes(Settings.load().home))
    lock.save(tmp_path / "steer.lock")
    return tmp_path / "steer.lock"


@pytest.fixture
def other(tmp_path: Path, sqlite_template: Path) -> Iterator[Store]:
    """Open the library of another machine."""
    (tmp_path / "other.db").write_bytes(sqlite_template.read_bytes())
    with Store.open(f"sqlite:///{tmp_path}/other.db", blobs=str(tmp_path / "other")) as opened:
        yield opened


def test_another_machine_composes_what_was_locked(own: Store, store: Store, path: Path, other: Store, remote: Remote):
    before = compose(own, EXPRESSION).places
    lock = read_lock(path)
    assert sorted(each.reference for each in lock.versions) == ["default/calm@1", "team/love@1"]
    assert {(each.remote, each.there) for each in lock.versions} == {("acme", "team/calm"), ("acme", "team/love")}
    assert check_lock(lock, other) == [each.reference for each in lock.versions]
    saved(store, "team/love", 1)
    store.set_alias("team/love@2", "prod")
    store.set_preset("team/love@1", "strong", 9)
    pulled = pull_locked(lock, other, {"acme": remote}, lambda _: _Opened(remote))
    assert sorted(pulled.new) == ["team/calm@1", "team/love@1"]
    assert check_lock(lock, other) == []
    assert compose(other, locked(path)["mood"]).places == before


class _Opened:
    """A library of a remote, while a block runs."""

    def __init__(self, remote: Remote) -> None:
        self._connection = connection_to(remote)

    def __enter__(self) -> Library:
        return Library(self._connection)

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class TestFile:
    @pytest.fixture
    def backend(self) -> str:
        """Say that the database is SQLite: it makes no difference here."""
        return "sqlite"

    def test_it_needs_no_server(self, own: Store, path: Path, server: Server):
        server.stop()
        assert check_lock(read_lock(path), own) == []
        assert compose(own, locked(path)["mood"]).places

    def test_the_same_lock_is_the_same_text(self, path: Path):
        before = path.read_bytes()
        read_lock(path).save(path)
        assert path.read_bytes() == before
        assert path.stat().st_mode & 0o777 == 0o644

    def test_a_number_that_is_taken_becomes_another_one(self, path: Path, other: Store, remote: Remote):
        saved(other, "team/love", 77)
        pull_locked(read_lock(path), other, {"acme": remote}, lambda _: _Opened(remote))
        assert check_lock(read_lock(path), other) == []
        assert compose(other, locked(path)["mood"]).places

    def test_damaged_bytes_are_found(self, own: Store, path: Path, tmp_path: Path):
        blob = own.resolve("calm").blobs[0].digest[7:]
        file = tmp_path / "home" / "blobs" / "sha256" / blob[:2] / blob
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        with pytest.raises(IntegrityError):
            check_lock(read_lock(path), own)

    def test_a_remote_is_only_trusted_where_it_is_known(self, path: Path, other: Store, remote: Remote):
        lock = read_lock(path)
        with pytest.raises(NotFoundError, match=f"steer remote add acme {remote.url}"):
            pull_locked(lock, other, {}, lambda _: _Opened(remote))
        with pytest.raises(ConflictError, match="in the lock file"):
            pull_locked(lock, other, {"acme": Remote("acme", "https://a.com")}, lambda _: _Opened(remote))

    def test_what_is_on_no_remote_says_so(self, own: Store, other: Store, remote: Remote):
        saved(own, "secret", 5)
        lock = make_lock(own, {"x": pin(own, "secret")}, {"acme": remote})
        assert lock.versions[0].remote is None
        with pytest.raises(NotFoundError, match="secret@1 was on no remote"):
            pull_locked(lock, other, {"acme": remote}, lambda _: _Opened(remote))

    @pytest.mark.parametrize(
        "change",
        [
            {"version": 2},
            {"new": 1},
            {"versions": [{}]},
            {"expressions": {"mood": {"text": "x"}}},
            {"remotes": {"acme": 1}},
        ],
    )
    def test_a_file_that_is_none_is_refused(self, path: Path, change: dict[str, object]):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(IntegrityError):
            locked(path)

    def test_a_changed_expression_is_found(self, own: Store, path: Path):
        path.write_text(path.read_text().replace(":strong + calm", ":strong - calm"))
        assert check_lock(read_lock(path), own) == []  # other numbers are another expression, and a sound one
        path.write_text(path.read_text().replace(":strong - calm", ":strong - love"))
        with pytest.raises(IntegrityError, match="contradicts itself"):
            check_lock(read_lock(path), own)

    def test_a_missing_file_is_not_found(self, tmp_path: Path):
        with pytest.raises(NotFoundError, match="there is no"):
            locked(tmp_path / "nothing.lock")
