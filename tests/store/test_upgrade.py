"""Upgrades with data in the library: killed anywhere, or two at once, the schema is the old one or the new one."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool

from tests.builders import make_card, make_vector
from tests.store.fuse import upgrade_until_killed
from tests.store.writers import run, run_together, upgrade_together
from vectorstore.compose import pin
from vectorstore.errors import IntegrityError
from vectorstore.store import Store
from vectorstore.store.database import REVISIONS, current, downgrade, upgrade
from vectorstore.store.database import check as check_schema
from vectorstore.store.upkeep.fsck import check


@pytest.fixture
def before(store: Store, library_url: str) -> list[object]:
    """Have a library of the first schema, with data; return what it says once it is upgraded."""
    for seed in range(3):
        vector = make_vector(3, seed=seed)
        store.save("love", vector, make_card(vector), authors=["Ann Ö", "Bob, Jr."], labels={"seed": str(seed)})
    store.save_recipe("acme/mix", pin(store, "2*love@1"))
    store.yank("love@3")
    store.delete("love@2", reason="wrong pairs")
    said = what_it_says(store)
    store.close()
    assert downgrade(library_url, "0001") == "0001"
    return said


def what_it_says(store: Store) -> list[object]:
    return [version.to_json() for version in (*store.history("love"), *store.list(), *store.list(text="ann"))]


def everything(url: str) -> list[str]:
    """Return the whole database as text: its tables, and all that is in them."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return list(connection.iterdump())
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        columns = "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
        found = connection.execute(text(f"{columns} WHERE table_schema = 'public' ORDER BY 1, 2"))
        lines = [str(tuple(row)) for row in found]
        lines += map(str, connection.execute(text("SELECT indexdef FROM pg_indexes ORDER BY 1")))
        for table in sorted(inspect(connection).get_table_names()):
            rows = connection.execute(text(f'SELECT CAST(t AS TEXT) FROM "{table}" AS t ORDER BY 1'))  # noqa: S608 - ours
            lines += [f"{table} {row}" for row in rows.scalars()]
    return lines


def require_upgraded(url: str, blobs: Path, before: list[object]) -> None:
    assert check_schema(url) == REVISIONS[-1]
    with Store.open(url, blobs=str(blobs), create=False) as store:
        assert what_it_says(store) == before
        assert check(store, full=True).problems == []
        assert store.save("love", make_vector(seed=9), make_card(make_vector(seed=9))).version.number == 4


def test_an_upgrade_killed_at_any_step_leaves_the_schema_as_it_was(
    before: list[object], library_url: str, blobs_folder: Path
):
    old = everything(library_url)
    for step in count(1, 4):  # it has some hundred statements
        code = run(upgrade_until_killed, library_url, step)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert current(library_url) == "0001"
        assert everything(library_url) == old
    assert step > 10
    require_upgraded(library_url, blobs_folder, before)


def test_two_programs_that_upgrade_at_once_do_it_once(before: list[object], library_url: str, blobs_folder: Path):
    assert run_together(upgrade_together, library_url, blobs_folder, [[1], [2]]) == [0, 0]
    require_upgraded(library_url, blobs_folder, before)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE versions SET model = '{' WHERE number = 1",
        "UPDATE versions SET created_at = 'x' WHERE number = 1",
        "UPDATE version_sites SET site = 'elbow' WHERE version_id = 1",
        "UPDATE versions SET description = x'ff' WHERE number = 1",
    ],
)
def test_a_damaged_version_keeps_no_other_from_being_upgraded(tmp_path: Path, sqlite_template: Path, damage: str):
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'library.db')}"
    with Store.open(url, blobs=str(tmp_path / "blobs")) as store:
        for seed in range(3):
            vector = make_vector(3, seed=seed)
            store.save("love", vector, make_card(vector))
    downgrade(url, "0002")
    with closing(sqlite3.connect(tmp_path / "library.db")) as connection, connection:
        connection.execute(damage)
    upgrade(url)
    with Store.open(url, blobs=str(tmp_path / "blobs")) as store:
        assert store.resolve("love").number == 3
        assert {problem.kind for problem in check(store).problems} == {"version"}
        with pytest.raises(IntegrityError, match="steer fsck"):
            store.resolve("love@1")
