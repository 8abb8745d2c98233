"""The schema: migrations and classes agree, go up and down with data in them, and know what they do not know."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy import exc as sql
from sqlalchemy.pool import NullPool

from tests.builders import make_card, make_vector
from vectorstore.accounts.namespaces import add_namespace, find_namespace
from vectorstore.accounts.tokens import list_tokens, make_token
from vectorstore.accounts.users import add_user
from vectorstore.accounts.webhooks import add_webhook, list_webhooks
from vectorstore.compose import pin
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, SchemaError
from vectorstore.store import Store, events
from vectorstore.store.database import REVISIONS, check, current, downgrade, upgrade


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def tables(url: str) -> set[str]:
    engine = create_engine(url)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def test_the_classes_describe_exactly_what_the_migrations_make(library_url: str):
    assert check(library_url) == REVISIONS[-1]


def test_a_table_changed_by_hand_is_noticed(library_url: str):
    execute(library_url, "ALTER TABLE labels ADD COLUMN colour VARCHAR(10)")
    with pytest.raises(SchemaError, match=r"changed by hand \(to mend: remove_column labels colour\); restore"):
        check(library_url)


def test_a_lost_table_and_an_altered_column_are_noticed(library_url: str, backend: str):
    if backend == "sqlite":
        execute(library_url, "DROP TABLE lineage")
    else:
        execute(library_url, "ALTER TABLE labels ALTER COLUMN value DROP NOT NULL")
    said = "add_table lineage" if backend == "sqlite" else "modify_nullable labels value"
    with pytest.raises(SchemaError, match=rf"changed by hand \(to mend: {said}"):
        check(library_url)


def test_the_program_knows_every_revision():
    script = ScriptDirectory.from_config(Config("alembic.ini"))
    assert tuple(reversed([revision.revision for revision in script.walk_revisions()])) == REVISIONS


def test_the_schema_goes_down_and_up_with_data_in_it(store: Store, library_url: str, blobs_folder: Path):
    vector = make_vector((2, 3))
    store.save("love", vector, make_card(vector), presets={"mild": 1}, labels={"topic": "love"}, description="x")
    store.set_alias("love", "prod")
    store.close()
    assert downgrade(library_url, "base") is None
    assert tables(library_url) == {"alembic_version"}
    assert current(library_url) is None
    assert upgrade(library_url) == REVISIONS[-1] == check(library_url)
    with Store.open(library_url, blobs=str(blobs_folder)) as again:
        assert again.list().versions == ()
        assert again.save("love", vector, make_card(vector)).version.number == 1


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return found


def test_the_second_schema_goes_down_and_up_with_everything_in_it(store: Store, library_url: str, blobs_folder: Path):
    for seed in range(3):
        vector = make_vector(3, seed=seed)
        store.save("acme/love", vector, make_card(vector), authors=["Ann Ö", "Bob, Jr."], labels={"seed": str(seed)})
    store.save_recipe("mix", pin(store, "2*acme/love@1"))
    store.yank("acme/love@3")
    store.delete("acme/love@2", reason="wrong pairs")
    before = [version.to_json() for version in (*store.history("acme/love"), *store.list())]
    store.close()
    assert downgrade(library_url, "0001") == "0001"
    assert [
        tuple(json.loads(names) if isinstance(names, str) else names)
        for (names,) in rows(library_url, "SELECT authors FROM versions ORDER BY id")
    ] == [("Ann Ö", "Bob, Jr."), ("Ann Ö", "Bob, Jr."), ()]
    with pytest.raises(SchemaError, match="older schema 0001; type: steer db upgrade"):
        Store.open(library_url)
    assert upgrade(library_url) == REVISIONS[-1] == check(library_url)
    with Store.open(library_url, blobs=str(blobs_folder)) as again:
        assert [version.to_json() for version in (*again.history("acme/love"), *again.list())] == before
        assert again.list(text="ann").versions == again.list("acme").versions
        vector = make_vector(3, seed=2)
        assert again.save("acme/love", make_vector(seed=9), make_card(make_vector(seed=9))).version.number == 4


def test_a_blob_that_an_older_program_was_deleting_is_only_pending(library_url: str):
    downgrade(library_url, "0001")
    values = f"'sha256:{'a' * 64}', 1, 'deleting', '2026-01-01 00:00:00+00:00'"
    execute(library_url, f"INSERT INTO blobs (digest, size, state, leased_until) VALUES ({values})")  # noqa: S608 - ours
    upgrade(library_url)
    assert rows(library_url, "SELECT state FROM blobs") == [("pending",)]
    with pytest.raises(sql.IntegrityError):
        execute(library_url, "UPDATE blobs SET state = 'deleting'")


def test_row_ids_of_deleted_versions_do_not_come_again_after_an_upgrade(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/library.db"
    with Store.open(url) as store:
        for seed in range(3):
            store.save("love", make_vector(3, seed=seed), make_card(make_vector(3, seed=seed)))
        store.delete("love@3")
    downgrade(url, "0001")
    upgrade(url)
    assert rows(url, "SELECT seq FROM sqlite_sequence WHERE name = 'versions'") == [(3,)]
    with Store.open(url) as store:
        store.save("love", make_vector(3, seed=9), make_card(make_vector(3, seed=9)))
    assert rows(url, "SELECT max(id) FROM versions") == [(4,)]


def test_the_longest_names_are_kept_with_their_events(store: Store):
    name = f"{'n' * 128}/{'v' * 128}"
    saved = store.save(name, make_vector(), make_card(make_vector())).version
    assert store.set_alias(name, "prod") == store.resolve(f"{name}@prod")
    assert str(saved) == f"{name}@1"


def test_opening_an_empty_database_makes_a_library(empty_url: str, tmp_path: Path):
    with Store.open(empty_url, blobs=str(tmp_path / "blobs")) as opened:
        assert opened.list().versions == ()
    assert current(empty_url) == REVISIONS[-1]


def test_upgrading_twice_changes_nothing(library_url: str):
    assert upgrade(library_url) == upgrade(library_url) == REVISIONS[-1]


def test_a_newer_schema_says_to_upgrade_the_package(library_url: str):
    execute(library_url, "UPDATE alembic_version SET version_num = '9999'")
    for action in (Store.open, upgrade, lambda url: downgrade(url, "base"), check):
        with pytest.raises(SchemaError, match=r"newer version of the program.*pip install -U steering-vectorstore"):
            action(library_url)


def test_an_older_schema_says_the_command(library_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vectorstore.store.database.REVISIONS", (*REVISIONS, "0999"))
    monkeypatch.setattr("vectorstore.store.database._HEAD", "0999")
    with pytest.raises(SchemaError, match=rf"older schema {REVISIONS[-1]}; type: steer db upgrade$"):
        Store.open(library_url)


def test_a_database_of_something_else_is_refused(empty_url: str):
    execute(empty_url, "CREATE TABLE customers (id INTEGER)")
    for action in (Store.open, upgrade):
        with pytest.raises(ConflictError, match=r"holds other tables \(customers\)"):
            action(empty_url)
    assert tables(empty_url) == {"customers"}


def test_a_refused_file_keeps_its_bytes(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/customers.db"
    execute(url, "CREATE TABLE customers (id INTEGER)")
    before = (tmp_path / "customers.db").read_bytes()
    for action in (Store.open, upgrade, current, check):
        with pytest.raises(ConflictError):
            action(url)
    assert (tmp_path / "customers.db").read_bytes() == before
    assert [path.name for path in tmp_path.glob("customers*")] == ["customers.db"]


def test_a_library_in_a_file_has_a_write_ahead_log(tmp_path: Path):
    Store.open(f"sqlite:///{tmp_path}/library.db").close()
    with sqlite3.connect(tmp_path / "library.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_another_programs_migrations_are_not_taken_for_ours(empty_url: str):
    execute(empty_url, "CREATE TABLE alembic_version (version_num VARCHAR(32))", "CREATE TABLE users (id INTEGER)")
    with pytest.raises(ConflictError, match="holds other tables"):
        Store.open(empty_url)


def test_a_revision_without_tables_is_not_ours(empty_url: str):
    execute(
        empty_url,
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('8c2d')",
    )
    for action in (Store.open, upgrade, check, current):
        with pytest.raises(ConflictError, match=r"holds other tables \(schema 8c2d\)"):
            action(empty_url)


@pytest.mark.parametrize(
    ("change", "said"),
    [("DELETE FROM alembic_version", "names 0 schemas"), ("INSERT INTO alembic_version VALUES ('0001')", "names 2")],
)
def test_tables_without_one_revision_are_refused(library_url: str, change: str, said: str):
    execute(library_url, change)
    for action in (Store.open, upgrade, check, current):
        with pytest.raises(SchemaError, match=f"{said}.*; restore the database"):
            action(library_url)


def test_an_unknown_revision_is_refused(library_url: str):
    with pytest.raises(InvalidInputError, match="no revision '7'; revisions: base, 0001"):
        downgrade(library_url, "7")


def test_looking_at_a_library_that_is_not_there_makes_none(tmp_path: Path):
    for action in (current, check, lambda url: downgrade(url, "base")):
        with pytest.raises(NotFoundError, match="steer init"):
            action(f"sqlite:///{tmp_path}/none.db")
    assert not list(tmp_path.glob("none*"))


def test_a_file_that_is_no_database_is_named(tmp_path: Path):
    (tmp_path / "library.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(IntegrityError, match=r"library.db is damaged or not an SQLite database"):
        Store.open(f"sqlite:///{tmp_path}/library.db")


def test_a_library_is_only_made_where_one_shall_be(empty_url: str, tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"there is no library at .*; mend its URL, or type: steer init"):
        Store.open(empty_url, create=False)
    assert not (tmp_path / "library.db").exists()
    Store.open(empty_url).close()
    Store.open(empty_url, create=False).close()


def test_a_downgrade_does_not_go_up(library_url: str):
    downgrade(library_url, "0001")
    with pytest.raises(InvalidInputError, match="the library has the older schema 0001; type: steer db upgrade"):
        downgrade(library_url, "0002")
    assert current(library_url) == "0001"


def test_a_webhook_from_before_is_known_to_rest_on_who_made_it(store: Store, library_url: str, blobs_folder: Path):
    add_namespace(store, "team")
    for name in ("ada", "max"):
        add_user(store, name)
    with store.database.read() as session:
        namespace_id = find_namespace(session, "team").id
    for actor in ("ada", "max", "nobody"):
        with events.acting(actor):
            add_webhook(store, namespace_id, "https://example.org/")
    make_token(store, "ada", "laptop")
    store.close()
    assert downgrade(library_url, "0004") == "0004"
    assert upgrade(library_url) == REVISIONS[-1] == check(library_url)
    with Store.open(library_url, blobs=str(blobs_folder)) as again:
        assert [each.made_by for each in list_webhooks(again, namespace_id)] == ["ada", "max", None]
        assert [each.parent for each in list_tokens(again)] == [None]
