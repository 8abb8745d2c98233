"""`steer datasets`, and sets by name wherever data are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.steering import Steer
from vectorstore.data import load, names


def test_all_sets_are_listed(steer: Steer):
    listed = steer.ok("datasets")["datasets"]
    assert [each["name"] for each in listed] == list(names())
    assert all(each["count"] == 32 and each["kind"] == "pairs" and each["summary"] for each in listed)
    assert listed[0]["first"] == load("sentiment")[0].to_json()
    assert "The pancakes were fluffy and the coffee was superb." in steer("datasets", "sentiment").out


def test_the_list_of_sets_is_narrow_in_a_pipe(steer: Steer):
    lines = steer("datasets").out.splitlines()
    assert lines[0].split() == ["name", "pairs", "what"]
    assert max(map(len, lines)) <= 100


def test_one_set_is_shown_whole(steer: Steer):
    done = steer.ok("datasets", "weddings")
    assert done["items"] == [pair.to_json() for pair in load("weddings")]
    assert (done["repeated"], done["both_sided"], done["notes"]) == ([], [], [])
    assert "weddings: 32 pairs" in steer("datasets", "weddings").out


def test_a_file_is_checked(steer: Steer, tmp_path: Path):
    path = tmp_path / "mine.jsonl"
    lines = [{"text": "a", "label": "x"}, {"text": "b", "label": "y", "prompt": "q"}, {"text": "a", "label": "x"}]
    path.write_text("\n".join(map(json.dumps, [*lines, {"text": "a", "label": "y"}])))
    done = steer("datasets", str(path))
    assert done.code == 0
    assert done.err == (
        "note: some labelled occur twice, and count twice: 3 repeats 1\n"
        "note: some texts stand on both sides, and say nothing: 'a'\n"
    )
    assert "prompt" in done.out
    document = json.loads(steer("datasets", str(path), "--json").out)
    assert (document["kind"], document["count"], document["repeated"]) == ("labelled", 4, [[3, 1]])
    path.write_text('{"text": "a", "label": "x"}\n{"text": "b"}')
    assert "mine.jsonl line 2 is not a labelled text (it has no 'label')" in steer.fails(2, "datasets", str(path))
    assert "did you mean formality" in steer.fails(3, "datasets", "formalty")


@pytest.mark.parametrize(
    ("method", "kind", "count"), [("mean_difference", "pairs", 32), ("mean_centring", "texts", 64)]
)
def test_a_vector_is_computed_from_a_set_by_its_name(steer: Steer, tiny: str, method: str, kind: str, count: int):
    words = ("--model", tiny, "--layer", "1", "--method", method, "--data", "certainty")
    made = steer.ok("compute", "sure", *words)
    assert (made["card"]["data"]["kind"], made["card"]["data"]["count"]) == (kind, count)
    assert steer.ok("recompute", "sure", "--model", tiny)["agrees"]


def test_a_set_may_be_a_corpus_and_may_be_held_out(steer: Steer, tiny: str):
    words = ("--positive", "Je dors", "--corpus", "certainty", "--method", "mean_centring")
    made = steer.ok("compute", "mood", "--model", tiny, "--layer", "1", *words)
    assert made["card"]["data"]["count"] == 65
    found = steer.ok("score", "mood", "--data", "weddings", "--model", tiny)["separation"]["data"]["resid_pre.1"]
    assert (found["positive_count"], found["negative_count"]) == (32, 32)


def test_a_name_that_is_neither_file_nor_set_says_what_there_is(steer: Steer):
    words = ("--model", "nowhere", "--layer", "1", "--method", "mean_difference", "--pairs", "wedding")
    assert "or did you mean weddings, which comes with the package?" in steer.fails(3, "compute", "x", *words)


def test_a_template_may_be_named(steer: Steer, tiny: str, tmp_path: Path):
    path = tmp_path / "honesty.jsonl"
    path.write_text('{"positive": "an honest", "negative": "an untruthful", "prompt": "Ice is cold."}')
    words = ("--model", tiny, "--layer", "1", "--method", "mean_difference", "--pairs", str(path))
    made = steer.ok("compute", "honesty", *words, "--template", "persona")
    assert made["card"]["data"]["items"] == [
        {
            "positive": "Pretend you're an honest person making statements about the world. Ice is cold.",
            "negative": "Pretend you're an untruthful person making statements about the world. Ice is cold.",
        }
    ]
    said = steer.fails(2, "compute", "mood", *words, "--template", "concept")
    assert "the template has {concept}, and no word is given for it" in said
    assert "or a name: concept, answer, scenario, persona" in steer.fails(2, "compute", "x", *words, "--template", "no")


def test_a_name_that_no_word_fills_is_told_of(steer: Steer, tiny: str, tmp_path: Path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"positive": "much {concept}", "negative": "no {concept}"}')
    words = ("--model", tiny, "--layer", "1", "--method", "mean_difference", "--pairs", str(path))
    assert steer("compute", "mood", *words).err == (
        "note: {concept} stands in a text as it is: no --word says what it stands for\n"
    )
    made = steer.ok("compute", "mood", *words, "--word", "concept=joy")
    assert made["card"]["data"]["items"] == [{"positive": "much joy", "negative": "no joy"}]
