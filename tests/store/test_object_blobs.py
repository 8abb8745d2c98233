"""Blobs in a bucket of a real S3 server: what is sent, what is kept here, and what happens when either breaks."""

from __future__ import annotations

import random
import shutil
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.object_server import SECRET, S3Server, Wire, free_port, use_s3
from vectorstore.canonical import digest
from vectorstore.errors import IntegrityError, NotAllowedError, UnavailableError, VectorstoreError
from vectorstore.store.backends import open_blobs
from vectorstore.store.object_blobs import PART, ObjectBlobs

LARGE = random.Random(2).randbytes(2 * PART + 4321)  # noqa: S311 - any bytes will do
LOVE = digest(b"love")


@pytest.fixture
def blobs(s3_url: str, tmp_path: Path) -> ObjectBlobs:
    """Start with an empty place in a bucket."""
    return opened(s3_url, tmp_path)


@pytest.fixture
def wire(s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:  # noqa: ARG001 - first
    """Let what is opened from now on reach the server through a wire that can be cut."""
    wire = Wire(s3_server.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
    yield wire
    wire.close()


def opened(url: str, tmp_path: Path) -> ObjectBlobs:
    found = open_blobs(url, tmp_path / "cache")
    assert isinstance(found, ObjectBlobs)
    return found


def add(blobs: ObjectBlobs, data: bytes) -> str:
    staged = blobs.stage(data)
    staged.publish()
    staged.discard()
    return staged.digest


def path_of(url: str, name: str) -> str:
    """Return where the server has the object."""
    return f"{url.removeprefix('s3:/')}/sha256/{name[7:9]}/{name[7:]}"


def kept(blobs: ObjectBlobs) -> list[Path]:
    return [path for path in blobs.cache.root.rglob("*") if path.is_file()]


def empty(blobs: ObjectBlobs) -> None:
    shutil.rmtree(blobs.cache.root)


def refusal(kind: type[VectorstoreError], action: object, *arguments: object) -> str:
    """Return the line of an action that must fail so; it shows no secret, not even in its traceback."""
    with pytest.raises(kind) as caught:
        action(*arguments)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


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


def test_a_download_that_is_cut_goes_on_where_it_was(blobs: ObjectBlobs, s3_url: str, wire: Wire, tmp_path: Path):
    add(blobs, LARGE)
    empty(blobs)
    wire.answers = [PART, PART]
    assert opened(s3_url, tmp_path).open(digest(LARGE), len(LARGE)) == LARGE
    assert wire.connections == 3


def test_a_download_that_is_always_cut_gives_no_bytes(blobs: ObjectBlobs, s3_url: str, wire: Wire, tmp_path: Path):
    add(blobs, LARGE)
    empty(blobs)
    wire.answers = [PART] + [10] * 100
    far = opened(s3_url, tmp_path)
    assert f"{s3_url}/sha256/" in refusal(UnavailableError, far.open, digest(LARGE), len(LARGE))
    assert not kept(far)
    wire.answers = []
    assert far.open(digest(LARGE), len(LARGE)) == LARGE


@pytest.mark.parametrize("data", [LARGE[:PART], LARGE], ids=["one-request", "parts"])
def test_a_server_that_dies_in_the_middle_of_an_upload(
    data: bytes, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server = S3Server(tmp_path / "log")
    try:
        server.make_bucket(bucket := s3_url.split("/")[2])
        wire = Wire(server.port)
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
        blobs = opened(s3_url, tmp_path)
        staged = blobs.stage(data)
        wire.fuse = (len(data) // 2, server.kill)
        assert "cannot be used" in refusal(UnavailableError, staged.publish)
        server.start()
        server.make_bucket(bucket)
        assert not blobs.exists(staged.digest)
        staged.publish()
        assert server.request("GET", path_of(s3_url, staged.digest)) == data
    finally:
        server.kill()


def test_an_upload_whose_connection_is_cut_is_sent_again(blobs: ObjectBlobs, s3_url: str, wire: Wire, tmp_path: Path):
    for data in (LARGE[:PART], LARGE):
        cut = threading.Event()
        wire.fuse = (PART // 2, cut.set)
        assert add(opened(s3_url, tmp_path), data) == digest(data)
        assert cut.is_set()
        empty(blobs)
        assert blobs.open(digest(data), len(data)) == data


def every_request(blobs: ObjectBlobs) -> list[object]:
    return [
        blobs.stage(b"love").publish,
        blobs.stage(LARGE).publish,
        lambda: blobs.open(LOVE, 4),
        lambda: blobs.exists(LOVE),
        lambda: blobs.verify(LOVE, 4, full=True),
        lambda: blobs.delete(LOVE),
        lambda: blobs.quarantine(LOVE),
        lambda: list(blobs.all()),
    ]


def test_a_server_that_is_away_is_unavailable(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    for request in every_request(opened(s3_url, tmp_path)):
        line = refusal(UnavailableError, request)
        assert s3_url in line
        assert "cannot be used (connection refused); check the network, and AWS_ENDPOINT_URL" in line


def test_a_bucket_that_is_not_there_is_unavailable(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    use_s3(monkeypatch, s3_server.url)
    blobs = opened("s3://nobodys-bucket/prefix", tmp_path)
    for request in every_request(blobs):
        assert "is not there (NoSuchBucket); make it" in refusal(UnavailableError, request)


def test_credentials_that_are_refused_are_not_allowed(s3_server: S3Server, blobs: ObjectBlobs, s3_url: str):
    s3_server.request("POST", "/moto-api/reset-auth", b"0")
    try:
        for request in every_request(blobs):
            line = refusal(NotAllowedError, request)
            assert f"{s3_url}/sha256" in line
            assert "may not be used (" in line
            assert "AWS_ACCESS_KEY_ID" in line
    finally:
        s3_server.request("POST", "/moto-api/reset-auth", b"inf")


def test_credentials_that_are_missing_are_asked_for(s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    for request in every_request(opened(s3_url, tmp_path)):
        line = refusal(NotAllowedError, request)
        assert "there are no usable credentials for s3://" in line
        assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in line


class Unordered(BaseHTTPRequestHandler):
    """Answers every request with a list of keys in no order."""

    def do_GET(self) -> None:
        names = (LOVE[7:], digest(b"hate")[7:])
        entry = "<Contents><Key>sha256/{0:.2}/{0}</Key><Size>4</Size><LastModified>{1}</LastModified></Contents>"
        entries = "".join(entry.format(name, "2026-01-01T00:00:00Z") for name in sorted(names, reverse=True))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"<ListBucketResult>{entries}</ListBucketResult>".encode())

    def log_message(self, *_: object) -> None:
        """Be silent."""


def test_a_store_that_lists_its_keys_in_no_order_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with HTTPServer(("127.0.0.1", 0), Unordered) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        use_s3(monkeypatch, f"http://127.0.0.1:{server.server_port}")
        blobs = opened("s3://bucket", tmp_path)
        assert "s3://bucket lists its keys in no order" in refusal(UnavailableError, lambda: list(blobs.all()))
        server.shutdown()
