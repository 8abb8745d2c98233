"""`steer import`: other tools' files through the command line, on both databases, and on the real weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest
import torch

from cli.model import DTYPES
from tests.blank import blank
from tests.cli.steering import Steer
from tests.cli.test_process import IMPORTS
from vectorstore import hooks
from vectorstore.canonical import digest
from vectorstore.compose import compose
from vectorstore.extract import compute
from vectorstore.models.load import Dtype
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.plan import plan_of
from vectorstore.store import Store

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WIDTH = 32
PAIR = ("--positive", " love", "--negative", " hate")


@pytest.fixture
def both(steer: Steer, library_url: str, blobs_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Steer:
    """Run the program at a library on SQLite, and on PostgreSQL."""
    monkeypatch.setenv("STEER_DATABASE_URL", library_url)
    monkeypatch.setenv("STEER_BLOBS_URL", str(blobs_folder))
    return steer


@pytest.fixture
def love(steer: Steer, tiny: str) -> Steer:
    """Have one vector at layer 1."""
    steer.ok("compute", "love", "--model", tiny, "--layer", "1", *PAIR)
    return steer


def pt(path: Path, value: object) -> str:
    torch.save(value, path)
    return str(path)


def npy(path: Path, *shape: int) -> str:
    np.save(path, np.random.default_rng(0).standard_normal(shape or (WIDTH,)).astype(np.float32))
    return str(path)


def test_a_pt_file_becomes_a_version_with_a_truthful_card(both: Steer, tiny: str, tmp_path: Path):
    file = pt(tmp_path / "refusal.pt", {1: torch.ones(WIDTH), 2: torch.ones(WIDTH)})
    about = ("--preset", "strong=0.5r", "--label", "topic=refusal", "--author", "Ada", "--license", "MIT")
    words = ("import", file, "--name", "acme/refusal", "--model", tiny, "--site", "resid_post", "--method", "caa")
    made = both.ok(*words, "--description", "From a paper", *about)
    assert made["created"]
    assert not both.ok(*words, "--description", "From a paper", *about)["created"]
    shown = both.ok("show", "acme/refusal@1")
    assert shown == {key: value for key, value in shown.items() if key not in made["version"]} | made["version"] | {
        "card": made["card"]
    }
    assert (shown["license"], shown["authors"], shown["labels"]) == ("MIT", ["Ada"], {"topic": "refusal"})
    assert list(shown["presets"]) == ["strong"]
    card = shown["card"]
    assert card["method"] == {"name": "caa", "version": "unknown", "params": {}, "seed": 0}
    assert card["data"]["items"][0]["file"] == "refusal.pt"
    assert card["data"]["items"][0]["digest"] == digest(Path(file).read_bytes())
    assert set(card["residual_norms"]) == set(card["norms"]) == {"resid_post.1", "resid_post.2"}
    computed = both.ok("compute", "love", "--model", tiny, "--layer", "1..2", "--site", "resid_post", *PAIR)["card"]
    assert (card["model"], card["versions"]) == (computed["model"], computed["versions"])
    assert card["residual_norms"] == computed["residual_norms"]
    steered = both.ok("generate", "hello", "--model", tiny, "--steer", "acme/refusal:strong", "--max-new-tokens", "4")
    assert steered["steered"]


def test_like_takes_model_and_r_from_a_version(love: Steer, tmp_path: Path):
    file = npy(tmp_path / "a.npy")
    card = love.ok("import", file, "--name", "a", "--like", "love", "--layer", "1", "--site", "resid_pre")["card"]
    theirs = love.ok("show", "love")["card"]
    assert (card["model"], card["residual_norms"]) == (theirs["model"], theirs["residual_norms"])
    done = love("import", file, "--name", "b", "--like", "love", "--layer", "-1", "--site", "resid_post")
    assert done.code == 0
    assert "note: R is not known at resid_post.2" in done.err
    assert "taken as resid_pre" not in done.err


def test_a_site_that_nobody_said_is_noted(love: Steer, tmp_path: Path):
    words = ("--name", "a", "--like", "love", "--layer", "1")
    done = love("import", npy(tmp_path / "a.npy"), *words)
    assert "note: taken as resid_pre, the layers' input" in done.err
    assert love.ok("import", npy(tmp_path / "a.npy"), *words)["notes"] == [done.err.removeprefix("note: ").rstrip()]
    named = pt(tmp_path / "a.pt", {"resid_pre.1": torch.ones(WIDTH)})
    assert love("import", named, *words).err == ""
    states = npy(tmp_path / "states.npy", 4, WIDTH)
    assert love("import", states, *words, "--rows", "hidden_states").err == ""


def test_an_exported_vector_comes_back_with_its_digest(both: Steer, tiny: str, tmp_path: Path):
    made = both.ok("compute", "love", "--model", tiny, "--layer", "1", *PAIR, "--preset", "strong=2")
    file = tmp_path / "out.safetensors"
    written = both.ok("export", "love", "--to", str(file))
    assert written["digest"] == digest(file.read_bytes()) == made["version"]["blobs"][0]["digest"]
    back = both.ok("import", str(file), "--name", "team/love", "--preset", "mild=1")
    assert back["card"] == made["card"]
    assert back["version"]["blobs"] == made["version"]["blobs"]
    assert list(back["version"]["presets"]) == ["mild"]
    again = both.ok("import", str(file), "--name", "love", "--preset", "strong=2")
    assert (again["created"], again["version"]["reference"]) == (False, "love@1")


def test_what_needs_no_model_needs_no_torch(love: Steer, tmp_path: Path):
    assert love.ok("list")["versions"]
    exported = tmp_path / "love.safetensors"
    for words in (
        ["export", "love", "--to", str(exported)],
        ["import", str(exported), "--name", "again"],
        ["import", npy(tmp_path / "a.npy"), "--name", "a", "--like", "love", "--layer", "1"],
    ):
        done = subprocess.run([sys.executable, "-c", IMPORTS, *words], capture_output=True, text=True, check=True)
        modules = set(done.stderr.splitlines()[-1].split(","))
        assert "click" in modules
        assert not modules & {"torch", "transformers"}


@pytest.fixture
def folder(love: Steer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder with files that are good, bad and hostile; `ran` appears there once the hostile one has run."""

    class Code:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    monkeypatch.chdir(tmp_path)
    npy(tmp_path / "one.npy")
    npy(tmp_path / "thin.npy", WIDTH - 1)
    npy(tmp_path / "rows.npy", 3, WIDTH)
    np.save("nan.npy", np.full(WIDTH, np.nan))
    pt(tmp_path / "two.pt", {"a": torch.ones(WIDTH), "b": torch.ones(WIDTH)})
    pt(tmp_path / "evil.pt", {"a": torch.ones(WIDTH), "b": Code()})
    Path("empty.pt").touch()
    Path("cut.pt").write_bytes(Path("two.pt").read_bytes()[:-100])
    love.ok("export", "love", "--to", "love.safetensors")
    Path("cut.safetensors").write_bytes(Path("love.safetensors").read_bytes()[:-1])
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["none.npy"], 3, "there is no file none.npy"),
        (["."], 2, "is no file of tensors, by its ending; known: .safetensors, .npy"),
        (["one.npy"], 2, "one.npy does not say which model it is for; give --model REF, or --like"),
        (["one.npy", "--like", "love", "--model", "demo", "--layer", "1"], 2, "both --model and --like are given"),
        (["one.npy", "--like", "hate", "--layer", "1"], 3, "there is no 'hate'"),
        (["one.npy", "--like", "love"], 2, "no layer is given for the tensor; say where it belongs"),
        (["one.npy", "--like", "love", "--layer", "3"], 2, "layer 3 is out of range for tiny"),
        (["one.npy", "--like", "love", "--layer", "2..1"], 2, "layers 2..1 run backwards; write 1..2"),
        (["one.npy", "--like", "love", "--layer", "1", "--preset", "a=0.1r", "--site", "head_out"], 2, "there is no R"),
        (["thin.npy", "--like", "love", "--layer", "1"], 5, "has width 31, and resid_pre of tiny (3 layers"),
        (["nan.npy", "--like", "love", "--layer", "1"], 6, "nan.npy has NaN or infinite values"),
        (["rows.npy", "--like", "love", "--layer", "1"], 2, "say --rows positions (one per prompt token), layers"),
        (["two.pt", "--like", "love", "--layer", "1"], 2, "a [32], b [32]; choose with --key NAME, or NAME=LAYER"),
        (["two.pt", "--like", "love", "--key", "c"], 3, "two.pt has no tensor 'c'; it has a [32], b [32]"),
        (["evil.pt", "--like", "love", "--layer", "1"], 6, "evil.pt: not only tensors: it wants to run posix.mkdir"),
        (["empty.pt", "--like", "love", "--layer", "1"], 6, "empty.pt is empty"),
        (["cut.pt", "--like", "love", "--layer", "1"], 6, "cut.pt: no file that PyTorch can read"),
        (["love.safetensors", "--layer", "1"], 2, "is a steering vector with a card that says what it is"),
        (["love.safetensors", "--like", "love"], 2, "has a card that says its model; leave --model and --like out"),
        (["cut.safetensors"], 6, "cut.safetensors: the tensors take 768 bytes, but the file has 767"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_told_in_one_line(love: Steer, folder: Path, words: list[str], code: int, said: str):
    assert said in love.fails(code, "import", *words, "--name", "mine")
    assert not (folder / "ran").exists()


def test_a_name_that_is_none_is_refused_before_the_file_is_read(steer: Steer):
    assert "none.npy" not in steer.fails(2, "import", "none.npy", "--name", "a b")


def test_a_file_that_another_program_wrote_with_our_card_is_noted(love: Steer, tmp_path: Path):
    file = tmp_path / "love.safetensors"
    love.ok("export", "love", "--to", str(file))
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    file.write_bytes((length + 8).to_bytes(8, "little") + data[8 : 8 + length] + b" " * 8 + data[8 + length :])
    done = love("import", str(file), "--name", "again")
    assert done.code == 0
    assert "was written by another program" in done.err
    assert love.ok("show", "again")["blobs"] == love.ok("show", "love")["blobs"]


def test_the_dtypes_are_those_of_load_model():
    assert get_args(Dtype) == DTYPES


@pytest.mark.weights
def test_a_direction_of_the_real_model_is_imported_shown_and_steers(
    steer: Steer, demo: tuple[PreTrainedModel, PreTrainedTokenizerBase], tmp_path: Path
):
    model, tokenizer = demo
    vector, card = compute(model, tokenizer, [ContrastPair(" weddings", " ")], layer=18)
    tensor = torch.tensor(np.array(vector.directions[Place("resid_pre", 18)]))
    file = pt(tmp_path / "weddings.pt", {"layer.18": tensor})
    words = ("import", file, "--name", "theirs", "--model", "demo", "--rows", "positions", "--method", "actadd")
    assert steer.ok(*words)["created"]
    shown = steer.ok("show", "theirs")["card"]
    ours = card.to_json()
    assert {part for part in ours if ours[part] != shown[part]} == {"method", "data", "read"}
    said = steer("show", "theirs").out
    for line in ("actadd (version unknown)", "1 file", "add to prompt_front tokens", f"{len(tensor)} x 576"):
        assert line in said
    with Store.open(blank(steer.home / "library.db"), blobs=str(steer.home / "blobs")) as store:
        plan = compose(store, "4*theirs")
    inputs = tokenizer("I went up to my friend and said", return_tensors="pt")
    with hooks.steer(model, plan), torch.no_grad():
        theirs = model(**inputs).logits
    with hooks.steer(model, plan_of(vector, card, 4)), torch.no_grad():
        assert torch.equal(model(**inputs).logits, theirs)
    with torch.no_grad():
        assert not torch.equal(model(**inputs).logits, theirs)


def test_the_place_in_a_list_is_no_layer_until_somebody_says_so(love: Steer, tmp_path: Path):
    file = pt(tmp_path / "list.pt", [torch.full((WIDTH,), float(number)) for number in (1, 2)])
    words = ("import", file, "--name", "list", "--like", "love")
    assert "the name of '[0]' says no layer" in love.fails(2, *words)
    made = love.ok(*words, "--layer", "1..2")
    assert [direction["norm"] for direction in made["version"]["directions"].values()] == pytest.approx(
        [WIDTH**0.5, 2 * WIDTH**0.5]
    )
    assert list(love.ok(*words, "--key", "[1]=0")["version"]["directions"]) == ["resid_pre.0"]
