"""The examples of the page on bundles run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.steering import Steer
from tests.transfer.libraries import save
from vectorstore.compose import pin
from vectorstore.store import Store
from vectorstore.store.receive import MAX_SIZES
from vectorstore.transfer import closure, index

PAGE = (Path(__file__).parents[2] / "docs" / "bundles.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def steer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steer:
    """Fill the library, and work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with Store.open() as store:
        save(store, "weddings")
        save(store, "acme/love", 1)
        store.save_recipe("mix", pin(store, "2*acme/love"))
    return Steer(tmp_path / "home")


def test_the_commands_run_one_after_the_other(steer: Steer):
    for line in blocks("sh")[0].splitlines():
        done = steer(*shlex.split(line)[1:])
        assert done.code == 0, (line, done.err)
    with Store.open() as store:
        assert [version.reference for version in store.list("team")] == ["team/mix@1", "team/weddings@1", "team/love@1"]


@pytest.mark.usefixtures("steer")
def test_the_example_runs(capsys: pytest.CaptureFixture[str]):
    exec(compile(blocks("python")[0], "bundles.md", "exec"), {})  # noqa: S102 - our own text
    sent, came = capsys.readouterr().out.splitlines()
    assert sent == "['acme/love@1', 'default/weddings@1', 'default/mix@1']"
    assert came == "['team/love@1', 'team/weddings@1', 'team/mix@1']"


def test_the_limits_are_those_of_the_code():
    vector, items, recipe = (f"{size >> 20} MiB" for size in MAX_SIZES.values())
    assert f"({vector} for a vector, {items} for items, {recipe} for a recipe, 1 MiB for a manifest)" in " ".join(
        PAGE.split()
    )
    assert f"naming more than {closure.MAX_VERSIONS:,} versions" in PAGE
    assert index.MAX_DEPTH == 4
