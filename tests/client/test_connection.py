"""The connection: what is tried again, what is not, and what no server can make it do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client.scripted import Answer, Scripted, certificate, problem
from tests.object_server import free_port
from vectorstore.client.connection import Connection
from vectorstore.client.download import download
from vectorstore.client.library import Library
from vectorstore.client.patience import Patience
from vectorstore.client.remote import Remote
from vectorstore.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    UnavailableError,
    VectorstoreError,
    exit_code,
)
from vectorstore.manifest import VECTOR_BLOB, BlobEntry

TOKEN = "stv_abc_secret"  # noqa: S105 - of nobody
ENTRY = BlobEntry.of(VECTOR_BLOB, b"0123456789")
Serve = Callable[..., Scripted]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that answer what a test says."""
    servers: list[Scripted] = []

    def start(*answers, tls: Path | None = None) -> Scripted:
        servers.append(Scripted(*answers, tls=tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def connection(url: str, **more) -> Connection:
    return Connection(Remote("acme", url, **more), TOKEN, Patience(attempts=4, connect=2, idle=2))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_passes_is_tried_again(serve: Serve, status: int):
    server = serve(problem(status, "unavailable", Retry_After="1"), Answer(body=b'{"user": "ann"}'))
    with connection(server.url) as there:
        assert Library(there).me() == {"user": "ann"}
    assert len(server.asked) == 2
    assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("status", "code", "error", "exits"),
    [
        (404, "not-found", NotFoundError, 3),
        (403, "not-allowed", NotAllowedError, 4),
        (401, "not-authenticated", NotAllowedError, 4),
        (409, "conflict", ConflictError, 5),
        (412, "precondition", ConflictError, 5),
        (422, "invalid", InvalidInputError, 2),
        (422, "integrity", IntegrityError, 6),
        (413, "too-large", InvalidInputError, 2),
        (500, "failed", UnavailableError, 7),
        (500, "never heard of", UnavailableError, 7),
    ],
)
def test_what_the_service_says_is_our_error_and_is_not_tried_again(serve: Serve, status, code, error, exits):
    server = serve(problem(status, code, "the value is wrong\x1b[2J"))
    with connection(server.url) as there, pytest.raises(error, match="acme says: the value is wrong") as raised:
        Library(there).me()
    assert len(server.asked) == 1
    assert exit_code(raised.value) == exits
    assert "\x1b" not in str(raised.value)


def test_who_is_not_signed_in_is_told_what_to_type(serve: Serve):
    with connection(serve(problem(401, "not-authenticated")).url) as there:
        with pytest.raises(NotAllowedError, match="type: steer login acme"):
            Library(there).me()


def test_who_is_shut_out_is_not_told_to_sign_in_again(serve: Serve):
    said = b'{"code": "not-authenticated", "detail": "the user bob is shut out", "hint": "ask an administrator"}'
    with connection(serve(Answer(401, said)).url) as there:
        with pytest.raises(NotAllowedError, match="is shut out; ask an administrator"):
            Library(there).me()


def test_what_is_not_repeatable_is_repeated_only_where_it_was_not_begun(serve: Serve):
    server = serve(problem(502, "unavailable"))
    with connection(server.url) as there, pytest.raises(UnavailableError):
        there.document("POST", "/v1/team/uploads", body={}, repeatable=False)
    assert len(server.asked) == 1
    server = serve(problem(503, "unavailable"), Answer())
    with connection(server.url) as there:
        there.document("POST", "/v1/team/uploads", body={}, repeatable=False)
    assert len(server.asked) == 2


def test_nobody_there_is_unavailable():
    with connection(f"http://127.0.0.1:{free_port()}") as there:
        with pytest.raises(UnavailableError, match=r"acme .* cannot be reached"):
            Library(there).me()


@pytest.mark.parametrize(
    ("answer", "error", "match"),
    [
        (Answer(body=b"<html>"), IntegrityError, "something else than JSON"),
        (Answer(body=b"[" * 100_000), IntegrityError, "something else than JSON"),
        (Answer(body=b"[]"), IntegrityError, "is not a JSON object"),
        (Answer(200, b"\x1f\x8b", {"Content-Encoding": "gzip"}), IntegrityError, "packed bytes"),
        (Answer(302, b"", {"Location": "http://127.0.0.1:1/"}), UnavailableError, "is elsewhere"),
        (Answer(404, b"<html>nginx"), UnavailableError, "answered 404, and said no more"),
        (Answer(403, b""), NotAllowedError, "answered 403"),
    ],
)
def test_what_no_service_of_ours_answers_is_refused(serve: Serve, answer: Answer, error: type[VectorstoreError], match):
    server = serve(answer)
    with connection(server.url) as there, pytest.raises(error, match=match):
        Library(there).me()
    assert len(server.asked) == 1


def version(**changes: object) -> dict[str, object]:
    return {
        "namespace": "team",
        "name": "love",
        "number": 1,
        "digest": f"sha256:{'a' * 64}",
        "kind": "vector",
        "labels": {},
        "presets": {},
        "description": "",
        "yanked": False,
        "yank_reason": "",
        "deprecation": None,
        "model": None,
    } | changes


WRONG = [
    {"name": "../../etc/passwd"},
    {"namespace": "a/b"},
    {"name": "calm"},
    {"number": 0},
    {"number": 10**30},
    {"number": True},
    {"digest": "sha256:../../x"},
    {"kind": "../x"},
    {"labels": {"a": 1}},
    {"presets": {"../x": {}}},
]


@pytest.mark.parametrize("changes", WRONG)
def test_a_version_that_cannot_be_is_refused(serve: Serve, changes: dict[str, object]):
    import json  # noqa: PLC0415

    server = serve(Answer(body=json.dumps({"answers": [{"version": version(**changes)}]}).encode()))
    with connection(server.url) as there, pytest.raises(IntegrityError):
        Library(there).resolve("team/love")


def test_more_than_a_document_may_have_is_not_read(serve: Serve, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vectorstore.client.connection.MAX_ANSWER", 1000)
    with connection(serve(Answer(body=b" " * 1001)).url) as there:
        with pytest.raises(IntegrityError, match="more than 1000 bytes"):
            Library(there).me()


def test_a_download_follows_redirects_without_the_token(serve: Serve, tmp_path: Path):
    bucket = serve(Answer(body=b"0123456789"))
    server = serve(Answer(307, b"", {"Location": f"{bucket.url}/signed?x=1"}))
    with connection(server.url) as there:
        assert b"".join(download(there, "team", ENTRY, tmp_path)) == b"0123456789"
    assert bucket.asked[0].path == "/signed?x=1"
    assert "Authorization" not in bucket.asked[0].headers
    assert server.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("location", "match"),
    [
        ("file:///etc/passwd", "redirects to nowhere"),
        ("ftp://example.com/x", "redirects to nowhere"),
        ("http://user:password@127.0.0.1/x", "redirects to nowhere"),
        ("/v1/again", "redirects in a circle"),
    ],
)
def test_a_download_goes_nowhere_else(serve: Serve, tmp_path: Path, location: str, match: str):
    server = serve(Answer(302, b"", {"Location": location}))
    with connection(server.url) as there, pytest.raises(UnavailableError, match=match):
        list(download(there, "team", ENTRY, tmp_path))


def test_an_encrypted_download_does_not_go_on_in_the_clear(serve: Serve, tmp_path: Path):
    pem = certificate(tmp_path / "acme.pem")
    plain = serve(Answer(body=b"0123456789"))
    server = serve(Answer(302, b"", {"Location": f"{plain.url}/x"}), tls=pem)
    with connection(server.url, ca=str(pem)) as there:
        with pytest.raises(UnavailableError, match="from https to http"):
            list(download(there, "team", ENTRY, tmp_path))
    assert plain.asked == []


def test_certificates_are_checked_against_the_remotes_own_file_or_that_of_the_environment(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pem = certificate(tmp_path / "acme.pem")
    server = serve(Answer(body=b'{"user": "ann"}'), tls=pem)
    with (
        connection(server.url) as there,
        pytest.raises(UnavailableError, match=r"CERTIFICATE_VERIFY_FAILED|certificate"),
    ):
        Library(there).me()
    assert server.asked == []
    with connection(server.url, ca=str(pem)) as there:
        assert Library(there).me() == {"user": "ann"}
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with connection(server.url) as there:
        assert Library(there).me() == {"user": "ann"}
    with pytest.raises(InvalidInputError, match="cannot read the certificates"):
        connection(server.url, ca=str(tmp_path / "nothing.pem"))


def test_proxies_of_the_environment_are_used_and_left_out_where_it_says_so(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
):
    proxy = serve(Answer(body=b'{"user": "proxied"}'))
    server = serve(Answer(body=b'{"user": "direct"}'))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    with connection("http://vectors.test", insecure=True) as there:
        assert Library(there).me() == {"user": "proxied"}
    assert proxy.asked[0].path == "http://vectors.test/v1/me"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with connection(server.url) as there:
        assert Library(there).me() == {"user": "direct"}
