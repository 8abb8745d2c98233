"""The page about sharing does what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.steering import Steer
from tests.client.made import saved
from tests.client.server import Server
from vectorstore.client.credentials import variable
from vectorstore.store import Store

PAGE = (Path(__file__).parent.parent.parent / "docs" / "sharing.md").read_text()
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
ELSEWHERE = ("steer generate", "steer login", "export")  # a model, a terminal, a PostgreSQL


@pytest.fixture
def backend() -> str:
    """Say that the database is SQLite: it makes no difference here."""
    return "sqlite"


def test_every_command_and_program_of_the_page_runs(
    server: Server, store: Store, mine: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable("acme"), server.person("ann", team="maintainer"))
    saved(mine, "calm")
    saved(store, "team/joy", 1, presets={"strong": 2})
    store.set_alias("team/joy@1", "prod")
    plans = []
    for language, text in BLOCKS:
        if language == "python":
            names: dict[str, object] = {}
            exec(text, names)  # noqa: S102 - the page's own program
            plans.append(names["plan"].places)
            names["store"].close()
            continue
        for line in text.splitlines():
            if not line.startswith(ELSEWHERE):
                words = shlex.split(line.replace("https://vectors.acme.com", server.url), comments=True)
                done = Steer(tmp_path / "home")(*words[1:])
                assert done.code == 0, (line, done.err)
    assert len(plans) == 2
    assert plans[0] == plans[1]
    assert mine.resolve("team/quiet").digest == mine.resolve("calm").digest
