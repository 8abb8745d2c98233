"""What only a PostgreSQL can do to us: other defaults, lost races, standbys, encodings, odd options."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.builders import make_card, make_vector
from vectorstore.errors import ConflictError, InvalidInputError, UnavailableError
from vectorstore.store import Store
from vectorstore.store.database import REVISIONS, Database, upgrade
from vectorstore.store.engine import read_url

pytestmark = pytest.mark.parametrize("backend", ["postgresql"])


def set_default(url: str, name: str, value: str) -> None:
    """Let every new session of the database begin with a setting."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f'ALTER DATABASE "{make_url(url).database}" SET {name} = {value}'))
    engine.dispose()


@pytest.fixture
def database(library_url: str):
    """Open the database alone."""
    opened = Database.open(library_url)
    yield opened
    opened.close()


def test_changes_are_isolated_as_the_locks_expect_whatever_the_default(library_url: str):
    set_default(library_url, "default_transaction_isolation", "'serializable'")
    database = Database(read_url(library_url))
    isolation = text("SHOW transaction_isolation")
    with database.write() as session:
        assert session.scalar(isolation) == "read committed"
    with database.read() as session:
        assert session.scalar(isolation) == "repeatable read"
    database.close()


def test_a_server_that_isolates_more_by_default_can_be_upgraded(empty_url: str):
    set_default(empty_url, "default_transaction_isolation", "'serializable'")
    assert upgrade(empty_url) == REVISIONS[-1]


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_change_that_lost_to_another_is_a_conflict(database: Database, state: str):
    lose = text(f"DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '{state}'; END $$")
    with (
        pytest.raises(ConflictError, match=r"another change came first \(lost\); try again"),
        database.write() as session,
    ):
        session.execute(lose)


def test_a_database_that_can_only_be_read_says_so(library_url: str, blobs_folder: Path):
    set_default(library_url, "default_transaction_read_only", "on")
    with Store.open(library_url, blobs=str(blobs_folder)) as store:
        assert len(store.list()) == 0
        with pytest.raises(UnavailableError, match=r"read-only transaction\); it can only be read: use the server's"):
            store.save("love", make_vector(), make_card(make_vector()))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_does_not_keep_utf8_is_refused(postgresql_server: str, backend: str, encoding: str):
    assert backend == "postgresql"
    engine = create_engine(postgresql_server.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text(f"CREATE DATABASE narrow_{encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
        )
    engine.dispose()
    with pytest.raises(InvalidInputError, match=f"keeps texts as {encoding}; make one with ENCODING 'UTF8'"):
        Store.open(postgresql_server.format(name=f"narrow_{encoding.lower()}"))


def test_texts_are_utf8_whatever_the_clients_encoding(
    library_url: str, blobs_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with Store.open(library_url, blobs=str(blobs_folder)) as store:
        store.save("love", make_vector(), make_card(make_vector()), description="愛")
        assert store.resolve("love").description == "愛"


@pytest.mark.parametrize("option", ["foo=bar", "connect_timeout=soon"])
def test_options_that_the_driver_does_not_know_are_invalid(library_url: str, option: str):
    with pytest.raises(
        InvalidInputError, match=r"the options of the database .* cannot be used \(.*; mend what follows"
    ):
        Store.open(f"{library_url}&{option}")
