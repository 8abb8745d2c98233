"""Libraries that are loaded in bulk, for tests that need many versions at once."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from benchmarks.catalogue_data import Catalogue
from benchmarks.catalogue_load import load_postgresql, load_sqlite
from tests.conftest import _postgresql


@contextmanager
def loaded(request: pytest.FixtureRequest, folder: Path, catalogue: Catalogue) -> Iterator[str]:
    """Give the URL of a library of `request.param`'s database that has the versions of `catalogue`."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "library.db")
        with closing(sqlite3.connect(folder / "library.db", isolation_level=None)) as connection:
            load_sqlite(connection, catalogue)
        yield f"sqlite:///{folder}/library.db"
        return
    template = request.getfixturevalue("postgresql_template")
    with contextmanager(_postgresql)(request.getfixturevalue("postgresql_server"), template) as url:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            load_postgresql(connection, catalogue)
            connection.execute("ANALYZE")
        yield url
