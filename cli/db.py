"""`steer db upgrade|downgrade|current|check|backup|restore|rebuild`."""

from __future__ import annotations

import sys

import click

from vectorstore.errors import InvalidInputError
from vectorstore.store import database
from vectorstore.store.blobs.backends import open_blobs
from vectorstore.store.upkeep import backup as copies
from vectorstore.store.upkeep import rebuild as rebuilding

from .answer import Answer, Part, Table
from .command import group, subcommand
from .library import Library, library_options
from .values import size_text


@group("db", example="steer db upgrade")
def db() -> None:
    """Upgrade, check, back up, restore or rebuild the library."""


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


@subcommand(db, "backup", example="steer db backup /mnt/backup/library")
@click.argument("folder")
@library_options
def backup(library: Library, folder: str) -> Answer:
    """Copy the library to FOLDER, database and blobs, while others go on writing.

    The copy is a library itself. The next backup to the same folder copies only what is new. A library in PostgreSQL is
    copied with pg_dump instead.
    """
    with library.look() as store:
        copied = copies.backup(store, folder)
    return _copied(copied, f"{copied.folder} has")


@subcommand(db, "restore", example="steer db restore /mnt/backup/library")
@click.argument("folder")
@library_options
def restore(library: Library, folder: str) -> Answer:
    """Make the library of the backup in FOLDER, where there is none yet."""
    settings = library.settings
    blobs = open_blobs(settings.blobs_url, settings.cache)
    copied = copies.restore(folder, settings.database_url, blobs)
    return _copied(copied, "The library has")


@subcommand(db, "rebuild", example="steer db rebuild")
@library_options
def rebuild(library: Library) -> Answer:
    """Make versions of all manifests among the blobs, where the database was lost.

    Aliases, yanks, evaluations, the log, and what was changed after saving were in the database alone.
    """
    with library.open() as store:
        done = rebuilding.rebuild(store)
    parts: list[Part] = [f"Added {len(done.versions)} versions; {done.present} were there already"]
    if done.rejected:
        parts.append(Table(("manifest", "not usable because"), list(done.rejected.items())))
    notes = [rebuilding.LOST] if done.versions else []
    notes += [f"{len(done.unused)} files belong to no version; see `steer fsck`"] if done.unused else []
    return Answer(done.to_json(), parts, notes)


def _copied(copied: copies.Copied, where: str) -> Answer:
    new = f"{copied.copied} copied now ({size_text(copied.size)})"
    return Answer(copied.to_json(), [f"{where} {copied.versions} versions and {copied.blobs} blobs, {new}"])


def _answer(revision: str | None) -> Answer:
    return Answer({"schema": revision}, [f"The schema is {revision}" if revision else "There are no tables"])


def _confirm(revision: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidInputError(f"a downgrade to {revision} can lose data", "make a backup, and add --yes")
    click.confirm(f"A downgrade to {revision} can lose data. Go on?", abort=True, err=True)
