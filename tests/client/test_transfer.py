"""Transfers: what was cut goes on where it was, in this process and the next one, and is checked to the last byte."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.client.conftest import connection_to
from tests.client.made import saved
from tests.client.scripted import Answer, Scripted
from tests.client.server import Server
from tests.object_server import S3Server, Wire, use_s3
from vectorstore.client import download as downloads
from vectorstore.client import upload as uploads
from vectorstore.client.connection import Connection
from vectorstore.client.credentials import keep_token
from vectorstore.client.files import sweep
from vectorstore.client.library import Library
from vectorstore.client.pull import pull
from vectorstore.client.push import Target, push
from vectorstore.client.remote import Remote
from vectorstore.errors import IntegrityError, UnavailableError, VectorstoreError
from vectorstore.manifest import VECTOR_BLOB, BlobEntry
from vectorstore.settings import Settings
from vectorstore.store import Store
from vectorstore.store.upkeep.fsck import check

TEAM = Target("acme", "team")
WIDTH = 100_000  # two layers of 400 kB


@pytest.fixture
def backend() -> str:
    """Say that the database is SQLite: it makes no difference here."""
    return "sqlite"


class Watched(Connection):
    """A connection that remembers its requests, and breaks before some of them."""

    log: list[tuple[str, str, dict[str, str]]]
    break_at: int = 0

    @contextmanager
    def _opened(self, method: str, url: str, headers: Any, **request: Any) -> Iterator[Any]:
        self.log.append((method, url.removeprefix(self.remote.url), dict(headers)))
        if len(self.log) == self.break_at:
            raise UnavailableError("the network is gone", "find it")
        with super()._opened(method, url, headers, **request) as answer:
            yield answer

    def count(self, method: str, part: str) -> int:
        """Return how many requests of a method had this in their path."""
        return sum(each[0] == method and part in each[1] for each in self.log)


@contextmanager
def watched(remote: Remote, break_at: int = 0) -> Iterator[Watched]:
    with connection_to(remote) as known:
        token = known._authorization["Authorization"].removeprefix("Bearer ")
    with Watched(remote, token) as connection:
        connection.log, connection.break_at = [], break_at
        yield connection


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send and fetch in parts what would be sent in one piece."""
    monkeypatch.setattr(uploads, "PART", 100_000)
    monkeypatch.setattr(downloads, "LARGE", 100_000)
    monkeypatch.setattr(downloads, "PIECE", 10_000)


@pytest.fixture
def wired(server: Server, remote: Remote) -> Iterator[tuple[Wire, Remote]]:
    """Give a remote that is reached through a wire that can be cut."""
    wire = Wire(server.port)
    home = Settings.load().home
    cut = Remote("acme", wire.url)
    with connection_to(remote) as known:
        keep_token(home, cut, known._authorization["Authorization"].removeprefix("Bearer "))
    yield wire, cut
    wire.close()


def test_many_small_versions_take_a_request_each_and_two_for_all(remote: Remote, mine: Store):
    names = [saved(mine, f"v{number}", number).name for number in range(5)]
    with watched(remote) as connection:
        assert len(push(mine, Library(connection), names, TEAM).new) == 5
    assert [method for method, *_ in connection.log] == ["POST"] * 2 + ["PUT"] * 5


@pytest.mark.usefixtures("parts")
def test_an_upload_goes_on_in_another_process(remote: Remote, mine: Store, store: Store):
    sent = saved(mine, width=WIDTH)
    with watched(remote, break_at=8) as connection, pytest.raises(UnavailableError):
        push(mine, Library(connection), ["love"], TEAM)
    first = connection.count("PATCH", "/uploads/")
    assert 0 < first < 8
    with watched(remote) as connection:
        pushed = push(mine, Library(connection), ["love"], TEAM)
    assert pushed.new == {"love@1": "team/love@1"}
    assert 0 < pushed.sent <= sent.blobs[0].size - 100_000
    assert connection.count("POST", "/uploads") == 1  # the end, and no second beginning
    assert connection.count("PATCH", "/uploads/") + first == 9 + 1  # the broken one is sent again
    assert store.read("team/love")[0] == mine.read("love")[0]
    assert check(store, full=True).ok
    assert not list((Settings.load().cache / uploads.FOLDER).iterdir())
    assert store.resolve("team/love").digest == sent.digest


@pytest.mark.usefixtures("parts")
def test_an_upload_that_expired_begins_anew(remote: Remote, mine: Store):
    saved(mine, width=WIDTH)
    with watched(remote, break_at=8) as connection, pytest.raises(UnavailableError):
        push(mine, Library(connection), ["love"], TEAM)
    (note,) = (Settings.load().cache / uploads.FOLDER).iterdir()
    note.write_text("0" * 32)
    with watched(remote) as connection:
        assert push(mine, Library(connection), ["love"], TEAM).new
    assert connection.count("POST", "/uploads") == 2


class Deaf(Watched):
    """A connection that loses the first answer to a part, which has arrived."""

    @contextmanager
    def _opened(self, method: str, url: str, headers: Any, **request: Any) -> Iterator[Any]:
        with super()._opened(method, url, headers, **request) as answer:
            if method == "PATCH" and self.count("PATCH", "/uploads/") == 1:
                raise httpx2.ReadError("lost")
            yield answer


@pytest.mark.usefixtures("parts")
def test_a_part_whose_answer_was_lost_is_not_sent_for_good_twice(server: Server, remote: Remote, mine: Store):
    saved(mine, width=WIDTH)
    with Deaf(remote, server.admin) as connection:
        connection.log = []
        assert push(mine, Library(connection), ["love"], TEAM).new
    offsets = [each[2]["Upload-Offset"] for each in connection.log if each[0] == "PATCH"]
    assert offsets[:3] == ["0", "0", "100000"]
    assert connection.count("GET", "/uploads/") == 1
    assert check(server.store, full=True).ok


@pytest.mark.usefixtures("parts")
def test_an_upload_goes_on_after_a_cut(wired: tuple[Wire, Remote], mine: Store):
    wire, remote = wired
    saved(mine, width=WIDTH)
    wire.fuse = (450_000, lambda: None)
    with connection_to(remote) as connection:
        assert push(mine, Library(connection), ["love"], TEAM).new
    assert wire.connections > 1


@pytest.mark.parametrize("large", [True, False])
def test_a_download_goes_on_after_cuts(
    request: pytest.FixtureRequest, wired: tuple[Wire, Remote], mine: Store, store: Store, *, large: bool
):
    if large:
        request.getfixturevalue("parts")
    wire, remote = wired
    sent = saved(store, "team/love", width=WIDTH)
    wire.answers = [300_000, 200_000, 100_000]
    with watched(remote) as connection:
        pull(Library(connection), mine, [Library(connection).resolve("team/love")])
    ranges = [each[2].get("Range") for each in connection.log if "/blobs/" in each[1]]
    assert ranges[0] is None
    assert len(ranges) > 2
    assert all(each is not None for each in ranges[1:])
    assert mine.resolve("team/love").digest == sent.digest
    assert check(mine, full=True).ok


@pytest.mark.usefixtures("parts")
def test_a_download_goes_on_in_another_process(wired: tuple[Wire, Remote], mine: Store, store: Store):
    wire, remote = wired
    saved(store, "team/love", width=WIDTH)
    wire.answers = [300_000] + [1] * 20
    with watched(remote) as connection, pytest.raises(UnavailableError):
        pull(Library(connection), mine, [Library(connection).resolve("team/love")])
    (part,) = (Settings.load().cache / downloads.FOLDER).glob("*.part")
    present = part.stat().st_size
    assert present > 100_000
    assert list(mine.blobs.all()) == []
    wire.answers = []
    with watched(remote) as connection:
        pull(Library(connection), mine, [Library(connection).resolve("team/love")])
    (asked,) = [each[2] for each in connection.log if "/blobs/" in each[1]]
    assert asked["Range"] == f"bytes={present}-"
    assert check(mine, full=True).ok
    assert not part.exists()


@pytest.mark.usefixtures("parts")
def test_a_part_that_was_damaged_meanwhile_is_thrown_away(wired: tuple[Wire, Remote], mine: Store, store: Store):
    _, remote = wired
    sent = saved(store, "team/love", width=WIDTH)
    folder = Settings.load().cache / downloads.FOLDER
    folder.mkdir(parents=True)
    (folder / f"{sent.blobs[0].digest.removeprefix('sha256:')}.part").write_bytes(b"x" * 200_000)
    with connection_to(remote) as connection:
        there = Library(connection).resolve("team/love")
        with pytest.raises(IntegrityError, match="other bytes"):
            pull(Library(connection), mine, [there])
        assert pull(Library(connection), mine, [there]).new == ["team/love@1"]


def test_a_download_comes_from_the_bucket_itself(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, mine: Store, sqlite_template: Path
):
    use_s3(monkeypatch, s3_server.url)
    s3_server.make_bucket("presigned")
    (tmp_path / "team.db").write_bytes(sqlite_template.read_bytes())
    with Store.open(f"sqlite:///{tmp_path}/team.db", blobs="s3://presigned/blobs") as team:
        server = Server(team, presign=60)
        try:
            sent = saved(team, "team/love", width=1000)
            remote = Remote("acme", server.url)
            with Watched(remote, server.admin) as connection:
                connection.log = []
                pull(Library(connection), mine, [Library(connection).resolve("team/love")])
        finally:
            server.stop()
    (bucket,) = [each for each in connection.log if s3_server.url in each[1]]
    assert "Authorization" not in bucket[2]
    assert mine.resolve("team/love").digest == sent.digest
    assert check(mine, full=True).ok


ENTRY = BlobEntry.of(VECTOR_BLOB, bytes(range(100)))


@pytest.mark.parametrize("size", [60, 140])
@pytest.mark.parametrize("large", [True, False])
def test_too_few_bytes_and_too_many_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, *, large: bool
):
    monkeypatch.setattr(downloads, "LARGE", 10 if large else 1000)
    server = Scripted(Answer(body=(bytes(range(100)) * 2)[:size]))
    try:
        with Connection(Remote("acme", server.url)) as connection, pytest.raises(VectorstoreError):
            list(downloads.download(connection, "team", ENTRY, tmp_path))
    finally:
        server.close()
    assert len(server.asked) < 10


def test_a_server_that_knows_no_ranges_sends_all_again(tmp_path: Path):
    whole = bytes(range(100))
    short = Answer(200, whole[:60], {"Content-Length": "100", "Connection": "close"})
    server = Scripted(short, Answer(body=whole))
    try:
        with Connection(Remote("acme", server.url)) as connection:
            connection.patience = type(connection.patience)(attempts=4, idle=1)
            assert b"".join(downloads.download(connection, "team", ENTRY, tmp_path)) == whole
    finally:
        server.close()
    assert [asked.headers.get("Range") for asked in server.asked] == [None, "bytes=60-"]


def test_what_was_given_up_long_ago_is_swept(tmp_path: Path):
    for name, age in (("old.part", 8 * 86400), ("new.part", 6 * 86400), ("ab.lock", 100 * 86400)):
        path = tmp_path / "kept" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    sweep(tmp_path / "kept")
    sweep(tmp_path / "nothing")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["ab.lock", "new.part"]
