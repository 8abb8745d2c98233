"""Aliases, labels, presets, and the database itself, through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.blank import blank
from tests.builders import make_card, make_vector
from tests.cli.steering import Steer
from vectorstore.store import Store


@pytest.fixture
def library(steer: Steer) -> Steer:
    """Have two versions of `love`, on layers 2 to 4."""
    with Store.open(blank(steer.home / "library.db"), blobs=str(steer.home / "blobs")) as store:
        for seed in (1, 2):
            vector = make_vector([2, 3, 4], seed=seed)
            store.save("love", vector, make_card(vector))
    return steer


def test_init_says_whether_it_made_the_library(steer: Steer):
    first, again = steer.ok("init"), steer.ok("init")
    assert (first["created"], again["created"]) == (True, False)
    assert first["database"] == str(steer.home / "library.db")
    assert first["blobs"] == str(steer.home / "blobs")
    assert first["schema"] == steer.ok("db", "current")["schema"]


def test_an_alias_moves_and_goes(library: Steer):
    assert library.ok("alias", "set", "love@1", "prod")["aliases"] == ["prod"]
    assert library("show", "love@prod").out.startswith("love@1\n")
    assert library("alias", "set", "love@2", "prod").out == "@prod is love@2\n"
    assert library.ok("show", "love@prod")["number"] == 2
    assert library("alias", "remove", "love", "prod").out == "@prod no longer means love@2\n"
    assert "has no alias 'prod'" in library.fails(3, "show", "love@prod")
    assert "'1st' is not a" in library.fails(2, "alias", "set", "love", "1st")


def test_a_label_is_set_changed_and_removed(library: Steer):
    assert library.ok("label", "set", "love", "topic=love")["labels"] == {"topic": "love"}
    assert library("label", "set", "love", "topic=joy").out == "love@2 has topic=joy\n"
    assert [version["number"] for version in library.ok("list", "--label", "topic=joy")["versions"]] == [2]
    assert library("label", "remove", "love", "topic").out == "love@2 has no labels\n"
    assert "love@2 has no label 'topic'" in library.fails(3, "label", "remove", "love", "topic")


def test_a_preset_is_set_changed_used_and_removed(library: Steer):
    set_preset = ("preset", "set", "love@2")
    assert library.ok(*set_preset, "strong=0.5r")["presets"]["strong"]["coefficient"] == "0.5r"
    kept = library.ok(*set_preset, "strong=3", "--layers", "2..3", "--tokens", "last")["presets"]["strong"]
    assert kept == {"coefficient": "3", "layers": [2, 3], "tokens": "last"}
    steps = library.ok("compose", "love:strong")["steps"]
    assert [(step["layer"], step["tokens"]) for step in steps] == [(2, "last"), (3, "last")]
    assert library("preset", "remove", "love@2", "strong").out == "love@2 has no presets\n"
    assert "has no preset 'strong'" in library.fails(3, "compose", "love:strong")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["mild=1", "--layers", "5"], "asks for layers 5..5; there is layers 2..4"),
        (["mild=1", "--layers", "-1"], "count its layers from 0"),
        (["mild=1", "--tokens", "prompt_front"], "preset mild"),
        (["mild=1", "--tokens", "some"], "is not one of"),
        (["mild"], "'mild' is not a preset"),
    ],
)
def test_a_preset_that_does_not_suit_is_refused(library: Steer, options: list[str], said: str):
    assert said in library.fails(2, "preset", "set", "love", *options)


def test_the_database_goes_down_when_told_twice_and_up_again(library: Steer):
    assert library.ok("db", "check")["ok"] is True
    assert "make a backup, and add --yes" in library.fails(2, "db", "downgrade", "base")
    assert library("db", "downgrade", "base", "--yes").out == "There are no tables\n"
    assert library.ok("db", "current") == {"schema": None}
    head = library.ok("db", "upgrade")["schema"]
    assert library("db", "current").out == f"The schema is {head}\n"
    assert library.ok("list")["versions"] == []


def test_a_database_that_is_not_there_has_no_schema(steer: Steer):
    for words in (["current"], ["check"], ["downgrade", "base", "--yes"]):
        assert "type: steer init" in steer.fails(3, "db", *words)
    assert not steer.home.exists()


def test_options_override_the_environment_and_that_the_config_file(
    steer: Steer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("STEER_HOME")
    (tmp_path / "config.toml").write_text(f'home = "{tmp_path}/from-file"')
    assert steer.ok("init")["database"] == f"{tmp_path}/from-file/library.db"
    monkeypatch.setenv("STEER_HOME", str(tmp_path / "from-environment"))
    assert steer.ok("init")["database"] == f"{tmp_path}/from-environment/library.db"
    chosen = steer.ok("init", "--database", f"sqlite:///{tmp_path}/chosen.db", "--blobs", str(tmp_path / "elsewhere"))
    assert (chosen["database"], chosen["blobs"]) == (f"{tmp_path}/chosen.db", f"{tmp_path}/elsewhere")


def test_a_password_in_a_url_is_never_printed(steer: Steer):
    said = steer.fails(7, "init", "--database", "postgresql://ada:hunter2@127.0.0.1:1/library")
    assert "hunter2" not in said
