"""What cannot be reached or written gives one line, and leaves nothing half done."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.builders import make_card, make_vector
from tests.store.writers import run, save_on_a_full_disk
from vectorstore.errors import IntegrityError, InvalidInputError, UnavailableError, exit_code
from vectorstore.store import Store


def refused(action: object, *arguments: object, **options: object) -> str:
    """Return the line of an action that must end with exit code 7."""
    with pytest.raises(UnavailableError) as caught:
        action(*arguments, **options)  # type: ignore[operator]
    assert exit_code(caught.value) == 7
    assert "\n" not in str(caught.value)
    return str(caught.value)


def save_love(store: Store) -> None:
    store.save("love", make_vector(), make_card(make_vector()))


def test_a_blobs_folder_that_is_a_file_refuses_to_save_and_keeps_the_library_whole(store: Store, blobs_folder: Path):
    blobs_folder.write_text("in the way")
    assert "the library cannot be used" in refused(save_love, store)
    assert store.list().versions == ()
    blobs_folder.unlink()
    save_love(store)
    assert store.resolve("love").number == 1


def test_a_failure_between_the_blobs_and_the_version_leaves_no_version(store: Store, blobs_folder: Path):
    (blobs_folder / "tmp").mkdir(parents=True)
    (blobs_folder / "sha256").write_text("in the way")
    refused(save_love, store)
    assert store.list().versions == ()
    assert not list(blobs_folder.glob("tmp/*"))
    (blobs_folder / "sha256").unlink()
    save_love(store)
    assert store.read("love")[0] == make_vector()


def test_a_full_disk_is_unavailable_and_loses_nothing(store: Store, library_url: str, blobs_folder: Path, backend: str):
    save_love(store)
    # SQLite's log is a file too: it has room for the first transaction and not for the second, or for neither.
    for limit in (1000, 20_000, 70_000)[: 3 if backend == "sqlite" else 1]:
        assert run(save_on_a_full_disk, library_url, str(blobs_folder), limit) == 7
        assert [version.reference for version in store.history("love")] == ["love@1"]
        assert not list(blobs_folder.glob("tmp/*"))
    vector = make_vector(seed=1)
    assert store.save("love", vector, make_card(vector)).version.number == 2
    assert store.read("love@1")[0] == make_vector()


def test_a_folder_below_a_file_is_unavailable(tmp_path: Path):
    (tmp_path / "file").touch()
    line = refused(Store.open, f"sqlite:///{tmp_path}/file/library.db")
    assert str(tmp_path / "file") in line


def test_a_postgresql_that_is_not_there_is_unavailable_and_its_password_stays_secret():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers here
        port = taken.getsockname()[1]
        line = refused(Store.open, f"postgresql+psycopg://ada:hunter2@127.0.0.1:{port}/library")
    assert f"the database postgresql://127.0.0.1:{port}/library cannot be used" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ada:hunter2@host/db",
        "postgresql://ada:hunter2@host:port/db",
        "hunter2",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////tmp/x.db?password=hunter2",
    ],
)
def test_a_url_that_cannot_be_is_invalid_and_not_repeated(url: str):
    with pytest.raises(InvalidInputError, match="write sqlite:") as caught:
        Store.open(url)
    assert "hunter2" not in str(caught.value)


def test_a_file_in_the_home_of_nobody_is_invalid(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="is no path"):
        Store.open("sqlite:///~nobody-has-this-name/library.db", blobs=str(tmp_path))


def test_postgresql_without_its_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "pip install 'steering-vectorstore[postgresql]'" in refused(Store.open, "postgresql://localhost/library")


def test_blobs_in_a_place_of_an_unknown_kind_are_refused_before_a_library_is_made(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="'ftp:'"):
        Store.open(f"sqlite:///{tmp_path}/library.db", blobs="ftp://host/blobs")
    assert not list(tmp_path.glob("library*"))


def test_blobs_may_be_given_as_a_file_url(tmp_path: Path):
    with Store.open(f"sqlite:///{tmp_path}/library.db", blobs=f"file://{tmp_path}/my%20blobs") as store:
        save_love(store)
    assert len(list(tmp_path.glob("my blobs/sha256/*/*"))) == 2


def test_blobs_lie_beside_the_sqlite_file_by_default(tmp_path: Path):
    with Store.open(f"sqlite:///{tmp_path}/one/library.db") as store:
        save_love(store)
    assert len(list(tmp_path.glob("one/blobs/sha256/*/*"))) == 2


@pytest.fixture
def read_only(tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have a library with one vector, in a folder that says it cannot be written (permissions do not bind root)."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "library.db")
    url = f"sqlite:///{folder}/library.db"
    with Store.open(url) as store:
        save_love(store)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and may(path, mode))
    return url


def test_a_read_only_library_can_be_listed_and_read_but_not_changed(read_only: str, tmp_path: Path):
    before = sorted(tmp_path.rglob("*"))
    with Store.open(read_only) as store:
        assert [version.reference for version in store.list()] == ["love@1"]
        assert store.read("love")[0] == make_vector()
        assert "cannot be used (attempt to write a readonly database)" in refused(save_love, store)
        refused(store.set_alias, "love", "prod")
        assert store.list(text="love").versions[0].aliases == ()
    assert sorted(tmp_path.rglob("*")) == before


def add_label(url: str, key: str) -> None:
    """Label the vector as a program does that may write here."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as other, other:
        other.execute("INSERT INTO labels (version_id, key, value) VALUES (1, ?, 'x')", (key,))
        other.execute("UPDATE summaries SET summary = json_set(summary, '$.labels.' || ?, 'x')", (key,))


def test_a_read_only_library_shows_what_others_write(read_only: str):
    with Store.open(read_only) as store:
        for number in range(3):
            add_label(read_only, f"key{number}")
            assert len(store.resolve("love").labels) == number + 1


def test_what_is_written_while_a_read_only_library_is_read_does_not_pass_as_read(read_only: str):
    with Store.open(read_only) as store:
        with pytest.raises(UnavailableError, match=r"another program is writing .*; try again"):
            with store.database.read():
                add_label(read_only, "topic")
        with pytest.raises(UnavailableError, match=r"another program is writing .*; try again"):
            with store.database.read():
                add_label(read_only, "other")
                raise IntegrityError("malformed")
        assert set(store.resolve("love").labels) == {"topic", "other"}


def test_a_database_that_another_program_keeps_locked_is_waited_for_then_unavailable(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("vectorstore.store.engine._PRAGMAS", ("busy_timeout=50",))
    shutil.copy(sqlite_template, tmp_path / "library.db")
    other = sqlite3.connect(tmp_path / "library.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Store.open(f"sqlite:///{tmp_path}/library.db") as store:
        assert "database is locked" in refused(save_love, store)
        other.execute("ROLLBACK")
        other.close()
        save_love(store)
