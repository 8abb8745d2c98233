"""A team's service on each database, a library of one's own, and a remote that is signed in to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.server import Server, in_silence
from vectorstore.client.connection import Connection
from vectorstore.client.credentials import keep_token
from vectorstore.client.library import Library
from vectorstore.client.remote import Remote, add_remote
from vectorstore.settings import Settings
from vectorstore.store import Store


@pytest.fixture(autouse=True)
def _no_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Try again at once, say nothing of it, and keep what is half done in the test's folder."""
    monkeypatch.setenv("STEER_CACHE", str(tmp_path / "cache"))
    with in_silence():
        yield


@pytest.fixture
def server(store: Store) -> Iterator[Server]:
    """Serve the team's library, in which `team` and `other` are."""
    served = Server(store)
    served.namespace("team")
    served.namespace("other")
    yield served
    served.stop()


@pytest.fixture
def remote(server: Server) -> Remote:
    """Add it as `acme`, with the token of somebody who writes in `team`."""
    home = Settings.load().home
    made = Remote("acme", server.url)
    add_remote(home, made)
    keep_token(home, made, server.person("ann", team="maintainer", other="reader"))
    return made


@pytest.fixture
def library(remote: Remote) -> Iterator[Library]:
    """Open a connection to it."""
    with connection_to(remote) as connection:
        yield Library(connection)


@pytest.fixture
def mine(tmp_path: Path, sqlite_template: Path) -> Iterator[Store]:
    """Open a library of one's own."""
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "library.db").write_bytes(sqlite_template.read_bytes())
    with Store.open() as opened:
        yield opened


def connection_to(remote: Remote) -> Connection:
    """Return a connection with the token that is kept."""
    from vectorstore.client.credentials import find_token  # noqa: PLC0415

    return Connection(remote, find_token(Settings.load().home, remote))
