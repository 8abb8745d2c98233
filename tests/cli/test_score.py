"""`steer score`: texts read along a direction."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cli.answer import Shaded
from cli.draw import _shade
from tests.blank import blank
from tests.cli.steering import Steer
from tests.cli.test_terminal import ESCAPES
from vectorstore.evaluate.score import score_texts
from vectorstore.models import load_model
from vectorstore.store import Store

LINES = [
    {"positive": "so good", "negative": "so bad"},
    {"positive": "a fine day", "negative": "a sad day"},
    {"positive": "warm", "negative": "cold"},
]
HELD_OUT = [{"text": "kind", "label": "yes"}, {"text": "rude", "label": "no"}]
AT = "resid_pre.2"


def write(path: Path, lines: list[dict[str, str]]) -> str:
    path.write_text("\n".join(map(json.dumps, lines)))
    return str(path)


@pytest.fixture
def mood(steer: Steer, tiny: str, tmp_path: Path) -> Steer:
    pairs = write(tmp_path / "pairs.jsonl", LINES)
    steer.ok("compute", "mood", "--model", tiny, "--layer", "1..2", "--pairs", pairs, "--method", "mean_difference")
    return steer


def test_scores_are_those_of_python(mood: Steer, tiny: str):
    done = mood.ok("score", "mood", "a kind day", "so rude", "--model", tiny)
    with Store.open(blank(mood.home / "library.db"), blobs=str(mood.home / "blobs")) as store:
        scores = score_texts(*load_model(tiny), *store.read("mood"), ["a kind day", "so rude"])
    for place, values in scores.items():
        assert [text["scores"][str(place)] for text in done["texts"]] == pytest.approx(values.tolist())
    threshold = done["places"][AT]["threshold"]
    assert [text["positive"][AT] for text in done["texts"]] == [
        text["scores"][AT] > threshold for text in done["texts"]
    ]
    assert (done["expression"], done["fit"], done["read"], done["notes"]) == ("mood@1", "same", "mean_content", [])


def test_people_see_the_side_of_each_text_and_how_far_its_own_data_are_apart(mood: Steer, tiny: str):
    done = mood("score", "mood[2]", "a kind day", "--model", tiny)
    assert (done.code, done.err) == (0, "")
    assert "along mood@1[2]" in done.out
    assert "its own data (in-sample)     3+3" in done.out
    assert AT not in done.out


def test_without_texts_it_says_how_far_the_data_are_apart(mood: Steer, tiny: str):
    done = mood.ok("score", "mood", "--model", tiny)
    assert done["texts"] == []
    assert done["separation"]["own"][AT]["positive_count"] == 3


def test_texts_come_from_files_and_from_stdin_too(mood: Steer, tiny: str, tmp_path: Path):
    path = write(tmp_path / "texts.jsonl", [{"text": "so rude"}, {"text": "kind", "prompt": "say "}])
    done = mood.ok("score", "mood", "a kind day", "--texts", path, "--model", tiny)
    assert [text["text"] for text in done["texts"]] == ["a kind day", "so rude", "kind"]
    assert done["texts"][2]["prompt"] == "say "
    again = mood.ok("score", "mood", "-", "--model", tiny, stdin="a kind day\n\nso rude\n")
    assert [text["text"] for text in again["texts"]] == ["a kind day", "so rude"]
    assert [text["scores"][AT] for text in again["texts"]] == pytest.approx(
        [text["scores"][AT] for text in done["texts"][:2]]
    )


def test_other_data_are_told_apart_at_the_threshold_of_its_own(mood: Steer, tiny: str, tmp_path: Path):
    words = ("--data", write(tmp_path / "held.jsonl", HELD_OUT), "--positive-label", "yes", "--model", tiny)
    done = mood.ok("score", "mood", *words)
    found = done["separation"]["data"][AT]
    assert (found["positive_count"], found["negative_count"], found["pairs_right"]) == (1, 1, None)
    assert found["threshold"] == done["places"][AT]["threshold"]
    assert "held.jsonl" in mood("score", "mood", *words).out


def test_data_it_was_computed_from_are_told_of(mood: Steer, tiny: str, tmp_path: Path):
    done = mood("score", "mood", "--data", str(tmp_path / "pairs.jsonl"), "--model", tiny)
    assert done.err == (
        "note: 6 texts of the data are among those that mood@1 was computed from: their figures flatter\n"
    )


def test_folds_leave_every_pair_out_once(mood: Steer, tiny: str):
    found = mood.ok("score", "mood", "--folds", "3", "--model", tiny)["separation"]["folds"][AT]
    assert (found["positive_count"], found["threshold"]) == (3, 0)
    assert "3 items cannot be dealt into 4 folds" in mood.fails(2, "score", "mood", "--folds", "4", "--model", tiny)


def test_every_token_may_have_a_score(mood: Steer, tiny: str):
    (text,) = mood.ok("score", "mood", "so bad", "--tokens", "--model", tiny)["texts"]
    assert "".join(token["token"] for token in text["tokens"]) == "so bad"
    assert np.mean([token["scores"][AT] for token in text["tokens"]]) == pytest.approx(text["scores"][AT], abs=1e-5)
    done = mood("score", "mood[2]", "so bad", "--tokens", "--model", tiny)
    lines = done.out[done.out.index("text 1, token by token") :].splitlines()
    assert [line.split("  ")[-1] for line in lines[1:]] == [repr(letter) for letter in "so bad"]
    assert not ESCAPES.search(done.out)


def test_tokens_are_coloured_by_their_score_on_a_terminal():
    printed = io.StringIO()
    console = Console(file=printed, force_terminal=True, color_system="truecolor", width=80)
    _shade(console, Shaded((("so", 2.0), (" bad", -4.0), (" x", 0.1), ("\x1b", 0.0)), "text 1"))
    assert ESCAPES.sub("", printed.getvalue()) == "text 1\nso bad x\\x1b\n"
    assert "48;2;0;80;0mso" in printed.getvalue()
    assert "48;2;160;0;0m bad" in printed.getvalue()
    assert printed.getvalue().count("48;2;") == 2


def test_the_folds_are_read_where_the_texts_are(mood: Steer, tiny: str):
    words = ("score", "mood", "--folds", "3", "--model", tiny)
    plain = mood.ok(*words)["separation"]["folds"][AT]
    last = mood.ok(*words, "--read", "last_content")["separation"]["folds"][AT]
    assert plain["positive_mean"] != last["positive_mean"]


def test_raw_scores_are_projections_without_a_threshold(mood: Steer, tiny: str):
    raw = mood.ok("score", "mood", "so bad", "--raw", "--model", tiny)
    whole = mood.ok("score", "mood", "so bad", "--model", tiny)
    assert raw["places"][AT] == {"zero": 0, "zero_is": "origin", "threshold": None}
    assert raw["texts"][0]["positive"] == {}
    zero = whole["places"][AT]["zero"]
    assert raw["texts"][0]["scores"][AT] == pytest.approx(whole["texts"][0]["scores"][AT] + zero)


def test_an_expression_of_one_vector_is_read_as_its_versions_were(mood: Steer, tiny: str, tmp_path: Path):
    plus = mood.ok("score", "mood", "so bad", "--raw", "--model", tiny)
    minus = mood.ok("score", "0.5*mood - 2.5*mood", "so bad", "--model", tiny)
    assert minus["notes"] == []
    assert minus["places"][AT]["zero_is"] == "origin"
    assert minus["texts"][0]["scores"][AT] == pytest.approx(-plus["texts"][0]["scores"][AT])
    pairs = str(tmp_path / "pairs.jsonl")
    words = ("--pairs", pairs, "--method", "mean_difference", "--read", "last_content")
    mood.ok("compute", "end", "--model", tiny, "--layer", "1..2", *words)
    assert mood.ok("score", "end", "so bad", "--model", tiny)["read"] == "last_content"
    assert mood.ok("score", "2*end", "so bad", "--model", tiny)["read"] == "last_content"
    mixed = mood("score", "end + mood", "so bad", "--model", tiny)
    assert mixed.err == (
        "note: the card of end + mood does not say where texts are read; they are read at mean_content"
        " (--read chooses)\n"
    )
    assert mood("score", "end + mood", "so bad", "--read", "last_content", "--model", tiny).err == ""


def test_a_template_goes_round_texts_and_data(mood: Steer, tiny: str, tmp_path: Path):
    words = ("--template", "The {concept} of {text}", "--word", "concept=mood", "--model", tiny)
    held = write(tmp_path / "held.jsonl", [{"positive": "kind", "negative": "rude"}])
    done = mood.ok("score", "mood", "kind", "--data", held, *words)
    assert done["texts"][0]["text"] == "The mood of kind"
    assert done["texts"][0]["scores"][AT] == pytest.approx(done["separation"]["data"][AT]["positive_mean"])


def test_another_models_weights_are_told_of(mood: Steer, tuned: str):
    done = mood("score", "mood", "kind", "--model", tuned)
    assert done.code == 0
    assert done.err == "note: this model has other weights than tiny, which mood@1 was computed on\n"


def test_without_a_model_it_asks_for_that_of_the_card(mood: Steer):
    assert "model 'tiny'" in mood.fails(7, "score", "mood", "kind")


def test_models_and_vectors_that_cannot_be_read_along_say_what_to_do(mood: Steer, tiny: str, wide: str):
    assert "mood@1 was computed on tiny" in mood.fails(5, "score", "mood", "x", "--model", wide)
    pair = ("--positive", " love", "--negative", " hate")
    mood.ok("compute", "love", "--model", tiny, "--layer", "1", *pair)
    said = mood.fails(2, "score", "love", "x", "--model", "nowhere")
    assert "love@1 has a direction for each of 6 tokens at resid_pre.1" in said
    assert "compute one with mean_difference" in said
    assert "not one vector: it has a step 'ablate'" in mood.fails(2, "score", "ablate(mood)", "x", "--model", "nowhere")
    assert "did you mean mood?" in mood.fails(3, "score", "moood", "x", "--model", "nowhere")
    assert "no direction at layer 5" in mood.fails(2, "score", "mood[5]", "x", "--model", "nowhere")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"txt": "a"}', "is of no kind of data; write lines of one kind: pairs:"),
        ("", "has no data; write lines of one kind"),
        ("[", "line 1 is not valid JSON"),
        ('{"target": "a"}', "one side has no texts; give texts of both sides, or pairs"),
    ],
)
def test_data_that_cannot_be_used_say_why(mood: Steer, tiny: str, tmp_path: Path, line: str, said: str):
    (tmp_path / "held.jsonl").write_text(line)
    assert said in mood.fails(2, "score", "mood", "--data", str(tmp_path / "held.jsonl"), "--model", tiny)


def test_stdin_without_texts_is_refused(mood: Steer):
    assert "stdin has no texts; give one a line" in mood.fails(2, "score", "mood", "-")
