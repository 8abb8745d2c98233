"""`steer bake`: a model with an expression in its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.cli.steering import Steer

PAIR = ("--positive", " love", "--negative", " hate")


@pytest.fixture
def love(steer: Steer, tiny: str) -> Steer:
    """Have a vector for all tokens, one at the attentions' outputs, and one of a direction for each token."""
    mean = ("--method", "mean_difference")
    steer.ok("compute", "love", "--model", tiny, "--layer", "1..2", *mean, "--preset", "strong=2", *PAIR)
    steer.ok("compute", "front", "--model", tiny, "--layer", "1", *PAIR)
    return steer


def test_the_folder_writes_what_the_steered_model_writes(love: Steer, tiny: str, tmp_path: Path):
    folder = tmp_path / "steered"
    done = love("bake", "love:strong", "--model", tiny, "--to", str(folder))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Baked love:strong into {folder}\n")
    for said in ("love@1", "add at resid_pre.1, add at resid_pre.2", "2 changed", "mlp_bias true; 7 biases are new"):
        assert said in done.out
    written = love.ok("generate", "so", "--model", tiny, "--steer", "love:strong", "--max-new-tokens", "12")["steered"]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("so", return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.decode(ids, skip_special_tokens=True) == written


def test_json_is_what_the_folder_says(love: Steer, tiny: str, tmp_path: Path):
    folder = tmp_path / "steered"
    document = love.ok("bake", "2*love[1]", "--model", tiny, "--to", str(folder))
    assert (document.pop("folder"), document.pop("notes")) == (str(folder), [])
    assert document == json.loads((folder / "steering.json").read_text("utf-8"))
    assert document["expression"] == "2*love[1]"
    assert document["difference"] < 1e-5 < document["effect"]


def test_the_audit_has_an_event_for_each_version_and_recipe(love: Steer, tiny: str, tmp_path: Path):
    love.ok("compose", "2*love", "--save", "mix")
    love.ok("bake", "mix", "--model", tiny, "--to", str(tmp_path / "steered"))
    events = love.ok("audit")["events"]
    assert [(event["action"], event["subject"]) for event in events[-2:]] == [
        ("version.bake", "default/love@1"),
        ("version.bake", "default/mix@1"),
    ]
    assert {event["after"]["folder"] for event in events[-2:]} == {"steered"}
    assert love("fsck").code == 0


def test_steering_the_result_again_warns(love: Steer, tiny: str, tmp_path: Path):
    love.ok("bake", "love", "--model", tiny, "--to", str(tmp_path / "steered"))
    words = ("generate", "so", "--model", str(tmp_path / "steered"), "--steer", "love", "--max-new-tokens", "2")
    (note,) = love.ok(*words)["notes"]
    assert note.startswith("default/love@1 was computed on tiny, which has other weights than steered")


def test_a_fine_tune_is_baked_with_a_note(love: Steer, tuned: str, tmp_path: Path):
    done = love("bake", "love", "--model", tuned, "--to", str(tmp_path / "steered"))
    assert done.code == 0
    assert "note: default/love@1 was computed on tiny, which has other weights" in done.err


def test_an_ablation_everywhere_is_baked(love: Steer, tiny: str, tmp_path: Path):
    places = ("0, resid_pre", "0..2, attn_out", "0..2, mlp_out")
    everywhere = " then ".join(f"ablate(at(love[1], {place}))" for place in places)
    document = love.ok("bake", everywhere, "--model", tiny, "--to", str(tmp_path / "ablated"))
    assert len(document["changed"]) == 7
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "ablated")
    embeddings = model.get_input_embeddings().weight.detach().double()
    _, sizes, directions = torch.linalg.svd(embeddings, full_matrices=False)
    assert sizes[-1] < 1e-6 < sizes[-2]
    with torch.no_grad():
        states = model(torch.tensor([[1, 5, 9]]), output_hidden_states=True).hidden_states
    stream = torch.cat([state[0] for state in states[:-1]]).double()  # the last one is normed
    assert (stream @ directions[-1]).abs().max() < 1e-5


@pytest.fixture
def taken(love: Steer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder where one name is taken."""
    assert love
    (tmp_path / "work" / "taken").mkdir(parents=True)
    (tmp_path / "work" / "taken" / "mine").touch()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize(
    ("expression", "folder", "code", "said"),
    [
        ("love", "taken", 5, "taken is there already, and not empty; give the name of a new folder"),
        ("love", "none/steered", 3, "there is no folder none"),
        ("hate", "steered", 3, "there is no 'hate'"),
        ("love +", "steered", 2, "column"),
        ("front", "steered", 2, "add at resid_pre.1 cannot be baked: it steers 'prompt_front' tokens, and weights"),
        ("keepnorm(love)", "steered", 2, "what 'keepnorm' does depends on the activations"),
        ("love - love", "steered", 2, "nothing is left of 'love - love'"),
        ("ablate(love)", "steered", 5, "layers before it have read what the attention of layer 0 gives"),
    ],
)
def test_what_cannot_be_baked_is_told_in_one_line(  # noqa: PLR0913, PLR0917 - fixtures and cases
    love: Steer, tiny: str, taken: Path, expression: str, folder: str, code: int, said: str
):
    assert said in love.fails(code, "bake", expression, "--model", tiny, "--to", folder)
    assert [path.name for path in taken.rglob("*")] == ["taken", "mine"]


def test_another_architecture_is_refused(love: Steer, alien: str, taken: Path):
    assert "no version of love fits alien" in love.fails(5, "bake", "love", "--model", alien, "--to", "steered")
    assert [path.name for path in taken.iterdir()] == ["taken"]
