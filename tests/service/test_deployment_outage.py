"""The database goes away under a service, and comes back: 503 meanwhile, and nothing has to be started again."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.builders import make_card, make_vector
from tests.service.conftest import made_elsewhere
from tests.service.processes import Process, push, require_whole
from tests.store.test_lost_server import Server
from vectorstore.accounts.first import make_admin
from vectorstore.accounts.namespaces import add_namespace
from vectorstore.canonical import digest
from vectorstore.store import Store
from vectorstore.store.upkeep.fsck import check

PATIENCE = 30  # seconds


@pytest.fixture
def database() -> Iterator[Server]:
    """Start a PostgreSQL that may be stopped."""
    folder = tempfile.mkdtemp(prefix="pg-")
    server = Server(folder)
    try:
        server.execute('CREATE DATABASE "library" OWNER ada')
        yield server
    finally:
        server.server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_service_outlives_a_restart_of_its_database(database: Server, tmp_path: Path):
    url, blobs = database.url("library"), str(tmp_path / "blobs")
    with Store.open(url, blobs=blobs) as store:
        add_namespace(store, "team")
        store.save("team/calm", make_vector(3), make_card(make_vector(3)))
        token = make_admin(store)
    server = Process(tmp_path / "log", STEER_DATABASE_URL=url, STEER_BLOBS_URL=blobs)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=server.url, headers=headers, timeout=PATIENCE, trust_env=False) as client:
        warm(client)
        for seed in range(2):  # the second time connections are those that it made after the first
            made = made_elsewhere(tmp_path, seed=seed)
            database.stop()
            for path in ("/v1/team/vectors", "/v1/me", "/v1/team/vectors/calm", "/readyz"):
                answer = client.get(path)
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), path
                assert answer.headers["retry-after"] == "1"
                assert "postgres" not in answer.text  # where it is concerns nobody
            assert client.put(f"/v1/team/blobs/{digest(b'x')}", content=b"x").status_code == 503
            assert not push(client, server.url, "team/vectors/love", made.manifest, made.blobs)
            assert client.get("/healthz").status_code == 200
            assert client.get("/metrics").status_code == 200
            database.start()
            until_ready(client)
            warm(client)
            assert push(client, server.url, "team/vectors/love", made.manifest, made.blobs)
            require_whole(client, server.url, "team/vectors/love", made.digest)
        assert client.get("/v1/team/vectors/love").json()["number"] == 2
    assert server.process.poll() is None
    server.stop()
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "secret" not in log
    with Store.open(url, blobs=blobs, create=False) as store:
        assert check(store, full=True).problems == []


def warm(client: httpx2.Client) -> None:
    """Let the service use several connections at once."""
    codes = list[int]()
    threads = [
        threading.Thread(target=lambda: codes.append(client.get("/v1/team/vectors").status_code)) for _ in "12345678"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * len(threads)


def until_ready(client: httpx2.Client) -> None:
    end = time.monotonic() + PATIENCE
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.05)
