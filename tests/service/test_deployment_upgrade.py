"""`steer serve --upgrade`: of several that start at once one brings the schema up; without it, one line says how."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.builders import make_card, make_vector
from tests.service.processes import Process
from vectorstore.store import Store
from vectorstore.store.database import REVISIONS, check, current, downgrade
from vectorstore.store.upkeep.fsck import check as check_library

ENOUGH = 4


@pytest.fixture
def settings(library_url: str, blobs_folder: Path) -> dict[str, str]:
    """Have a library of the first schema, with a version in it; return the settings that name it."""
    with Store.open(library_url, blobs=str(blobs_folder)) as store:
        store.save("love", make_vector(3), make_card(make_vector(3)))
    downgrade(library_url, REVISIONS[0])
    return {"STEER_DATABASE_URL": library_url, "STEER_BLOBS_URL": str(blobs_folder)}


def serve(settings: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from cli.main import main; main()", "serve", *words]
    return subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False, timeout=60)


def test_several_that_start_at_once_upgrade_once_and_all_serve(
    settings: dict[str, str], library_url: str, blobs_folder: Path, tmp_path: Path
):
    def start(number: int) -> Process:
        return Process(tmp_path / f"log-{number}", ["--upgrade"], **settings)

    with ThreadPoolExecutor(ENOUGH) as pool:
        servers = list(pool.map(start, range(ENOUGH)))
    logs = [server.log.read_text() for server in servers]
    for server in servers:
        server.stop()
    assert check(library_url) == REVISIONS[-1]
    assert sum("The administrator's token" in log for log in logs) == 1
    assert not any("Traceback" in log for log in logs)
    with Store.open(library_url, blobs=str(blobs_folder), create=False) as store:
        assert store.resolve("love").number == 1
        assert check_library(store, full=True).problems == []


def test_without_it_one_line_says_what_to_do(settings: dict[str, str], library_url: str):
    done = serve(settings)
    assert done.returncode == 7
    assert done.stderr.splitlines() == [
        "error: the library has the older schema 0001; type: steer db upgrade, or start with: steer serve --upgrade"
    ]
    assert current(library_url) == REVISIONS[0]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_library_of_a_newer_program_is_refused_with_it_too(settings: dict[str, str], tmp_path: Path):
    import sqlite3  # noqa: PLC0415 - by hand, as no program of ours can

    connection = sqlite3.connect(tmp_path / "library.db")
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for words in ([], ["--upgrade"]):
        done = serve(settings, *words)
        assert (done.returncode, len(done.stderr.splitlines())) == (7, 1)
        assert "pip install -U steering-vectorstore" in done.stderr
        assert "--upgrade" not in done.stderr
