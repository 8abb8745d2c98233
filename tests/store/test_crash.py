"""Killed in the middle of any work: nothing that was acknowledged is lost, and nothing dangles."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.builders import make_card, make_vector
from tests.store import fuse
from tests.store.emptied import empty
from tests.store.fuse import killed, open_until_killed
from tests.store.writers import run
from vectorstore.errors import NotFoundError
from vectorstore.store import Store
from vectorstore.store.schema import BlobRow
from vectorstore.store.upkeep.backup import backup
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.upkeep.gc import collect
from vectorstore.store.upkeep.rebuild import rebuild

KEPT = 6
SQLITE = pytest.mark.parametrize("backend", ["sqlite"])


class Library:
    """A library that is opened anew after each kill, and whose acknowledged versions are known by their digests."""

    def __init__(self, url: str, blobs: Path) -> None:
        self.url = url
        self.blobs = blobs
        self.acknowledged: dict[str, str] = {}
        self.seeds = count(10_000)

    def open(self) -> Store:
        return Store.open(self.url, blobs=str(self.blobs), create=False)

    def save(self, name: str = "love") -> str:
        """Save a vector that was not saved before, and remember that it was acknowledged."""
        with self.open() as store:
            return self._save(store, name)

    def kills(self, action: fuse.Action, prepare: Callable[[], str] = str) -> Iterator[tuple[str, str]]:
        """Kill an action at each of its steps in turn, until it comes to its end; yield its argument and answer."""
        for step in count(1):
            argument = prepare()
            was_killed, said = killed(step, self.url, self.blobs, action, argument)
            yield argument, said
            if not was_killed:
                return

    def check(self, said: str = "") -> None:
        """Find everything sound, all in it that was acknowledged, and saving possible."""
        with self.open() as store:
            assert check(store, full=True).problems == []  # bytes and digests, rows and bytes, events and their chain
            if said:
                self.acknowledged[said] = store.resolve(said).digest
            for reference, digest in self.acknowledged.items():
                assert store.resolve(reference).digest == digest
            self._save(store, "love")
            if len(self.acknowledged) > KEPT:  # an old one goes, so that looking at all of them stays quick
                old = list(self.acknowledged)[1]
                self.acknowledged.pop(old)
                store.delete(old)

    def _save(self, store: Store, name: str) -> str:
        vector = make_vector(3, seed=next(self.seeds))
        version = store.save(name, vector, make_card(vector)).version
        self.acknowledged[str(version)] = version.digest
        return str(version)


@pytest.fixture
def library(library_url: str, blobs_folder: Path) -> Library:
    made = Library(library_url, blobs_folder)
    made.save()
    return made


def is_there(library: Library, reference: str) -> bool:
    with library.open() as store:
        try:
            store.read(reference)
        except NotFoundError as error:
            return "was deleted on" not in error.problem
    return True


def age(store: Store) -> None:
    """Let the leases of all blobs have ended a day ago."""
    with store.database.write() as session:
        session.execute(update(BlobRow).values(leased_until=datetime.now(UTC) - timedelta(days=1)))


def test_a_save_killed_at_any_step_loses_nothing(library: Library):
    seeds = count()
    answers = []
    for _, said in library.kills(fuse.save, lambda: str(next(seeds))):
        library.check(said)
        answers.append(said)
    assert len(answers) > 25  # 3 blobs, each with its file, its name and its folder; 2 commits; before and after each
    assert [bool(said) for said in answers] == [False] * (len(answers) - 1) + [True]


def test_a_save_of_a_recipe_killed_at_any_step_loses_nothing(library: Library):
    coefficients = count(2)
    for coefficient, said in library.kills(fuse.save_recipe, lambda: str(next(coefficients))):
        library.check(said)
        last = coefficient
    assert int(last) > 15
    with library.open() as store:
        assert store.read_recipe("mix").text == f"{last}*love@1"


def test_a_deletion_killed_at_any_step_is_done_or_not(library: Library):
    kills = 0
    for reference, said in library.kills(fuse.delete, lambda: library.save("doomed")):
        digest = library.acknowledged.pop(reference)
        if is_there(library, reference):
            assert not said
            library.acknowledged[reference] = digest
        library.check()
        kills += 1
    assert kills == 3
    assert said
    with library.open() as store:
        age(store)
        collect(store, apply=True, grace=timedelta(0))
    library.check()


@pytest.mark.parametrize("action", [fuse.yank, fuse.set_alias])
def test_a_change_killed_at_any_step_is_done_or_not(library: Library, action: fuse.Action):
    done = []
    for reference, said in library.kills(action, lambda: library.save("other")):
        library.check()
        with library.open() as store:
            version = store.resolve(reference)
            done.append(version.yanked or "prod" in version.aliases)
        assert done[-1] or not said
    assert done == [False, True, True]  # killed before the commit, and after it


def test_a_gc_killed_at_any_step_takes_nothing_that_is_needed(library: Library, blobs_folder: Path):
    def prepare() -> str:
        doomed = library.save("doomed")
        library.acknowledged.pop(doomed)
        with library.open() as store:
            store.delete(doomed)
            age(store)
        return ""

    kills = 0
    for _ in library.kills(fuse.take_away, prepare):
        library.check()
        with library.open() as store:
            age(store)
            collect(store, apply=True, grace=timedelta(0))
            checked = check(store, full=True)
        assert checked.problems == []
        assert checked.blobs == checked.files == len(list(blobs_folder.glob("sha256/*/*")))
        kills += 1
    assert kills > 8  # 2 files, each with its folder, and the commit


def history(store: Store) -> list[str]:
    return [str(version) for version in store.history("love", limit=1000)]


@SQLITE
def test_a_backup_killed_at_any_step_leaves_the_one_before_or_is_done(library: Library, tmp_path: Path):
    with library.open() as store:
        backup(store, str(tmp_path / "old"))
    library.save()

    def prepare() -> str:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(tmp_path / "old", tmp_path / "copy")
        return str(tmp_path / "copy")

    copies = []
    for folder, said in library.kills(fuse.make_backup, prepare):
        with Store.open(f"sqlite:///{folder}/library.db", blobs=f"{folder}/blobs", create=False) as copy:
            assert [p for p in check(copy, full=True).problems if p.kind != "orphan"] == []
            copies.append(len(history(copy)))
            assert copies[-1] == 2 or not said
        with library.open() as store:
            assert backup(store, folder).versions == 2
        with Store.open(f"sqlite:///{folder}/library.db", blobs=f"{folder}/blobs", create=False) as copy:
            assert check(copy, full=True).ok
    assert len(copies) > 25  # 2 blobs as in a save, and the database
    assert copies == sorted(copies)
    assert set(copies) == {1, 2}
    library.check()


@SQLITE
def test_a_first_backup_that_is_killed_can_be_done_again(library: Library, tmp_path: Path):
    for step in (1, 5, 20, 30):
        folder = str(tmp_path / f"copy{step}")
        assert killed(step, library.url, library.blobs, fuse.make_backup, folder) == (True, "")
        with library.open() as store:
            assert backup(store, folder).versions == 1
        with Store.open(f"sqlite:///{folder}/library.db", blobs=f"{folder}/blobs", create=False) as copy:
            assert check(copy, full=True).ok


def test_a_rebuild_killed_at_any_step_can_be_done_again(
    library: Library, tmp_path: Path, blobs_folder: Path, sqlite_template: Path
):
    library.save()
    lost = set(library.acknowledged.values())
    shutil.copytree(blobs_folder, tmp_path / "kept")

    def prepare() -> str:
        empty(library.url, sqlite_template)
        shutil.rmtree(blobs_folder)
        shutil.copytree(tmp_path / "kept", blobs_folder)
        library.acknowledged.clear()
        return ""

    kills = 0
    for _ in library.kills(fuse.make_again, prepare):
        with library.open() as store:
            rebuild(store)
            assert {version.digest for version in store.history("love")} == lost
        library.check()
        kills += 1
    assert kills > 8  # 2 versions with 2 commits each; before and after them


def test_a_killed_save_can_be_done_again(library_url: str, blobs_folder: Path):
    for step in (3, 9, 20):
        assert killed(step, library_url, blobs_folder, fuse.save, "3")[0]
    with Store.open(library_url, blobs=str(blobs_folder)) as store:
        assert store.list().versions == ()
        vector = make_vector((2, 3), seed=3)
        assert store.save("love", vector, make_card(vector)).version.number == 1
        assert store.read("love")[0] == vector


def test_a_first_opening_that_is_killed_can_be_done_again(empty_url: str, blobs_folder: Path):
    codes = [run(open_until_killed, empty_url, str(blobs_folder), step) for step in range(1, 5)]
    assert codes.count(-signal.SIGKILL) >= 2
    with Store.open(empty_url, blobs=str(blobs_folder)) as store:
        assert store.save("love", make_vector(), make_card(make_vector())).created
