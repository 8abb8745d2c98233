"""A bucket whose server is cut off, dies, lies or refuses: one line, no wrong bytes, and the next request works."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.object_server import S3Server, Wire, free_port, use_s3
from tests.store.objects import LARGE, LOVE, add, empty, kept, opened, path_of, refusal
from vectorstore.canonical import digest
from vectorstore.errors import NotAllowedError, UnavailableError
from vectorstore.store.blobs.bucket import PART
from vectorstore.store.blobs.object_blobs import ObjectBlobs


@pytest.fixture
def blobs(s3_url: str, tmp_path: Path) -> ObjectBlobs:
    """Start with an empty place in a bucket."""
    return opened(s3_url, tmp_path)


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
    for request in every_request(opened(s3_url, tmp_path))[1::3]:  # each tries for a while
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
    for request in every_request(opened(s3_url, tmp_path))[::3]:  # each tries for a while
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
