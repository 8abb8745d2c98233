"""Database: transactions on a library's tables, and the one way to bring its schema up or down.

Alembic and the ORM take longer to import than a list takes to answer, so they are imported only where they are used.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, inspect, text

from vectorstore.errors import ConflictError, InvalidInputError, NotFoundError, SchemaError
from vectorstore.store.blobs.folders import make_folder
from vectorstore.store.engine import CONNECTIONS, begin, keep_log, make_engine, read_url, shown, steady, translated

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.orm import Session

REVISIONS = ("0001", "0002", "0003", "0004", "0005")  # oldest first; the last is the one this program works with
_HEAD = REVISIONS[-1]
_LOCK_KEY = 0x5354454552  # "STEER": the advisory lock of upgrades on PostgreSQL
_ALEMBIC = Lock()  # its context is one global per process


class Database:
    """A library's database, with the schema that this program knows."""

    def __init__(self, url: URL, connections: int = CONNECTIONS) -> None:
        """Prepare connections, at most so many at once; nothing is connected yet."""
        self.url = url
        self._engine = make_engine(url, connections=connections)
        snapshot = {} if url.get_backend_name() == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        self._reader = self._engine.execution_options(**snapshot)

    @classmethod
    def open(cls, url: str, *, create: bool = True, connections: int = CONNECTIONS) -> Database:
        """Open the library at `url`; an empty database becomes one, unless `create` is false.

        Raises:
            NotFoundError: when there is none and none shall be made.
            SchemaError: when the schema is older or newer than this program.
            ConflictError: when the database holds something else.
            UnavailableError: when it cannot be reached.
        """
        parsed = read_url(url)
        if create:
            _make_folder(parsed)  # before the engine looks whether it can write there
        else:
            _require_file(url)
        database = cls(parsed, connections)
        try:
            revision = database.revision()
            if not create:
                _require_library(parsed, present=revision is not None)
            if revision is None:
                upgrade(url)
            else:
                _require_head(revision)
                keep_log(parsed)  # once more: the program that made it may have been killed before it could
        except BaseException:
            database.close()
            raise
        return database

    def revision(self) -> str | None:
        """Return the revision of the schema; None for an empty database.

        Raises:
            ConflictError: when the database holds something else.
        """
        with self.look() as connection:
            return _revision(connection)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session that sees one moment, and writes nothing."""
        from sqlalchemy.orm import Session  # noqa: PLC0415 - see above

        with steady(self.url), translated(self.url), Session(self._reader) as session, session.begin():
            begin(session.connection(), write=False)
            yield session

    @contextmanager
    def look(self) -> Iterator[Connection]:
        """Give a connection that sees one moment: `read` without the ORM."""
        with steady(self.url), translated(self.url), self._reader.connect() as connection, connection.begin():
            begin(connection, write=False)
            yield connection

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give a session whose changes are all kept at the end, or none of them."""
        from sqlalchemy.orm import Session  # noqa: PLC0415 - see above

        with translated(self.url), Session(self._engine, expire_on_commit=False) as session, session.begin():
            begin(session.connection(), write=True)
            yield session

    @contextmanager
    def change(self) -> Iterator[Connection]:
        """Give a connection whose changes are all kept at the end, or none of them: `write` without the ORM."""
        with translated(self.url), self._engine.begin() as connection:
            begin(connection, write=True)
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def upgrade(url: str) -> str:
    """Bring the schema to this program's revision and return it; two programs at once do it once.

    Raises:
        SchemaError: when a newer program made it.
        ConflictError: when the database holds something else.
    """
    from alembic import command  # noqa: PLC0415 - see above

    parsed = read_url(url)
    _make_folder(parsed)
    with _migration(parsed) as (connection, config):
        revision = _revision(connection)
        if revision != _HEAD:
            _refuse_newer(revision)
            command.upgrade(config, "head")
    keep_log(parsed)
    return _HEAD


def downgrade(url: str, revision: str) -> str | None:
    """Take the schema back to `revision` (`base`: no tables at all) and return it; what it cannot hold is lost.

    Raises:
        InvalidInputError: for an unknown revision, or one after that of the schema.
        SchemaError: when a newer program made the schema.
    """
    from alembic import command  # noqa: PLC0415 - see above

    if revision not in (*REVISIONS, "base"):
        raise InvalidInputError(f"there is no revision '{revision}'", f"revisions: base, {', '.join(REVISIONS)}")
    _require_file(url)
    with _migration(read_url(url)) as (connection, config):
        present = _revision(connection)
        _refuse_newer(present)
        if present is not None:
            if revision > present and revision != "base":
                raise InvalidInputError(f"the library has the older schema {present}", "type: steer db upgrade")
            command.downgrade(config, revision)
        return _revision(connection)


def current(url: str) -> str | None:
    """Return the revision of the schema, or None where the database is empty."""
    _require_file(url)
    database = Database(read_url(url))
    try:
        return database.revision()
    finally:
        database.close()


def check(url: str) -> str:
    """Compare the tables with what this program expects; return the revision.

    Raises:
        SchemaError: when they differ.
    """
    from alembic import command, util  # noqa: PLC0415 - see above

    _require_file(url)
    with _migration(read_url(url)) as (connection, config):
        revision = _revision(connection)
        _require_head(revision)
        try:
            command.check(config)
        except util.AutogenerateDiffsDetected as error:
            steps = ", ".join(map(_step_text, error.diffs[:3]))
            raise SchemaError(f"the tables were changed by hand (to mend: {steps})", "restore the database") from error
    return _HEAD


@contextmanager
def _migration(url: URL) -> Iterator[tuple[Connection, Config]]:
    """Give a connection that has the schema to itself, in one transaction, and Alembic's configuration for it."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(files("vectorstore.migrations")).replace("%", "%%"))
    engine = make_engine(url, foreign_keys=False)
    try:
        with _ALEMBIC, translated(url), engine.begin() as connection:
            begin(connection, write=True)
            if url.get_backend_name() != "sqlite":  # there, BEGIN IMMEDIATE has locked the file
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            config.attributes["connection"] = connection
            yield connection, config
    finally:
        engine.dispose()


def _revision(connection: Connection) -> str | None:
    """Return the schema's revision; None for an empty database."""
    tables, where = set(inspect(connection).get_table_names()), shown(connection.engine.url)
    marked = "alembic_version" in tables
    found = connection.scalars(text("SELECT version_num FROM alembic_version")).all() if marked else []
    if not tables - {"alembic_version"} and not found:
        return None
    if not {"alembic_version", "artifacts", "versions"} <= tables:
        others = ", ".join(sorted(tables - {"alembic_version"})[:3]) or f"schema {str(found[0])[:40]}"
        raise ConflictError(
            f"the database {where} holds other tables ({others})", "give the URL of an empty database or of a library"
        )
    if len(found) != 1:
        raise SchemaError(f"the library {where} names {len(found)} schemas instead of one", "restore the database")
    return str(found[0])


def _step_text(step: Any) -> str:  # noqa: ANN401 - Alembic's: a tuple, or a list of tuples about one column
    """Return `remove_column labels colour` of what Alembic would do."""
    action, *subjects = step[0] if isinstance(step, list) else step
    names = (part if isinstance(part, str) else getattr(part, "name", None) for part in subjects[:3])
    return " ".join(filter(None, (action, *names)))


def _require_head(revision: str | None) -> None:
    _refuse_newer(revision)
    if revision != _HEAD:
        raise SchemaError(f"the library has the older schema {revision or 'base'}", "type: steer db upgrade")


def _refuse_newer(revision: str | None) -> None:
    if revision not in (None, *REVISIONS):
        raise SchemaError(
            f"the library was made by a newer version of the program (schema {revision}, known {_HEAD})",
            "upgrade the package: pip install -U steering-vectorstore",
        )


def _make_folder(url: URL) -> None:
    if url.get_backend_name() == "sqlite":
        with translated(url):
            make_folder(Path(url.database or "").parent)


def _require_file(url: str) -> None:
    parsed = read_url(url)
    _require_library(parsed, present=parsed.get_backend_name() != "sqlite" or Path(parsed.database or "").exists())


def _require_library(url: URL, *, present: bool) -> None:
    if not present:
        raise NotFoundError(f"there is no library at {shown(url)}", "mend its URL, or type: steer init")
