"""A disk that is really full: one line, exit code 7, nothing lost or half done, all is well once there is space."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.builders import make_card, make_vector
from tests.store.fuse import MANY_ITEMS
from vectorstore.errors import UnavailableError, exit_code
from vectorstore.store import Store
from vectorstore.store.schema import BlobRow
from vectorstore.store.upkeep.backup import backup
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.upkeep.gc import collect

FREE = 4096  # bytes that a full disk has left


class Disk:
    """A small file system of its own, in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.mount("-t", "tmpfs", "-o", "size=4m", "tmpfs")

    def mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.path)], check=True, capture_output=True)  # noqa: S607

    def fill(self, leave: int = 0) -> None:
        """Use all space but about so many bytes."""
        status = os.statvfs(self.path)
        (self.path / "filling").write_bytes(b"x" * (status.f_bavail * status.f_frsize - leave))

    def grow(self) -> None:
        self.mount("-o", "remount,size=16m")

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True, capture_output=True)  # noqa: S607


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")
    try:
        small = Disk(tmp_path / "disk")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"mounting is not allowed here: {error.stderr.decode().strip()}")
    yield small
    small.unmount()


def refused(action: Callable[[], object]) -> None:
    """Require that an action ends with one line and exit code 7."""
    with pytest.raises(UnavailableError) as caught:
        action()
    assert exit_code(caught.value) == 7
    assert "\n" not in str(caught.value)


def save(store: Store, seed: int) -> object:
    vector = make_vector(3, seed=seed)
    return store.save("love", vector, make_card(vector, items=MANY_ITEMS))


def require_sound(store: Store, blobs: Path, newest: int) -> None:
    assert [version.number for version in store.history("love")] == list(range(newest, 0, -1))
    assert store.read(f"love@{newest}")[0] == make_vector(3, seed=newest)
    assert check(store).problems == []
    assert not list(blobs.glob("tmp/*"))


def test_saving_where_blobs_have_no_space(library_url: str, disk: Disk):
    with Store.open(library_url, blobs=f"{disk.path}/blobs") as store:
        save(store, 1)
        for leave in (0, FREE, 20_000, 82_000):
            (disk.path / "filling").unlink(missing_ok=True)
            disk.fill(leave)
            refused(lambda: save(store, 2))
            require_sound(store, disk.path / "blobs", 1)
        disk.grow()
        save(store, 2)
        require_sound(store, disk.path / "blobs", 2)
        assert check(store, full=True).ok


@pytest.fixture
def library(disk: Disk, sqlite_template: Path, tmp_path: Path) -> Iterator[Store]:
    """Open an SQLite library on the small disk, whose blobs have another one."""
    (disk.path / "home").mkdir()
    shutil.copy(sqlite_template, disk.path / "home" / "library.db")
    with Store.open(f"sqlite:///{disk.path}/home/library.db", blobs=f"{tmp_path}/blobs") as store:
        save(store, 1)
        yield store


def test_saving_where_the_database_has_no_space(library: Store, disk: Disk, tmp_path: Path):
    for leave in (0, FREE, 40_000):
        (disk.path / "filling").unlink(missing_ok=True)
        disk.fill(leave)
        refused(lambda: [save(library, 2), save(library, 3)])
        (disk.path / "filling").unlink()
        present = len(library.history("love"))
        require_sound(library, tmp_path / "blobs", present)
    disk.grow()
    save(library, 2)
    save(library, 3)
    require_sound(library, tmp_path / "blobs", 3)
    assert check(library, full=True).ok


def test_gc_where_the_database_has_no_space(library: Store, disk: Disk, tmp_path: Path):
    save(library, 2)
    save(library, 3)
    library.delete("love@3")
    with library.database.write() as session:
        session.execute(update(BlobRow).values(leased_until=datetime.now(UTC) - timedelta(days=2)))
    with library.database.look():  # a reader keeps the log from being begun anew
        disk.fill()
        refused(lambda: [collect(library, apply=True) for _ in range(50)])
    disk.grow()
    collect(library, apply=True)
    require_sound(library, tmp_path / "blobs", 2)
    assert check(library, full=True).files == 5


def test_a_backup_where_the_target_has_no_space(disk: Disk, tmp_path: Path):
    copy = disk.path / "copy"
    with Store.open(f"sqlite:///{tmp_path}/home/library.db") as store:
        save(store, 1)
        backup(store, str(copy))
        save(store, 2)
        for leave in (0, FREE, 200_000):
            (disk.path / "filling").unlink(missing_ok=True)
            disk.fill(leave)
            refused(lambda: backup(store, str(copy)))
            assert not list(copy.glob("blobs/tmp/*"))
            (disk.path / "filling").unlink()
            with Store.open(f"sqlite:///{copy}/library.db", create=False) as before:
                require_sound(before, copy / "blobs", 1)
        disk.grow()
        backup(store, str(copy))
    with Store.open(f"sqlite:///{copy}/library.db", create=False) as copied:
        require_sound(copied, copy / "blobs", 2)
        assert check(copied, full=True).ok


def test_a_backup_where_the_library_itself_has_no_space(library: Store, disk: Disk, tmp_path: Path):
    disk.fill()
    backup(library, str(tmp_path / "copy"))
    with Store.open(f"sqlite:///{tmp_path}/copy/library.db", create=False) as copied:
        require_sound(copied, tmp_path / "copy" / "blobs", 1)
