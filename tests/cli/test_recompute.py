"""`steer recompute`, and what `steer compute` takes besides pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.blank import blank
from tests.cli.steering import Steer
from vectorstore.extract import recompute
from vectorstore.models import load_model
from vectorstore.store import Store

PAIR = ("--positive", " love", "--negative", " hate")


@pytest.fixture
def love(steer: Steer, tiny: str) -> Steer:
    steer.ok("compute", "love", "--model", tiny, "--layer", "1..2", *PAIR)
    return steer


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.jsonl"
    lines = [{"positive": "so good", "negative": "so bad"}, {"positive": "a fine day", "negative": "a sad day"}]
    path.write_text("\n".join(map(json.dumps, lines)))
    return str(path)


def test_a_version_computed_again_agrees_bit_for_bit(love: Steer, tiny: str):
    again = love.ok("recompute", "love@1", "--model", tiny)
    assert (again["agrees"], again["fit"], again["notes"]) == (True, "same", [])
    assert [(place["layer"], place["identical"]) for place in again["places"]] == [(1, True), (2, True)]
    assert "love@1 computed again agrees" in love("recompute", "love", "--model", tiny).out
    assert len(love.ok("history", "love")["versions"]) == 1


def test_python_says_the_same(love: Steer, tiny: str):
    model, tokenizer = load_model(tiny)
    with Store.open(blank(love.home / "library.db"), blobs=str(love.home / "blobs")) as store:
        assert recompute(store, "love@1", model, tokenizer).agrees


def test_all_settings_are_those_of_the_card(steer: Steer, tiny: str, pairs: str):
    settings = ("--method", "mean_difference", "--read", "at_index", "--index", "-1", "--site", "attn_out")
    words = ("--template", "The {concept} of: {text}.", "--word", "concept=mood", "--store-dtype", "bfloat16")
    made = steer.ok("compute", "mood", "--model", tiny, "--layer", "2", "--pairs", pairs, *settings, *words)
    assert made["card"]["method"]["params"] == {"read": "at_index", "index": -1}
    assert made["card"]["data"]["items"][0]["positive"] == "The mood of: so good."
    assert steer.ok("recompute", "mood", "--model", tiny)["places"][0]["identical"]


def test_another_models_result_differs_and_ends_with_6(love: Steer, tuned: str):
    done = love("recompute", "love", "--model", tuned)
    assert done.code == 6
    assert "love@1 computed again differs by more than 0.001" in done.out
    assert done.err == "note: this model has other weights than tiny, which it was computed on\n"
    again = love("recompute", "love", "--model", tuned, "--json")
    assert (again.code, again.json["agrees"], again.json["fit"]) == (6, False, "compatible")
    assert love("recompute", "love", "--model", tuned, "--tolerance", "100").code == 0


def test_a_model_that_does_not_fit_is_refused(love: Steer, wide: str):
    assert "was computed on tiny" in love.fails(5, "recompute", "love", "--model", wide)


def test_without_a_model_it_asks_for_that_of_the_card(love: Steer):
    assert "model 'tiny'" in love.fails(7, "recompute", "love")


def test_what_was_not_computed_from_data_is_refused_before_a_model_is_loaded(love: Steer, tmp_path: Path, tiny: str):
    np.savez(tmp_path / "other.npz", direction=np.ones(32, np.float32))
    place = ("--model", tiny, "--site", "resid_pre", "--layer", "1")
    love.ok("import", str(tmp_path / "other.npz"), "--name", "other", *place)
    said = love.fails(5, "recompute", "other", "--model", "nowhere")
    assert "other@1 was not computed from data" in said
    love.ok("compose", "2*love", "--save", "mix")
    assert "is a recipe" in love.fails(5, "recompute", "mix", "--model", "nowhere")


def test_repeated_items_are_said_and_count_twice(steer: Steer, tiny: str, tmp_path: Path):
    line = '{"positive": "a", "negative": "b"}\n'
    (tmp_path / "pairs.jsonl").write_text(line + '{"positive": "c", "negative": "d"}\n' + line)
    words = ("--layer", "1", "--data", str(tmp_path / "pairs.jsonl"), "--method", "mean_difference")
    done = steer("compute", "mood", "--model", tiny, *words)
    assert done.err == "note: some pairs occur twice, and count twice: 3 repeats 1\n"


def test_several_pairs_may_stand_on_the_command_line(steer: Steer, tiny: str):
    two = (*PAIR, "--positive", " warm", "--negative", " cold")
    made = steer.ok("compute", "mood", "--model", tiny, "--layer", "1", *two, "--method", "mean_difference")
    assert made["card"]["data"]["count"] == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--positive", "a", "--negative", "b", "--data", "x.jsonl"), "both a file and texts are given"),
        (("--positive", "a"), "the negative prompt is missing"),
        (
            ("--positive", "a", "--negative", "b", "--corpus", "x.jsonl"),
            "a corpus is given, and the method takes pairs",
        ),
        ((*PAIR, "--template", "no place"), "the template has no {text}"),
        ((*PAIR, "--template", "{mood} {text}"), "the template has {mood}, and no word is given for it"),
        ((*PAIR, "--word", "mood"), "'mood' is not a word; write concept=joy"),
        ((*PAIR, "--other", "x"), "actadd takes one model, and two are given"),
        ((*PAIR, "--index", "1"), "actadd has no parameter 'index'"),
    ],
)
def test_what_does_not_go_together_is_refused(steer: Steer, options: tuple[str, ...], said: str):
    assert said in steer.fails(2, "compute", "love", "--model", "nowhere", "--layer", "1", *options)
