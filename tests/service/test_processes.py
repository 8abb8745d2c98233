"""Several services over one library, while they, and what they stand on, are killed."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import create_engine, text

from tests.builders import make_card, make_vector
from tests.service.conftest import Made, made_elsewhere
from tests.service.processes import Process, push, require_whole
from vectorstore.accounts.first import make_admin
from vectorstore.accounts.namespaces import add_namespace
from vectorstore.canonical import digest
from vectorstore.store import Store, events
from vectorstore.store.upkeep.fsck import check

SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))
WRITERS = 4
ENDED = -signal.SIGTERM  # uvicorn finishes what is under way, and then ends as it was told


@pytest.fixture
def library(library_url: str, blobs_url: str) -> Iterator[tuple[Store, dict[str, str], str]]:
    """Give a library, the settings that name it, and the administrator's token."""
    with Store.open(library_url, blobs=blobs_url) as store:
        token = make_admin(store)
        add_namespace(store, "team", owner="admin")
        assert token is not None
        yield store, {"STEER_DATABASE_URL": library_url, "STEER_BLOBS_URL": blobs_url}, token


@pytest.fixture
def blobs_url(backend: str, request: pytest.FixtureRequest) -> str:
    """Give a bucket beside PostgreSQL, and a folder beside SQLite."""
    return str(request.getfixturevalue("s3_url" if backend == "postgresql" else "blobs_folder"))


def signed_in(token: str) -> httpx2.Client:
    return httpx2.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False)


def test_what_was_acknowledged_stays_whatever_is_killed(
    library: tuple[Store, dict[str, str], str], tmp_path: Path, backend: str, library_url: str
):
    store, settings, token = library
    count = 1 if backend == "sqlite" else 3
    servers = [Process(tmp_path / f"log-{number}", **settings) for number in range(count)]
    over, acknowledged, tried = threading.Event(), list[tuple[str, Made]](), [0]
    every = [many(tmp_path / str(number)) for number in range(WRITERS)]

    def write(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - which server
        with signed_in(token) as client:
            for seed, made in enumerate(every[number]):
                name = f"team/vectors/{chance.choice(('love', 'calm'))}"
                while not push(client, chance.choice(servers).url, name, made.manifest, made.blobs):
                    tried[0] += 1
                    time.sleep(0.1)
                acknowledged.append((name, made))
                if over.is_set() and seed > 3:
                    return

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    chance, end = random.Random(0), time.monotonic() + SECONDS  # noqa: S311 - whom it hits
    kills = 0
    while kills < 2 or time.monotonic() < end:
        time.sleep(chance.uniform(0.5, 1.5))
        victim = chance.choice(servers)
        victim.kill()
        kills += 1
        if backend == "postgresql":
            cut_connections(library_url)
        victim.start()
    over.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert tried[0] > 0  # some were hit
    with signed_in(token) as client:
        for name, made in acknowledged:
            require_whole(client, servers[-1].url, name, made.digest)
    distinct = {(name, made.digest) for name, made in acknowledged}
    assert sum(len(store.history(f"team/{name}", limit=1000)) for name in ("love", "calm")) == len(distinct)
    assert check(store, full=True).problems == []
    with store.database.read() as session:
        events.verify(session, "team")
    assert {server.stop() for server in servers} == {ENDED}


def test_sixteen_who_write_one_name_at_once_make_sixteen_versions(
    library: tuple[Store, dict[str, str], str], tmp_path: Path, backend: str
):
    store, settings, token = library
    servers = [Process(tmp_path / f"log-{number}", **settings) for number in range(1 if backend == "sqlite" else 2)]
    every = many(tmp_path, 16)
    together = threading.Barrier(16)

    def write(number: int) -> None:
        with signed_in(token) as client:
            together.wait()
            made = every[number]
            while not push(client, servers[number % len(servers)].url, "team/vectors/love", made.manifest, made.blobs):
                time.sleep(0.05)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    found = store.history("team/love", limit=100)
    assert sorted(version.number for version in found) == list(range(1, 17))
    assert {version.digest for version in found} == {made.digest for made in every}
    for server in servers:
        server.stop()


def test_a_request_under_way_is_finished_when_the_service_is_told_to_stop(
    library: tuple[Store, dict[str, str], str], tmp_path: Path
):
    _, settings, token = library
    server = Process(tmp_path / "log", **settings)
    made = made_elsewhere(tmp_path)
    ((name, data),) = made.blobs.items()
    begun, stopped = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield data[:10]
        begun.set()
        stopped.wait(30)
        yield data[10:]

    def stop() -> None:
        begun.wait(30)
        server.process.terminate()
        time.sleep(0.5)
        stopped.set()

    threading.Thread(target=stop).start()
    with signed_in(token) as client:
        assert client.put(f"{server.url}/v1/team/blobs/{name}", content=slowly()).status_code == 201
    assert server.process.wait(60) == ENDED


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_who_sends_slowly_keeps_nobody_else_waiting(library: tuple[Store, dict[str, str], str], tmp_path: Path):
    _, settings, token = library
    server = Process(tmp_path / "log", STEER_SERVE_THREADS="2", STEER_SERVE_UPLOADS="8", **settings)
    data, go_on, answers = bytes(range(256)), threading.Event(), list[int]()

    def slowly() -> Iterator[bytes]:
        yield data[:10]
        go_on.wait(60)
        yield data[10:]

    def send() -> None:
        with signed_in(token) as client:
            answers.append(client.put(f"{server.url}/v1/team/blobs/{digest(data)}", content=slowly()).status_code)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    with signed_in(token) as client:
        assert client.get(f"{server.url}/v1/team/vectors").status_code == 200
    assert answers == []
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert answers == [201] * 6
    server.stop()


def many(folder: Path, count: int = 60) -> list[Made]:
    """Make so many versions elsewhere, at once."""
    folder.mkdir(exist_ok=True)
    seed = sum(map(ord, folder.name)) * 1000
    with Store.open(f"sqlite:///{folder}/elsewhere.db", blobs=str(folder / "elsewhere")) as other:
        result = []
        for number in range(count):
            vector = make_vector(seed=seed + number)
            version = other.save("love", vector, make_card(vector)).version
            blobs = {blob.digest: bytes(other.blobs.open(blob.digest, blob.size)) for blob in version.blobs}
            result.append(Made(other.read_manifest(version), blobs))
        return result


def cut_connections(url: str) -> None:
    """End every connection to a database of PostgreSQL, as a restart does."""
    engine = create_engine(url)
    with suppress(Exception), engine.connect() as connection:
        mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        connection.execute(text(f"{mine} AND pid <> pg_backend_pid()"))
    engine.dispose()
