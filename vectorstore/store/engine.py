"""Engines: how each of the two databases is connected to, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.pool import NullPool

from vectorstore.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotAllowedError,
    UnavailableError,
    VectorstoreError,
)
from vectorstore.settings import absolute_path

if TYPE_CHECKING:
    import psycopg

WAIT_SECONDS = 60
CONNECTIONS = 15  # to a database at once, from one program
_KEPT = 5  # of them, when nobody uses them
CONNECT_SECONDS = 10
_SHAPES = "write sqlite:////folder/library.db or postgresql+psycopg://user@host/database"
_CACHE = "cache_size=-65536"  # 64 MiB at most: a page of a large catalogue reads from many places
_PRAGMAS = (f"busy_timeout={WAIT_SECONDS * 1000}", _CACHE, "synchronous=FULL")

_LOST = ("40001", "40P01")  # PostgreSQL's states where a change lost to another: serialization failure, deadlock


def read_url(text: str) -> URL:
    """Read a database URL; a path becomes absolute. No message repeats the text: it may hold a password.

    Raises:
        InvalidInputError: for anything but a file of SQLite or a database of PostgreSQL.
    """
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        raise InvalidInputError("the database URL cannot be read", _SHAPES) from None
    backend = url.get_backend_name()
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise InvalidInputError(f"databases of kind '{backend[:40]}' are not supported", _SHAPES)
    if not url.database or url.database == ":memory:" or url.query:
        raise InvalidInputError("an SQLite library needs a file, and takes no options in its URL", _SHAPES)
    return url.set(drivername="sqlite", database=str(absolute_path(url.database)))


def make_engine(url: URL, *, foreign_keys: bool = True, connections: int = CONNECTIONS) -> Engine:
    """Return an engine; nothing is connected yet. Migrations switch `foreign_keys` off to rebuild tables.

    Raises:
        UnavailableError: when PostgreSQL's driver is not installed.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, foreign_keys=foreign_keys, connections=connections)
    try:
        patience = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS}
        engine = create_engine(
            url,
            pool_pre_ping=True,
            **_pool(connections),
            connect_args={"client_encoding": "utf8"} | patience,
            isolation_level="READ COMMITTED",  # what the locks rely on, whatever the server's default is
        )
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"PostgreSQL needs the package {error.name}", "type: pip install 'steering-vectorstore[postgresql]'"
        ) from error
    event.listen(engine, "connect", partial(_require_utf8, url))
    event.listen(engine, "connect", _plan_for_pages)
    return engine


def _pool(connections: int) -> dict[str, Any]:
    """Return the options of a pool of at most so many connections; the one used last is next: it has read the most."""
    kept = min(_KEPT, connections)
    return {"pool_size": kept, "max_overflow": connections - kept, "pool_use_lifo": True}


def keep_log(url: URL) -> None:
    """Switch an SQLite library to a write-ahead log, for good: this changes the file, which must be known as ours."""
    if url.get_backend_name() != "sqlite" or not sqlite_writable(url):
        return
    with translated(url), closing(sqlite3.connect(str(url.database))) as connection:
        _run_pragma(connection, "journal_mode=WAL")


def sqlite_writable(url: URL) -> bool:
    """Return whether the file and its folder can be written; every look asks this, so no Path is made."""
    path = url.database or ""
    return os.access(_folder(path), os.W_OK) and (os.access(path, os.W_OK) or not os.access(path, os.F_OK))


@cache
def _folder(path: str) -> str:
    return str(Path(path).parent)


def _sqlite(url: URL, *, foreign_keys: bool, connections: int) -> Engine:
    writable = sqlite_writable(url)
    pragmas = (*(_PRAGMAS if writable else _PRAGMAS[:2]), f"foreign_keys={'ON' if foreign_keys else 'OFF'}")
    if writable and foreign_keys:
        engine = create_engine(url, **_pool(connections))
    elif writable:
        engine = create_engine(url, poolclass=NullPool)
    else:  # no pool: a connection without locks must not outlive what it was opened on
        engine = create_engine(url, poolclass=NullPool, creator=partial(_connect_read_only, Path(url.database or "")))

    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # `begin` says how transactions start
        for pragma in pragmas:
            _run_pragma(connection, pragma)

    event.listen(engine, "connect", connect)
    return engine


def _connect_read_only(path: Path) -> sqlite3.Connection:
    log = path.with_name(f"{path.name}-wal")
    # Without a log the file is complete; immutable lets SQLite read it where it can make no shared-memory file.
    complete = "" if log.exists() and log.stat().st_size else "&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro{complete}", uri=True)


@contextmanager
def steady(url: URL) -> Iterator[None]:
    """Let nothing count that was read without locks from a file while another program wrote it.

    Raises:
        UnavailableError: when the file has changed since.
    """
    before, trouble = _stamp(url), None
    if before is None:
        yield
        return
    try:
        yield
    except VectorstoreError as error:
        trouble = error
    if _stamp(url) != before:
        raise UnavailableError(f"another program is writing {shown(url)}", "try again in a moment") from trouble
    if trouble is not None:
        raise trouble


def _stamp(url: URL) -> tuple[int, int] | None:
    """Return time and size of a file that is read without locks; None where a database sees to it itself."""
    if url.get_backend_name() != "sqlite" or sqlite_writable(url):
        return None
    path = Path(url.database or "")
    return (path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None


def _run_pragma(connection: sqlite3.Connection, pragma: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute(f"PRAGMA {pragma}").close()
        except sqlite3.OperationalError as error:
            # Turning WAL on wants the file alone, and answers BUSY without waiting for busy_timeout.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _require_utf8(url: URL, connection: psycopg.Connection, _record: object) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise InvalidInputError(
            f"the database {shown(url)} keeps texts as {encoding}", "make one with ENCODING 'UTF8', and give its URL"
        )


def _plan_for_pages(connection: psycopg.Connection, _record: object) -> None:
    # Waking workers, to compute or to read ahead, or starting a compiler takes longer than reading a page.
    connection.autocommit = True
    connection.execute("SET max_parallel_workers_per_gather = 0").close()
    connection.execute("SET effective_io_concurrency = 0").close()
    connection.execute("SET jit = off").close()
    connection.autocommit = False


def begin(connection: Connection, *, write: bool) -> None:
    """Begin a transaction that writes, or only reads; an event of the engine would slow every statement by a third."""
    if connection.dialect.name == "sqlite":
        # A deferred transaction that reads and then writes fails at once with BUSY_SNAPSHOT, which no timeout covers.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
    elif write:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'")


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn the driver's errors into ours, each one line without a password in it.

    Raises:
        UnavailableError: database or disk cannot be used at the moment.
        IntegrityError: the file is not a database, or is damaged.
        ConflictError: another change came first.
        NotAllowedError: the database's user lacks a right.
    """
    try:
        yield
    except exc.DBAPIError as error:
        raise _translate(error, url) from error
    except sqlite3.Error as error:  # from outside the engine
        raise _translate(exc.OperationalError("", None, error), url) from error
    except exc.TimeoutError as error:
        raise UnavailableError(f"all connections to {shown(url)} are in use", "try again in a moment") from error
    except OSError as error:
        raise unavailable(error) from error


def unavailable(error: OSError) -> UnavailableError:
    """Say which file cannot be used, and why."""
    where = f" at {error.filename}" if error.filename else ""
    return UnavailableError(
        f"the library cannot be used{where} ({error.strerror or error})",
        "check that the folder can be written and the disk has space, or choose another with STEER_HOME",
    )


def shown(url: URL) -> str:
    """Return the database as messages name it: never with its password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.host or next(iter(_texts(url.query.get("host"))), "localhost")
    return f"postgresql://{host}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def _translate(error: exc.DBAPIError, url: URL) -> VectorstoreError:
    reason, what = _reason(error, url), f"the database {shown(url)}"
    if isinstance(error, exc.DataError):
        return InvalidInputError(f"{what} cannot keep a value ({reason})", "shorten it or remove unusual characters")
    if isinstance(error, exc.IntegrityError) or _state(error) in _LOST:
        return ConflictError(f"another change came first ({reason})", "try again")
    if _state(error) == "42501":
        return NotAllowedError(f"{what} does not allow this ({reason})", "ask its owner for the right to do it")
    if isinstance(error, exc.ProgrammingError) and url.query and _state(error) is None:  # refused before connecting
        return InvalidInputError(
            f"the options of {what} cannot be used ({reason})", "mend what follows the ? in its URL"
        )
    if "not a database" in reason or "malformed" in reason:
        return IntegrityError(f"{what} is damaged or not an SQLite database ({reason})", "restore it from a backup")
    return UnavailableError(f"{what} cannot be used ({reason})", _hint(reason, url))


def _state(error: exc.DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _reason(error: exc.DBAPIError, url: URL) -> str:
    """Return the driver's first line, without the password."""
    reason = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]
    for secret in (url.password, *_texts(url.query.get("password"))):
        reason = reason.replace(secret, "***") if secret else reason
    return reason


def _hint(reason: str, url: URL) -> str:
    if "locked" in reason or "lock timeout" in reason:
        return "another program is writing; try again when it is done"
    if "read-only" in reason:
        return "it can only be read: use the server's primary, or another database"
    if url.get_backend_name() == "sqlite":
        return "check its folder's permissions and free space"
    return "check that it is running, and the URL in STEER_DATABASE_URL"


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - a query value is text or several
    return (value,) if isinstance(value, str) else tuple(value or ())
