"""`steer db upgrade|downgrade|current|check`."""

from __future__ import annotations

import sys

import click

from vectorstore.errors import InvalidInputError
from vectorstore.store import database

from .answer import Answer
from .command import group, subcommand
from .library import Library, library_options


@group("db", example="steer db upgrade")
def db() -> None:
    """Upgrade, downgrade or check the library's database."""


@subcommand(db, "upgrade", example="steer db upgrade")
@library_options
def upgrade(library: Library) -> Answer:
    """Bring the database's schema to what this program knows."""
    return _answer(database.upgrade(library.settings.database_url))


@subcommand(db, "downgrade", example="steer db downgrade 0001 --yes")
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask.")
@library_options
def downgrade(library: Library, revision: str, *, yes: bool) -> Answer:
    """Take the schema back to REVISION, for an older program.

    What the older schema cannot hold is lost; `base` removes all tables. Make a backup first.
    """
    url = library.settings.database_url
    if not yes:
        _confirm(revision)
    return _answer(database.downgrade(url, revision))


@subcommand(db, "current", example="steer db current")
@library_options
def current(library: Library) -> Answer:
    """Say which schema the database has."""
    return _answer(database.current(library.settings.database_url))


@subcommand(db, "check", example="steer db check")
@library_options
def check(library: Library) -> Answer:
    """Compare the tables with what this program expects."""
    revision = database.check(library.settings.database_url)
    return Answer({"schema": revision, "ok": True}, [f"The tables are those of schema {revision}"])


def _answer(revision: str | None) -> Answer:
    return Answer({"schema": revision}, [f"The schema is {revision}" if revision else "There are no tables"])


def _confirm(revision: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidInputError(f"a downgrade to {revision} can lose data", "make a backup, and add --yes")
    click.confirm(f"A downgrade to {revision} can lose data. Go on?", abort=True, err=True)
