"""What only a PostgreSQL can do to us: other defaults, lost races, standbys, encodings, odd options."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, make_url, text

from vectorstore.errors import ConflictError
from vectorstore.store.database import Database, upgrade
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
    assert upgrade(empty_url) == "0001"


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_change_that_lost_to_another_is_a_conflict(database: Database, state: str):
    lose = text(f"DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '{state}'; END $$")
    with (
        pytest.raises(ConflictError, match=r"another change came first \(lost\); try again"),
        database.write() as session,
    ):
        session.execute(lose)
