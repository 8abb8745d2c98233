"""A backup is a library itself, as of one moment, and comes back as it was."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.builders import make_card, make_vector
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from vectorstore.store import Store
from vectorstore.store.backends import open_blobs
from vectorstore.store.backup import backup, restore
from vectorstore.store.database import downgrade, upgrade
from vectorstore.store.fsck import check


def save(store: Store, seed: int, name: str = "love") -> str:
    vector = make_vector(3, seed=seed)
    return store.save(name, vector, make_card(vector)).version.digest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a library with three versions in a folder of its own."""
    with Store.open(f"sqlite:///{tmp_path}/home/library.db") as store:
        for seed in range(3):
            save(store, seed)
        store.set_alias("love@2", "prod")
    return tmp_path / "home"


def opened(folder: Path) -> Store:
    return Store.open(f"sqlite:///{folder}/library.db", create=False)


def test_a_backup_is_a_library_with_everything_in_it(home: Path, tmp_path: Path):
    with opened(home) as store:
        copied = backup(store, str(tmp_path / "copy"))
        before = [version.to_json() for version in store.history("love")]
    assert (copied.versions, copied.blobs, copied.copied) == (3, 6, 6)
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["blobs", "library.db"]
    with opened(tmp_path / "copy") as copy:
        assert [version.to_json() for version in copy.history("love")] == before
        assert copy.resolve("love@prod").number == 2
        assert check(copy, full=True).ok


def test_the_next_backup_copies_what_is_new(home: Path, tmp_path: Path):
    with opened(home) as store:
        backup(store, str(tmp_path / "copy"))
        save(store, 7)
        store.delete("love@1")
        copied = backup(store, str(tmp_path / "copy"))
        assert (copied.versions, copied.blobs, copied.copied) == (3, 6, 2)
    with opened(tmp_path / "copy") as copy:
        assert [version.number for version in copy.history("love")] == [4, 3, 2]
        assert {problem.kind for problem in check(copy, full=True).problems} == set()


def test_a_backup_that_others_write_beside_is_of_one_moment(home: Path, tmp_path: Path):
    stop = threading.Event()

    def write() -> None:
        with opened(home) as other:
            seed = 100
            while not stop.is_set():
                save(other, seed, "busy")
                seed += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with opened(home) as store:
            for number in range(3):
                backup(store, str(tmp_path / f"copy{number}"))
    finally:
        stop.set()
        writer.join()
    for number in range(3):
        with opened(tmp_path / f"copy{number}") as copy:
            assert check(copy, full=True).ok


def test_a_damaged_blob_stops_the_backup_and_leaves_the_one_before(home: Path, tmp_path: Path):
    with opened(home) as store:
        backup(store, str(tmp_path / "copy"))
        digest = save(store, 7)[7:]
        path = home / "blobs" / "sha256" / digest[:2] / digest
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"X")
        with pytest.raises(IntegrityError, match="is damaged; see `steer fsck --full`"):
            backup(store, str(tmp_path / "copy"))
    with opened(tmp_path / "copy") as copy:
        assert [version.number for version in copy.history("love")] == [3, 2, 1]


def test_a_backup_goes_neither_into_the_library_nor_among_other_things(home: Path, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with opened(home) as store:
        with pytest.raises(ConflictError, match="is the library itself"):
            backup(store, str(home))
        with pytest.raises(ConflictError, match="holds something else"):
            backup(store, str(tmp_path / "photos"))
        assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_library_in_postgresql_is_left_to_its_own_tools(store: Store, tmp_path: Path, backend: str):
    with pytest.raises(InvalidInputError, match=f"{backend}.* use pg_dump".replace(backend, "PostgreSQL")):
        backup(store, str(tmp_path / "copy"))


def bring_back(copy: Path, target: Path):
    return restore(str(copy), f"sqlite:///{target}/library.db", open_blobs(str(target / "blobs"), target))


def test_a_backup_comes_back_as_it_was(home: Path, tmp_path: Path):
    with opened(home) as store:
        backup(store, str(tmp_path / "copy"))
        before = [version.to_json() for version in store.history("love")]
    files = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "copy").rglob("*") if path.is_file())
    assert bring_back(tmp_path / "copy", tmp_path / "new").copied == 6
    assert files == sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "copy").rglob("*") if path.is_file())
    with opened(tmp_path / "new") as store:
        assert [version.to_json() for version in store.history("love")] == before
        assert check(store, full=True).ok
        assert store.save("love", make_vector(3, seed=9), make_card(make_vector(3, seed=9))).version.number == 4


def test_a_backup_does_not_come_back_over_a_library(home: Path, tmp_path: Path):
    with opened(home) as store:
        backup(store, str(tmp_path / "copy"))
    with pytest.raises(ConflictError, match=r"there is a library at .* already"):
        bring_back(tmp_path / "copy", home)
    with pytest.raises(NotFoundError, match="there is no backup in"):
        bring_back(tmp_path / "nothing", tmp_path / "new")


def test_a_damaged_backup_does_not_come_back(home: Path, tmp_path: Path):
    with opened(home) as store:
        backup(store, str(tmp_path / "copy"))
    path = next(iter((tmp_path / "copy").glob("blobs/sha256/*/*")))
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(IntegrityError, match="is damaged"):
        bring_back(tmp_path / "copy", tmp_path / "new")
    assert not (tmp_path / "new" / "library.db").exists()


def test_a_backup_of_an_older_program_comes_back_with_todays_schema(home: Path, tmp_path: Path):
    with opened(home) as store:
        backup(store, str(tmp_path / "copy"))
    url = f"sqlite:///{tmp_path}/copy/library.db"
    downgrade(url, "0001")
    bring_back(tmp_path / "copy", tmp_path / "new")
    with opened(tmp_path / "new") as store:
        assert len(store.history("love")) == 3
    assert upgrade(url) != "0001"
