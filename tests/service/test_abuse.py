"""A service in a process of its own refuses what is meant badly, lives on, and serves others meanwhile."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from tests.service.processes import Process
from vectorstore.accounts.first import make_admin
from vectorstore.accounts.namespaces import add_namespace
from vectorstore.service.patience import HEADER_SECONDS
from vectorstore.store import Store

MAX_BODY = 1 << 20
SECONDS = 2
MEMORY = 64 << 20  # bytes that the process may grow by, whatever is sent
DIGEST = f"sha256:{'a' * 64}"
WAIT = 60.0


class Target:
    """The service, and its administrator's token."""

    def __init__(self, process: Process, token: str) -> None:
        self.process, self.token = process, token

    @property
    def signed(self) -> str:
        """The header of whoever may do everything."""
        return f"Authorization: Bearer {self.token}\r\n"

    def memory(self) -> int:
        """Return the bytes that the process holds."""
        status = Path(f"/proc/{self.process.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) << 10

    def connect(self) -> socket.socket:
        """Connect, without saying anything."""
        return socket.create_connection(("127.0.0.1", self.process.port), timeout=WAIT)

    def say(self, data: bytes | str) -> bytes:
        """Send bytes, and return all that comes back until the connection is closed."""
        with self.connect() as wire:
            with suppress(ConnectionError):
                wire.sendall(data.encode() if isinstance(data, str) else data)
            return rest(wire)

    def ask(self, line: str, headers: str = "", body: bytes = b"") -> int:
        """Send a request as an administrator, and return its status; 0 where there is no answer."""
        head = f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{self.signed}{headers}"
        if body:
            head += f"Content-Length: {len(body)}\r\n"
        return status(self.say(head.encode("utf-8", "surrogateescape") + b"\r\n" + body))

    def require_well(self) -> None:
        """Check that others are served."""
        answer = httpx2.get(f"{self.process.url}/v1/namespaces", timeout=WAIT, trust_env=False)
        assert answer.status_code == 200


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Serve a library with narrow limits."""
    folder = tmp_path_factory.mktemp("abuse")
    settings = {"STEER_DATABASE_URL": f"sqlite:///{folder}/library.db", "STEER_BLOBS_URL": str(folder / "blobs")}
    with Store.open(settings["STEER_DATABASE_URL"], blobs=settings["STEER_BLOBS_URL"]) as store:
        token = make_admin(store)
        assert token is not None
        add_namespace(store, "team", owner="admin")
    limits = {"STEER_SERVE_MAX_BODY": str(MAX_BODY), "STEER_SERVE_SECONDS": str(SECONDS)}
    process = Process(folder / "log", **settings, **limits)
    yield Target(process, token)
    process.stop()


@pytest.fixture(autouse=True)
def _bounded(target: Target) -> Iterator[None]:
    """Check after each abuse that the service lives, serves, and holds no more than before."""
    target.require_well()
    before = target.memory()
    yield
    target.require_well()
    assert target.memory() - before < MEMORY


def rest(wire: socket.socket) -> bytes:
    """Return all that comes until the connection is closed."""
    got = bytearray()
    with suppress(ConnectionError):
        while some := wire.recv(1 << 16):
            got += some
    return bytes(got)


def status(answer: bytes) -> int:
    """Return the status of an answer; 0 where there is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return int(found[1]) if found else 0


def refused(code: int) -> bool:
    """Say whether an answer puts the blame where it belongs; a closed connection does too."""
    return code == 0 or 400 <= code < 500


def test_headers_that_drip_and_idle_connections_are_closed_while_others_are_served(target: Target):
    closed = list[bool]()

    def drip(data: bytes) -> None:
        with target.connect() as wire:
            end = time.monotonic() + WAIT + HEADER_SECONDS
            wire.settimeout(0.2)
            while time.monotonic() < end:
                with suppress(TimeoutError):
                    try:
                        if data:
                            wire.sendall(data)
                        if not wire.recv(1 << 16):
                            break
                    except ConnectionError:
                        break
            else:
                closed.append(False)
                return
        closed.append(True)

    refused_body = f"PUT /v1/team/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".encode()
    words = (b"", b"G", b"\r\n", refused_body)
    threads = [threading.Thread(target=drip, args=(word,)) for word in words]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        target.require_well()
        time.sleep(0.5)
    assert closed == [True] * len(words)


def test_a_body_that_stops_coming_is_given_up(target: Target):
    head = f"PUT /v1/team/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\n{target.signed}Content-Length: 1000\r\n\r\nabc"
    assert status(target.say(head)) == 408


@pytest.mark.parametrize(
    "headers",
    [f"X-Long: {'a' * (1 << 20)}\r\n", "".join(f"X-{number}: a\r\n" for number in range(10_000))],
    ids=["long", "many"],
)
def test_headers_without_measure_are_refused(target: Target, headers: str):
    assert refused(target.ask("GET /v1/me", headers))


@pytest.mark.parametrize("path", [f"/v1/team/blobs/{DIGEST}", f"/v1/team/vectors/love/versions/{DIGEST}"])
def test_a_body_without_end_is_cut_off(target: Target, path: str):
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\n{target.signed}Transfer-Encoding: chunked\r\n\r\n"
    with target.connect() as wire:
        wire.sendall(head.encode())
        chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
        with suppress(ConnectionError):
            for _ in range(4 * MAX_BODY // 0x10000):
                wire.sendall(chunk)
        assert refused(status(rest(wire)))  # and the connection is closed: the body would go on


@pytest.mark.parametrize(
    "rest_of_body", ["0\r\nX-Late: ", "0\r\n", "3;late=", "0" * 20], ids=["value", "names", "chunk", "size"]
)
def test_what_stands_between_chunks_or_after_them_has_a_measure(target: Target, rest_of_body: str):
    head = f"PUT /v1/team/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\n{target.signed}Transfer-Encoding: chunked\r\n\r\n"
    piece = b"X-Late: a\r\n" * 6000 if rest_of_body == "0\r\n" else b"a" * (1 << 16)
    with target.connect() as wire:
        wire.sendall(head.encode() + rest_of_body.encode())
        sent = 0
        with suppress(ConnectionError):
            for _ in range(1000):
                sent += wire.send(piece)
        assert sent < 32 << 20  # what the sockets hold
        assert status(rest(wire)) in (0, 400, 422)


def test_requests_without_end_on_one_connection_are_refused(target: Target):
    some = f"GET /v1/namespaces HTTP/1.1\r\nHost: x\r\n{target.signed}\r\n".encode() * 1000
    with target.connect() as wire:
        sent = 0
        with suppress(ConnectionError):
            for _ in range(200):
                wire.sendall(some)
                sent += 1
        assert sent < 200


@pytest.mark.parametrize("body", ["Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize("apart", [True, False])
def test_the_body_of_an_upgrade_is_neither_lost_nor_a_request(target: Target, body: str, apart: bool):  # noqa: FBT001
    hidden = f"GET /v1/me HTTP/1.1\r\nHost: x\r\n{target.signed}\r\n".encode()
    upgrade = f"Connection: Upgrade\r\nUpgrade: h2c\r\n{target.signed}{body}"
    head = f"PUT /v1/team/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n".encode()
    with target.connect() as wire:
        with suppress(ConnectionError):
            wire.sendall(head if apart else head + hidden)
            time.sleep(0.2)
            if apart:
                wire.sendall(hidden)
        answer = rest(wire)
    assert status(answer) in (0, 400)
    assert answer.count(b"HTTP/1.1 ") <= 1


def test_an_upgrade_without_a_body_is_answered_and_not_made(target: Target):
    head = f"GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{target.signed}\r\n"
    assert status(target.say(head)) == 200


@pytest.mark.parametrize(
    "head",
    ["GET /v1/me HTTP/1.1\r\n", "GET /v1/me HTTP/1.1\r\nHost: x\r\nHost: y\r\n", "GET /v1/me HTTP/2.0\r\nHost: x\r\n"],
)
def test_requests_have_one_host_and_a_version_that_is_spoken(target: Target, head: str):
    assert status(target.say(f"{head}\r\n")) in (0, 400)


def test_what_follows_a_body_is_no_header_of_the_request(target: Target):
    late = f"0\r\n{target.signed}X-Request-Id: late\r\n\r\n"
    head = f"PUT /v1/team/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{late}"
    answer = target.say(head)
    assert status(answer) == 404  # of nobody's: the namespace is private
    assert b"late" not in answer


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: -1\r\n",
        "Content-Length: ten\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
    ],
)
def test_bodies_of_two_lengths_are_refused_and_what_follows_is_no_request(target: Target, headers: str):
    hidden = f"0\r\n\r\nDELETE /v1/tokens/{'0' * 12} HTTP/1.1\r\nHost: x\r\n{target.signed}\r\n"
    head = f"PUT /v1/team/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\n{target.signed}{headers}\r\n{hidden}"
    answer = target.say(head)
    assert refused(status(answer))
    assert answer.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"name":' * 100_000, b'{"name":"' + b"a" * (10 << 20) + b'"}', b'{"name":1e999999}', b"\xff"],
    ids=["brackets", "braces", "large", "number", "no-text"],
)
def test_bombs_of_json_are_refused(target: Target, body: bytes):
    for line in ("POST /v1/namespaces", "POST /v1/resolve", "PATCH /v1/team/vectors/love/versions/1"):
        assert refused(target.ask(line, "Content-Type: application/json\r\n", body))
    assert refused(target.ask(f"PUT /v1/team/vectors/love/versions/{DIGEST}", body=body))


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../../etc/passwd",
        "/v1/team/blobs/..%2f..%2fetc%2fpasswd",
        "/v1/team/blobs/%2e%2e/%2e%2e/library.db",
        f"/v1/team/blobs/sha256:{'a' * 62}%00a",
        "/v1/team/vectors/%00",
        "/v1/team%2fvectors/love",
        "/v1/team/vectors/%ff%fe",
        "/v1/team/vectors/%f0%9f%92%98",
        "/v1/t\u00e9am/vectors/love",
        "/v1/team/vectors/love/versions/sha256:..%2f..",
        "/v1/team/uploads/..%2f..%2f..",
        "//etc/passwd",
        "*",
        "http://169.254.169.254/latest",
    ],
)
def test_paths_lead_nowhere_else(target: Target, path: str):
    assert refused(target.ask(f"GET {path}"))
    assert refused(target.ask(f"PUT {path}", body=b"abc"))


@pytest.mark.parametrize(
    "query",
    ["&".join(f"label=k{n}=v" for n in range(3000)), "text=" + "+".join(["w"] * 1000), "after=%00", "limit=1e9"],
    ids=["many", "words", "null", "limit"],
)
def test_questions_without_measure_are_refused(target: Target, query: str):
    assert refused(target.ask(f"GET /v1/team/vectors?{query}"))


def test_an_id_that_would_be_a_header_is_not_repeated(target: Target):
    for given in ("a\tb", "a: b", "a" * 100, "\u00e9"):
        head = f"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: {given}\r\n\r\n"
        answer = target.say(head)
        assert status(answer) in (200, 400)
        assert f"id: {given}\r\n".encode() not in answer


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "CONNECT", "HEAD", "A" * 1000])
def test_other_methods_are_refused(target: Target, method: str):
    assert refused(target.ask(f"{method} /v1/me"))


def test_a_body_that_drips_is_refused_though_each_piece_comes_in_time(target: Target):
    with target.connect() as wire:
        head = f"PUT /v1/team/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\n{target.signed}Content-Length: 100000\r\n\r\n"
        wire.sendall(head.encode())
        wire.settimeout(SECONDS / 8)
        got = b""
        for _ in range(100):
            with suppress(TimeoutError):
                got = wire.recv(1 << 16)
                break
            with suppress(ConnectionError):
                wire.sendall(b"x")
    assert status(got) == 408
