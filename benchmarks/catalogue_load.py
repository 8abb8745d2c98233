"""Load: the rows of a made-up catalogue into the tables of an empty library, in bulk."""

from __future__ import annotations

import sqlite3

import psycopg

from benchmarks.catalogue_data import COLUMNS, Catalogue


def load_sqlite(connection: sqlite3.Connection, catalogue: Catalogue) -> None:
    """Insert all rows in one transaction; the connection must not have begun one."""
    connection.execute("BEGIN")
    for rows in catalogue.chunks():
        for table, values in rows.items():
            columns = COLUMNS[table].split()
            if table == "version_search":
                columns[0] = "rowid"
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", values)  # noqa: S608
    connection.execute("COMMIT")


def load_postgresql(connection: psycopg.Connection, catalogue: Catalogue) -> None:
    """Copy all rows, as a superuser: foreign keys hold as they are made, and indexes are built at the end."""
    connection.execute("SET session_replication_role = replica")
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
        "AND indexname NOT IN (SELECT conname FROM pg_constraint)"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    for rows in catalogue.chunks():
        for table, values in rows.items():
            _copy(connection, table, values)
    for _, definition in indexes:
        connection.execute(definition)
    for table in ("namespaces", "artifacts", "versions"):
        connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")  # noqa: S608
    connection.execute("RESET session_replication_role")


def _copy(connection: psycopg.Connection, table: str, values: list[tuple]) -> None:
    if table == "version_search":
        values = [(number, " ".join(f"'{word}'" for word in set(words.split()))) for number, words in values]
    columns = ", ".join(COLUMNS[table].split())
    with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as rows:
        for row in values:
            rows.write_row(row)
