"""The local folder of blobs."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from vectorstore.canonical import digest
from vectorstore.errors import IntegrityError, InvalidInputError, UnavailableError
from vectorstore.store import Store
from vectorstore.store.blobs.backends import open_blobs
from vectorstore.store.blobs.local_blobs import LocalBlobs


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    """Start with an empty folder."""
    return LocalBlobs(tmp_path / "blobs")


def add(blobs: LocalBlobs, data: bytes) -> str:
    staged = blobs.stage(data)
    staged.publish()
    return staged.digest


def test_bytes_are_found_by_their_digest_in_a_read_only_file(blobs: LocalBlobs):
    name = add(blobs, b"love")
    assert name == digest(b"love")
    path = blobs.root / "sha256" / name[7:9] / name[7:]
    assert path.read_bytes() == b"love"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert blobs.exists(name)
    assert bytes(blobs.open(name, 4)) == b"love"


def test_a_stream_is_counted_and_hashed(blobs: LocalBlobs):
    staged = blobs.stage(part for part in (b"lo", b"v", b"e"))
    assert (staged.digest, staged.size) == (digest(b"love"), 4)


def test_nothing_has_a_name_before_it_is_published(blobs: LocalBlobs):
    staged = blobs.stage(b"love")
    assert not blobs.exists(staged.digest)
    staged.discard()
    staged.discard()
    assert not list((blobs.root / "tmp").iterdir())


def test_what_the_check_refuses_is_not_kept(blobs: LocalBlobs):
    def check(view: memoryview) -> None:
        assert bytes(view) == b"love"
        raise IntegrityError("bad")

    with pytest.raises(IntegrityError, match="bad"):
        blobs.stage(b"love", check)
    assert not list((blobs.root / "tmp").iterdir())


def test_a_stream_that_breaks_leaves_nothing(blobs: LocalBlobs):
    def broken():
        yield b"lo"
        raise ConnectionError("gone")

    with pytest.raises(Exception, match="gone"):
        blobs.stage(broken())
    assert not list((blobs.root / "tmp").iterdir())


def test_no_bytes_are_no_blob(blobs: LocalBlobs):
    with pytest.raises(IntegrityError, match="without bytes"):
        blobs.stage(b"")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the path of everything that is synced, and "rename" where a file gets its name."""
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        done.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def replace(path: Path, target: Path) -> Path:
        done.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    return done


def test_every_file_and_its_folders_are_synced_before_it_is_published(blobs: LocalBlobs, done: list[str]):
    staged = blobs.stage(b"love")
    assert done[-1] == str(staged.path)
    staged.publish()
    folder = staged.target.parent
    renamed = done.index("rename")
    assert set(map(str, folder.parents[:3])) <= set(done[:renamed])
    assert folder.parents[1] == blobs.root
    assert done[renamed:] == ["rename", str(folder)]


def test_a_folder_that_was_synced_into_its_own_is_not_again_unless_it_is_another(blobs: LocalBlobs, done: list[str]):
    staged = blobs.stage(b"love")
    staged.publish()
    folder = staged.target.parent
    done.clear()
    again = blobs.stage(b"love")
    again.publish()
    assert done == [str(again.path), "rename", str(folder)]
    done.clear()
    beside = blobs.stage(b"hate")
    beside.publish()
    assert done == [str(beside.path), str(folder.parent), "rename", str(beside.target.parent)]
    folder.rename(blobs.root / "sha256" / "away")
    (blobs.root / "held").mkdir()  # so that the new folder cannot have the old one's inode
    done.clear()
    blobs.stage(b"love").publish()
    assert str(blobs.root / "sha256") in done


def test_a_folder_that_could_not_be_synced_is_synced_when_it_is_tried_again(
    blobs: LocalBlobs, done: list[str], monkeypatch: pytest.MonkeyPatch
):
    staged, sync = blobs.stage(b"love"), os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == blobs.root:
            raise OSError(errno.EMFILE, "too many")
        sync(descriptor)

    with monkeypatch.context() as failing:
        failing.setattr(os, "fsync", fsync)
        with pytest.raises(UnavailableError):
            staged.publish()
    done.clear()
    staged.publish()
    assert {str(folder) for folder in staged.target.parents[:4]} <= set(done)


def test_folders_that_the_database_made_are_synced_into_theirs(tmp_path: Path, done: list[str]):
    home = tmp_path / "a" / "home"
    with Store.open(f"sqlite:///{home}/library.db"):
        assert {str(tmp_path), str(tmp_path / "a")} <= set(done)


def test_all_lists_every_digest_in_order(blobs: LocalBlobs):
    names = sorted(add(blobs, bytes([number])) for number in range(20))
    (blobs.root / "sha256" / names[0][7:9] / "stray").touch()
    assert [stored.digest for stored in blobs.all()] == names


def test_delete_removes_once_and_does_not_mind_twice(blobs: LocalBlobs):
    name = add(blobs, b"love")
    blobs.delete(name)
    blobs.delete(name)
    assert not blobs.exists(name)


def test_a_missing_blob_and_one_of_another_size_are_integrity_errors(blobs: LocalBlobs):
    add(blobs, b"hate")
    with pytest.raises(IntegrityError, match="is missing"):
        blobs.open(digest(b"love"), 4)
    with pytest.raises(IntegrityError, match="has 4 bytes, not 5"):
        blobs.open(add(blobs, b"love"), 5)


@pytest.mark.parametrize("root", ["absent", "file"])
def test_a_folder_that_is_not_there_is_no_damage(tmp_path: Path, root: str):
    (tmp_path / "file").touch()
    blobs = LocalBlobs(tmp_path / root)
    with pytest.raises(
        UnavailableError, match=rf"no folder of blobs at {tmp_path}/{root}; mount it, or .* STEER_BLOBS_URL"
    ):
        blobs.open(digest(b"love"), 4)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("/srv/blobs", "/srv/blobs"),
        ("/srv/a:b", "/srv/a:b"),
        ("file:///srv/my%20blobs", "/srv/my blobs"),
        ("file://localhost/srv/blobs", "/srv/blobs"),
        ("FILE:///srv/blobs", "/srv/blobs"),
    ],
)
def test_a_path_and_a_file_url_name_a_folder(tmp_path: Path, url: str, folder: str):
    opened = open_blobs(url, tmp_path)
    assert isinstance(opened, LocalBlobs)
    assert opened.root == Path(folder)


@pytest.mark.parametrize(
    "url",
    [
        "file://blobs",
        "file://relative/x",
        "file:relative",
        "file:/x",
        "file://",
        "file:///",
        "file:///a?b",
        "file:///a#b",
    ],
)
def test_a_file_url_that_names_no_whole_path_is_refused(tmp_path: Path, url: str):
    with pytest.raises(InvalidInputError, match=r"names no folder; write file:///the/whole/path"):
        open_blobs(url, tmp_path)


@pytest.mark.parametrize("url", ["~nobody-has-this-name/x", "file:///a%00b"])
def test_a_path_that_cannot_be_is_refused(tmp_path: Path, url: str):
    with pytest.raises(InvalidInputError, match="is no path"):
        open_blobs(url, tmp_path)


@pytest.mark.parametrize("name", ["sha256:../../etc/passwd", "sha256:ABC", "md5:0", ""])
def test_a_digest_that_is_a_path_is_refused(blobs: LocalBlobs, name: str):
    for action in (blobs.exists, blobs.delete, lambda name: blobs.open(name, 1)):
        with pytest.raises(IntegrityError, match="not a digest"):
            action(name)
