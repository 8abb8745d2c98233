"""Blobs in a bucket of a real S3 server: what is sent, what is kept here, and what damage does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.object_server import S3Server, Wire
from tests.store.objects import LARGE, LOVE, add, empty, kept, opened, path_of, refusal
from vectorstore.canonical import digest
from vectorstore.errors import IntegrityError, UnavailableError
from vectorstore.store.blobs.backends import open_blobs
from vectorstore.store.blobs.object_blobs import ObjectBlobs


@pytest.fixture
def blobs(s3_url: str, tmp_path: Path) -> ObjectBlobs:
    """Start with an empty place in a bucket."""
    return opened(s3_url, tmp_path)


def test_an_object_lies_at_its_digest_below_the_prefix(blobs: ObjectBlobs, s3_url: str, s3_server: S3Server):
    name = add(blobs, b"love")
    assert s3_server.request("GET", path_of(s3_url, name)) == b"love"
    assert s3_url.endswith("/team/blobs")


def test_two_prefixes_of_one_bucket_are_two_places(blobs: ObjectBlobs, s3_url: str, tmp_path: Path):
    add(blobs, b"love")
    for other in (f"{s3_url}/inner", s3_url.removesuffix("s"), s3_url.removesuffix("/blobs")):
        assert not opened(other, tmp_path).exists(LOVE)
        assert not list(opened(other, tmp_path).all())


def test_what_lies_beside_the_blobs_is_not_listed(blobs: ObjectBlobs, s3_url: str, s3_server: S3Server):
    add(blobs, b"love")
    for key in ("sha256/stray", f"sha256/00/{LOVE[7:]}", "sha256/ab/cd/ef", "quarantine/x"):
        s3_server.request("PUT", f"{s3_url.removeprefix('s3:/')}/{key}", b"stray")
    assert [stored.digest for stored in blobs.all()] == [LOVE]


@pytest.mark.parametrize("data", [b"love", LARGE], ids=["small", "large"])
def test_bytes_that_are_there_are_not_written_again(s3_url: str, s3_server: S3Server, tmp_path: Path, data: bytes):
    bucket = f"/{s3_url.split('/')[2]}"
    versioning = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    s3_server.request("PUT", f"{bucket}?versioning", versioning)
    for _ in range(3):
        add(opened(s3_url, tmp_path), data)
    assert s3_server.request("GET", f"{bucket}?versions").count(b"<VersionId>") == 1


@pytest.mark.parametrize("conditions", ["etag", "disabled"])
@pytest.mark.parametrize(
    ("data", "there"),
    [(b"love", b"hate"), (b"love", b"lo"), (LARGE, LARGE[:-1]), (LARGE, b"x" + LARGE[1:])],
    ids=["altered", "truncated", "large-truncated", "large-altered"],
)
def test_a_damaged_object_is_replaced_when_its_bytes_are_published_again(  # noqa: PLR0913, PLR0917 - fixtures and cases
    s3_url: str,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    conditions: str,
    data: bytes,
    there: bytes,
):
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", conditions)
    blobs = opened(s3_url, tmp_path)
    s3_server.request("PUT", path_of(s3_url, digest(data)), there)
    refusal(IntegrityError, blobs.open, digest(data), len(data))
    assert not kept(blobs)
    add(blobs, data)
    assert s3_server.request("GET", path_of(s3_url, digest(data))) == data


def test_a_damaged_object_is_named_by_its_url(blobs: ObjectBlobs, s3_url: str, s3_server: S3Server):
    where = f"the blob {s3_url}/sha256/{LOVE[7:9]}/{LOVE[7:]}"
    assert f"{where} is missing; restore it" in refusal(IntegrityError, blobs.open, LOVE, 4)
    s3_server.request("PUT", path_of(s3_url, LOVE), b"lov")
    assert f"{where} has 3 bytes, not 4" in refusal(IntegrityError, blobs.open, LOVE, 4)
    s3_server.request("PUT", path_of(s3_url, LOVE), b"hate")
    assert f"{where} has other bytes" in refusal(IntegrityError, blobs.open, LOVE, 4)


def test_what_was_read_or_written_needs_no_store(blobs: ObjectBlobs, s3_url: str, wire: Wire, tmp_path: Path):
    add(blobs, b"love")
    far = opened(s3_url, tmp_path)
    assert bytes(far.open(LOVE, 4)) == b"love"
    assert wire.connections == 0
    empty(blobs)
    assert bytes(far.open(LOVE, 4)) == b"love"
    wire.close()
    assert bytes(opened(s3_url, tmp_path).open(LOVE, 4)) == b"love"


def test_what_is_kept_can_be_removed_or_damaged_at_any_time(blobs: ObjectBlobs):
    add(blobs, b"love")
    view = blobs.open(LOVE, 4)
    empty(blobs)
    assert bytes(view) == b"love"
    assert bytes(blobs.open(LOVE, 4)) == b"love"
    (path,) = kept(blobs)
    path.unlink()
    path.write_bytes(b"lo")
    assert bytes(blobs.open(LOVE, 4)) == b"love"
    staged = blobs.stage(b"hate")
    empty(blobs)
    staged.publish()
    assert bytes(blobs.open(staged.digest, 4)) == b"hate"


def test_what_is_kept_does_not_hide_damage(blobs: ObjectBlobs, s3_url: str, s3_server: S3Server):
    add(blobs, b"love")
    blobs.verify(LOVE, 4, full=True)
    for there, said in ((b"lov", "has 3 bytes, not 4"), (b"hate", "has other bytes")):
        s3_server.request("PUT", path_of(s3_url, LOVE), there)
        assert said in refusal(IntegrityError, lambda: blobs.verify(LOVE, 4, full=True))
    blobs.verify(LOVE, 4, full=False)
    s3_server.request("DELETE", path_of(s3_url, LOVE))
    assert not blobs.exists(LOVE)
    assert "is missing" in refusal(IntegrityError, lambda: blobs.verify(LOVE, 4, full=False))
    assert bytes(blobs.open(LOVE, 4)) == b"love"


def test_deleted_and_quarantined_bytes_are_not_kept(blobs: ObjectBlobs):
    add(blobs, b"love")
    blobs.delete(LOVE)
    assert not kept(blobs)
    add(blobs, b"love")
    blobs.quarantine(LOVE)
    assert not kept(blobs)
    assert "is missing" in refusal(IntegrityError, blobs.quarantine, LOVE)


def test_a_folder_that_cannot_keep_them_says_how_to_choose_another(s3_url: str, tmp_path: Path, blobs: ObjectBlobs):
    add(blobs, b"love")
    (tmp_path / "file").touch()
    other = open_blobs(s3_url, tmp_path / "file")
    assert "STEER_CACHE" in refusal(UnavailableError, other.open, LOVE, 4)
    assert "STEER_CACHE" in refusal(UnavailableError, other.stage, b"love")
    assert other.exists(LOVE)


def test_threads_that_publish_the_same_bytes_at_once_all_succeed(s3_url: str, tmp_path: Path):
    for data in (b"love", LARGE):
        barrier, done = threading.Barrier(6), []

        def publish(number: int, data: bytes = data, barrier: threading.Barrier = barrier, done: list = done) -> None:
            staged = open_blobs(s3_url, tmp_path / f"cache{number}").stage(data)
            barrier.wait()
            staged.publish()
            done.append(number)

        threads = [threading.Thread(target=publish, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(done) == list(range(6))
        assert opened(s3_url, tmp_path).open(digest(data), len(data)) == data
