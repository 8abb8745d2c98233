"""A backup is a library itself, as of one moment, and comes back as it was."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.builders import make_card, make_vector
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.store import Store
from vectorstore.store.blobs.backends import open_blobs
from vectorstore.store.database import downgrade, upgrade
from vectorstore.store.upkeep.backup import backup, restore
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.upkeep.rebuild import rebuild


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


def test_a_backup_is_not_written_over_another_library_nor_over_a_later_state(home: Path, tmp_path: Path):
    with Store.open(f"sqlite:///{tmp_path}/other/library.db") as other:
        save(other, 50, "precious")
    with opened(home) as store:
        backup(store, str(tmp_path / "copy"))
        for folder in ("other", "copy"):
            with opened(tmp_path / folder) as another:
                save(another, 60, "later")
            with pytest.raises(ConflictError, match="holds no older state of this library; name a new folder"):
                backup(store, str(tmp_path / folder))
    with opened(tmp_path / "other") as other:
        assert [version.reference for version in other.list()] == ["later@1", "precious@1"]
    assert not (tmp_path / "other" / "library.db.new").exists()


def test_an_older_backup_that_is_in_use_is_not_replaced_below_its_log(home: Path, tmp_path: Path):
    with opened(home) as store:
        backup(store, str(tmp_path / "copy"))
        save(store, 7)
        with opened(tmp_path / "copy") as copy:
            check(copy, full=True)  # which notes what it has verified, in the copy's log
            with pytest.raises(UnavailableError, match=r"copy/library.db cannot be used .*locked"):
                backup(store, str(tmp_path / "copy"))
            assert len(copy.history("love")) == 3
        assert backup(store, str(tmp_path / "copy")).versions == 4
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["blobs", "library.db"]
    with opened(tmp_path / "copy") as copy:
        assert check(copy, full=True).ok


@pytest.mark.parametrize("ending", ["-wal", "-journal"])
def test_a_restore_beside_the_log_of_a_lost_database_is_refused(home: Path, tmp_path: Path, ending: str):
    with opened(home) as store:
        backup(store, str(tmp_path / "copy"))
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / f"library.db{ending}").write_bytes(b"log")
    with pytest.raises(ConflictError, match=f"library.db{ending} is there, the log of another database; move it away"):
        bring_back(tmp_path / "copy", tmp_path / "back")


def test_a_restore_among_blobs_that_are_left_mends_damaged_ones_and_keeps_others(home: Path, tmp_path: Path):
    with opened(home) as store:
        backup(store, str(tmp_path / "copy"))
        later, damaged = save(store, 7)[7:], store.resolve("love@1").blobs[0].digest[7:]
    path = home / "blobs" / "sha256" / damaged[:2] / damaged
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"X")
    (home / "library.db").unlink()
    assert bring_back(tmp_path / "copy", home).copied == 1
    assert sorted(path.name for path in home.iterdir()) == ["blobs", "library.db"]
    with opened(home) as store:
        assert {problem.kind for problem in check(store, full=True).problems} == {"orphan"}
        assert rebuild(store).versions == ["love@4"]
        assert store.resolve("love").digest == f"sha256:{later}"
        assert check(store, full=True).ok
