"""What every place of blobs does: one body for a local folder and for a bucket of an S3 server."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vectorstore.canonical import digest
from vectorstore.errors import IntegrityError
from vectorstore.store.blobs.backends import open_blobs
from vectorstore.store.blobs.protocol import Blobs


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """Start with an empty place; what a bucket keeps locally is in `cache`."""
    url = str(tmp_path / "blobs") if request.param == "folder" else request.getfixturevalue("s3_url")
    return open_blobs(url, tmp_path / "cache")


def add(blobs: Blobs, data: bytes) -> str:
    staged = blobs.stage(data)
    staged.publish()
    staged.discard()
    return staged.digest


def test_bytes_are_found_by_their_digest(blobs: Blobs):
    name = add(blobs, b"love")
    assert name == digest(b"love")
    assert blobs.exists(name)
    assert bytes(blobs.open(name, 4)) == b"love"


def test_a_stream_is_counted_and_hashed(blobs: Blobs):
    staged = blobs.stage(part for part in (b"lo", b"v", b"e"))
    assert (staged.digest, staged.size) == (digest(b"love"), 4)


def test_a_large_blob_comes_back_as_it_was(blobs: Blobs):
    data = random.Random(1).randbytes(9_000_001)  # noqa: S311 - any bytes will do
    name = add(blobs, data)
    assert [(stored.digest, stored.size) for stored in blobs.all()] == [(name, 9_000_001)]
    assert blobs.open(name, 9_000_001) == data


def test_nothing_has_a_name_before_it_is_published(blobs: Blobs):
    staged = blobs.stage(b"love")
    assert not blobs.exists(staged.digest)
    staged.discard()
    staged.discard()
    assert not blobs.exists(staged.digest)
    assert not list(blobs.all())


def test_what_was_published_stays_when_it_is_discarded(blobs: Blobs):
    staged = blobs.stage(b"love")
    staged.publish()
    staged.discard()
    assert bytes(blobs.open(staged.digest, 4)) == b"love"


def test_publishing_twice_is_publishing_once(blobs: Blobs):
    assert add(blobs, b"love") == add(blobs, b"love")
    assert len(list(blobs.all())) == 1


def test_what_the_check_refuses_is_not_kept(blobs: Blobs):
    def check(view: memoryview) -> None:
        assert bytes(view) == b"love"
        raise IntegrityError("bad")

    with pytest.raises(IntegrityError, match="bad"):
        blobs.stage(b"love", check)
    assert not blobs.leftovers(datetime.now(UTC) + timedelta(hours=1))


def test_a_stream_that_breaks_leaves_nothing(blobs: Blobs):
    def broken():
        yield b"lo"
        raise ConnectionError("gone")

    with pytest.raises(Exception, match="gone"):
        blobs.stage(broken())
    assert not blobs.leftovers(datetime.now(UTC) + timedelta(hours=1))


def test_no_bytes_are_no_blob(blobs: Blobs):
    with pytest.raises(IntegrityError, match="without bytes"):
        blobs.stage(b"")


def test_all_lists_every_digest_in_order_with_size_and_time(blobs: Blobs):
    before = datetime.now(UTC) - timedelta(seconds=2)
    names = {add(blobs, bytes([number]) * (number + 1)): number + 1 for number in range(20)}
    stored = list(blobs.all())
    assert [one.digest for one in stored] == sorted(names)
    assert [one.size for one in stored] == [names[one.digest] for one in stored]
    assert all(before <= one.modified <= datetime.now(UTC) + timedelta(seconds=2) for one in stored)


def test_delete_removes_once_and_does_not_mind_twice(blobs: Blobs):
    name = add(blobs, b"love")
    blobs.delete(name)
    blobs.delete(name)
    assert not blobs.exists(name)
    with pytest.raises(IntegrityError, match="is missing"):
        blobs.open(name, 4)


def test_a_missing_blob_and_one_of_another_size_are_integrity_errors(blobs: Blobs):
    add(blobs, b"hate")
    with pytest.raises(IntegrityError, match=rf"{digest(b'love')[7:]} is missing"):
        blobs.open(digest(b"love"), 4)
    with pytest.raises(IntegrityError, match="has 4 bytes, not 5"):
        blobs.open(add(blobs, b"love"), 5)


@pytest.mark.parametrize("full", [False, True])
def test_bytes_that_are_whole_are_verified(blobs: Blobs, full: bool):  # noqa: FBT001 - a case
    name = add(blobs, b"love")
    blobs.verify(name, 4, full=full)
    with pytest.raises(IntegrityError, match="has 4 bytes, not 5"):
        blobs.verify(name, 5, full=full)
    with pytest.raises(IntegrityError, match="is missing"):
        blobs.verify(digest(b"hate"), 4, full=full)


def test_a_quarantined_digest_is_free_again(blobs: Blobs):
    name = add(blobs, b"love")
    away = blobs.quarantine(name)
    assert "/quarantine/" in away
    assert name[7:] in away
    assert not blobs.exists(name)
    assert not list(blobs.all())
    assert add(blobs, b"love") == name
    assert blobs.quarantine(name) != away


def test_what_was_never_published_is_swept_when_it_is_old(blobs: Blobs):
    staged = blobs.stage(b"love")
    now = datetime.now(UTC)
    assert not blobs.sweep(now - timedelta(hours=1))
    (left,) = blobs.leftovers(now + timedelta(hours=1))
    assert Path(left).read_bytes() == b"love"
    assert blobs.sweep(now + timedelta(hours=1)) == [left]
    assert not Path(left).exists()
    staged.discard()


@pytest.mark.parametrize("name", ["sha256:../../etc/passwd", "sha256:ABC", "md5:0", ""])
def test_a_digest_that_is_a_path_is_refused(blobs: Blobs, name: str):
    for action in (blobs.exists, blobs.delete, blobs.quarantine, lambda name: blobs.open(name, 1)):
        with pytest.raises(IntegrityError, match="not a digest"):
            action(name)
