"""Through a real nginx, as deploy/nginx.conf has it: downloads come from files, for those who may have them."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.builders import make_card, make_identity, make_vector
from tests.client.server import Server, in_silence
from tests.service.conftest import Made
from tests.service.nginx import DEPLOY, NEEDED, Nginx
from tests.service.processes import Process, push
from vectorstore.accounts.first import make_admin
from vectorstore.accounts.namespaces import add_namespace
from vectorstore.canonical import digest
from vectorstore.store import Store

pytestmark = NEEDED
UPSTREAM = (DEPLOY / "upstream.conf").read_text()
STRANGER_TOLD = 404


@dataclass
class Front:
    """A service behind nginx, and what is in its private namespace.

    Attributes:
        made: one version.
        bytes: of its one blob.
    """

    nginx: Nginx
    server: Server
    token: str
    made: Made

    @property
    def name(self) -> str:
        """The digest of the one blob."""
        return next(iter(self.made.blobs))

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return self.made.blobs[self.name]

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/v1/team/blobs/{self.name}"


@pytest.fixture
def front(tmp_path: Path, sqlite_template: Path) -> Iterator[Front]:
    with fronted(tmp_path, sqlite_template) as made:
        yield made


@contextmanager
def fronted(tmp_path: Path, sqlite_template: Path, **options: Any) -> Iterator[Front]:
    """Serve a library behind nginx."""
    (tmp_path / "library.db").write_bytes(sqlite_template.read_bytes())
    blobs = tmp_path / "blobs"
    with in_silence(), Store.open(f"sqlite:///{tmp_path}/library.db", blobs=str(blobs)) as store:
        server = Server(store, accel="/blobs", trusted_proxies=1, **options)
        server.namespace("team")
        token = server.person("ann", team="writer")
        upstream = UPSTREAM.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        with Nginx(tmp_path / "nginx", blobs, upstream) as nginx:
            yield Front(nginx, server, token, pushed(nginx, token, tmp_path))
        server.stop()


def pushed(nginx: Nginx, token: str, folder: Path) -> Made:
    """Push a version through nginx."""
    with Store.open(f"sqlite:///{folder}/elsewhere.db", blobs=str(folder / "elsewhere")) as other:
        vector = make_vector(width=512)
        version = other.save("love", vector, make_card(vector, model=make_identity(width=512))).version
        blobs = {blob.digest: bytes(other.blobs.open(blob.digest, blob.size)) for blob in version.blobs}
        made = Made(other.read_manifest(version), blobs)
    with nginx.client(token) as client:
        assert push(client, "", "team/vectors/love", made.manifest, made.blobs)
    return made


def under_way(server: Server) -> int:
    """Return how many requests are being answered, but for this one."""
    text = httpx2.get(f"{server.url}/metrics", trust_env=False).text
    return int(float(re.findall(r"^steer_requests_under_way (\S+)", text, re.MULTILINE)[0])) - 1


def test_a_download_comes_from_the_file_with_the_digest_as_its_etag(front: Front):
    with front.nginx.client(front.token) as client:
        answer = client.get(front.path)
        assert (answer.status_code, answer.content) == (200, front.data)
        assert answer.headers["etag"] == f'"{front.name}"'
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["server"].startswith("nginx")
        assert "x-accel-redirect" not in answer.headers
        assert len(answer.headers["x-request-id"]) == 32
        head = client.head(front.path)
        assert (head.headers["content-length"], head.content) == (str(len(front.data)), b"")
        again = client.get(front.path, headers={"If-None-Match": f'"{front.name}"'})
        assert (again.status_code, again.content) == (304, b"")
    front.server.stop()
    with front.nginx.client(front.token) as client:  # nothing without the service's word
        assert client.get(front.path).status_code == 502


def test_ranges_are_sent_also_to_who_goes_on_after_a_cut(front: Front):
    data, etag = front.data, f'"{front.name}"'
    cases = {
        "bytes=10-19": (206, data[10:20]),
        "bytes=-7": (206, data[-7:]),
        f"bytes={len(data) - 5}-": (206, data[-5:]),
        f"bytes={len(data)}-": (416, None),
    }
    with front.nginx.client(front.token) as client:
        for asked, (status, content) in cases.items():
            answer = client.get(front.path, headers={"Range": asked})
            assert answer.status_code == status
            assert content is None or answer.content == content
        same = client.get(front.path, headers={"Range": "bytes=100-", "If-Range": etag})
        assert (same.status_code, same.content) == (206, data[100:])
        assert same.headers["content-range"] == f"bytes 100-{len(data) - 1}/{len(data)}"
        other = client.get(front.path, headers={"Range": "bytes=100-", "If-Range": '"sha256:0"'})
        assert (other.status_code, other.content) == (200, data)


def test_a_private_blob_is_refused_to_strangers_by_every_path(front: Front):
    file = f"sha256/{front.name[7:9]}/{front.name[7:]}"
    stranger = front.server.person("eve")
    ways = ("/blobs/", "/blobs//", "/blobs/./", "/v1/../blobs/", "/%62lobs/", "//blobs/", "/blobs/../blobs/")
    for token in (None, stranger, front.token):
        with front.nginx.client(token) as client:
            for way in ways:
                request = client.build_request("GET", "/")
                request.extensions["target"] = f"{way}{file}".encode()  # as it is, where a URL would be mended
                answer = client.send(request)
                assert answer.status_code == STRANGER_TOLD, way
                assert front.data[:64] not in answer.content
            if token != front.token:
                forged = {"X-Accel-Redirect": f"/blobs/{file}", "X-Original-URL": f"/blobs/{file}"}
                refused = client.get(front.path, headers=forged)
                assert refused.status_code == STRANGER_TOLD
                assert front.data[:64] not in refused.content
    assert (front.server.store.blobs.file(front.name, len(front.data))).read_bytes() == front.data


def test_metrics_are_not_for_the_world(front: Front):
    with front.nginx.client() as client:
        assert client.get("/readyz").status_code == 200
        for path in ("/metrics", "//metrics", "/%6detrics"):
            assert b"steer_requests" not in client.get(path).content


def test_bodies_go_on_to_the_service_as_they_come(front: Front):
    data, seen = bytes(range(256)) * 4096, list[bool]()

    def body() -> Iterator[bytes]:
        yield data[:1000]
        end = time.monotonic() + 20
        while not (seen_one := under_way(front.server) > 0) and time.monotonic() < end:
            time.sleep(0.02)
        seen.append(seen_one)
        yield data[1000:]

    with front.nginx.client(front.token) as client:
        assert client.put(f"/v1/team/blobs/{digest(data)}", content=body()).status_code == 201
    assert seen == [True]


@pytest.mark.parametrize(("size", "status"), [(64 << 20, STRANGER_TOLD), ((64 << 20) + 1, 413)])
def test_whose_body_is_refused_is_told_before_it_is_sent(front: Front, size: int, status: int):
    head = f"PUT /v1/team/blobs/{digest(b'x')} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n"
    trust = ssl.create_default_context(cafile=str(front.nginx.certificate))
    with socket.create_connection(("127.0.0.1", front.nginx.port), 30) as plain:
        with trust.wrap_socket(plain, server_hostname="127.0.0.1") as line:
            line.sendall(head.encode() + bytes(1000))
            assert line.recv(1000).startswith(f"HTTP/1.1 {status} ".encode())


def test_nobody_is_taken_for_somebody_else_by_what_they_say_of_themselves(tmp_path: Path, sqlite_template: Path):
    with fronted(tmp_path, sqlite_template, requests_per_minute=60) as front, front.nginx.client() as client:
        every = [client.get("/v1/namespaces", headers={"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(30)]
        assert {answer.status_code for answer in every} == {200, 429}


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_copies_are_replaced_one_after_the_other_and_nobody_notices(library_url: str, tmp_path: Path):
    blobs = tmp_path / "blobs"
    with Store.open(library_url, blobs=str(blobs)) as store:
        token = make_admin(store) or ""
        add_namespace(store, "team", owner="admin")
    settings = {"STEER_DATABASE_URL": library_url, "STEER_BLOBS_URL": str(blobs), "STEER_SERVE_ACCEL": "/blobs"}
    over, answers = threading.Event(), Counter[int]()
    with ExitStack() as stack:
        copies = [stack.enter_context(Process(tmp_path / f"log-{number}", **settings)) for number in range(2)]
        lines = " max_fails=0; server ".join(f"127.0.0.1:{copy.port}" for copy in copies)
        upstream = UPSTREAM.replace("127.0.0.1:8000", lines)
        nginx = stack.enter_context(Nginx(tmp_path / "nginx", blobs, upstream))

        def work(number: int) -> None:
            with nginx.client(token) as client:
                for seed in count():
                    data = f"{number} {seed}".encode()
                    answers[client.put(f"/v1/team/blobs/{digest(data)}", content=data).status_code] += 1
                    answers[client.get("/v1/team/vectors").status_code] += 1
                    if over.wait(0.02):
                        return

        with ThreadPoolExecutor(3) as pool:
            every = [pool.submit(work, number) for number in range(3)]
            for copy in copies:
                copy.stop()
                copy.start()
            over.set()
            for each in every:
                each.result()
        assert set(answers) == {200, 201}, (answers, nginx.log())


def test_nginx_finds_nothing_wrong_with_either_place_of_the_service(tmp_path: Path):
    content = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["configs"]["upstream"]["content"]
    for number, upstream in enumerate((UPSTREAM, content.replace("$$", "$"))):
        assert Nginx(tmp_path / str(number), tmp_path, upstream).check() == ""
    assert "unknown" in Nginx(tmp_path / "2", tmp_path, content).check() + Nginx(tmp_path / "3", tmp_path, "").check()
