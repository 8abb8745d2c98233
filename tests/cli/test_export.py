"""`steer export`: a vector's own bytes in a file."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.blank import blank
from tests.builders import make_card, make_vector
from tests.cli.steering import Steer
from vectorstore.canonical import digest
from vectorstore.store import Store


@pytest.fixture
def love(steer: Steer) -> Steer:
    """Have a vector, and one whose prompts are too many for its card."""
    vector = make_vector(2)
    many = tuple({"positive": f"{n} {'x' * 100}", "negative": ""} for n in range(1000))
    with Store.open(blank(steer.home / "library.db"), blobs=str(steer.home / "blobs")) as store:
        store.save("love", vector, make_card(vector))
        store.save("many", vector, make_card(vector, items=many))
    return steer


def test_a_file_is_written_and_its_digest_told(love: Steer, tmp_path: Path):
    to = tmp_path / "love.safetensors"
    done = love("export", "love@1", "--to", str(to))
    assert (done.code, done.err) == (0, "")
    assert done.out == f"Wrote love@1 to {to} ({to.stat().st_size} bytes, {digest(to.read_bytes())[:19]})\n"


def test_presets_are_said_to_stay(love: Steer, tmp_path: Path):
    to = tmp_path / "love.safetensors"
    love.ok("preset", "set", "love@1", "strong=2")
    done = love("export", "love@1", "--to", str(to))
    said = "its presets stay in the library (strong); give them to `steer import` with --preset"
    assert done.err == f"note: {said}\n"
    assert love.ok("export", "love@1", "--to", str(to), "--force")["notes"] == [said]


def test_prompts_that_are_kept_apart_are_said_to_stay(love: Steer, tmp_path: Path):
    to = tmp_path / "many.safetensors"
    done = love("export", "many", "--to", str(to))
    assert "note: what it was computed from stays in the library" in done.err
    notes = love.ok("export", "many", "--to", str(to), "--force")["notes"]
    assert notes == [done.err.removeprefix("note: ").rstrip()]
    back = love.ok("import", str(to), "--name", "back")
    assert back["version"]["blobs"] == love.ok("show", "many")["blobs"][:1]
    assert back["card"]["data"]["count"] == 1000


@pytest.fixture
def taken(love: Steer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder with a file that is there already, and have a recipe."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.safetensors").write_text("mine")
    love.ok("compose", "2*love", "--save", "mix")
    return tmp_path / "taken.safetensors"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["love", "--to", "taken.safetensors"], 5, "taken.safetensors is there already; give another name, or --force"),
        (["love", "--to", "love.pt"], 2, "'love.pt' does not end in .safetensors"),
        (["love", "--to", "none/love.safetensors"], 3, "there is no folder none"),
        (["hate", "--to", "hate.safetensors"], 3, "there is no 'hate'"),
        (["love[2]", "--to", "love.safetensors"], 2, "'love[2]' is not a whole version; export all of it, or make"),
        (["mix", "--to", "mix.safetensors"], 5, "mix@1 is a recipe, and a file holds one vector"),
        (["love"], 2, "missing option '--to'"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(love: Steer, taken: Path, words: list[str], code: int, said: str):
    assert said in love.fails(code, "export", *words)
    assert list(taken.parent.glob("*.safetensors")) == [taken]
    assert taken.read_text() == "mine"


def test_force_replaces_the_file(love: Steer, taken: Path):
    written = love.ok("export", "love", "--to", str(taken), "--force")
    assert digest(taken.read_bytes()) == written["digest"]


def test_what_a_recipe_or_a_part_is_told_to_do_works(love: Steer, taken: Path):
    for number, reference in enumerate(("mix@1", "love[2]")):
        hint = love("export", reference, "--to", "new.safetensors").err
        words = shlex.split(hint[hint.index("steer compose") :].replace("NAME", f"whole{number}"))
        love.ok(*words[1:])
        file = taken.with_name(f"{number}.safetensors")
        love.ok("export", f"whole{number}", "--to", str(file))
        back = love.ok("import", str(file), "--name", "back")["version"]
        assert back["blobs"] == love.ok("show", f"whole{number}")["blobs"]
