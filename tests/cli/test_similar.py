"""`steer similar` and `steer diff`: documents for programs, tables for people, and errors that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.blank import blank
from tests.builders import make_card, make_identity, make_vector
from tests.cli.steering import Steer
from tests.cli.test_terminal import ESCAPES, on_terminal
from vectorstore.compose import pin
from vectorstore.place import Place
from vectorstore.store import Store
from vectorstore.vector import SteeringVector

PAIRS = ({"positive": "yes", "negative": "no"}, {"positive": " weddings", "negative": " "})
COPY = "acme/a-name-that-is-rather-long-for-a-table"
LONG = {"reviewed-by": "somebody with a long name"}


@pytest.fixture
def library(steer: Steer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steer:
    """Have `love` at two layers, what is like it, a vector of another model, and recipes."""
    monkeypatch.setenv("STEER_CACHE", str(tmp_path / "cache"))
    with Store.open(blank(steer.home / "library.db"), blobs=str(steer.home / "blobs")) as store:
        love = make_vector([2, 3], seed=1)
        store.save("love", love, make_card(love), labels={"topic": "love"}, presets={"strong": 2})
        store.save(COPY, love, make_card(love), labels=LONG)
        for name, vector in (
            ("hate", love * -2),
            ("calm", make_vector([2, 3], seed=2)),
            ("love", SteeringVector({place: a + 0.05 for place, a in love.directions.items()})),
        ):
            store.save(
                name, vector, make_card(vector, items=PAIRS), labels={"reviewed-by": "somebody with a long name"}
            )
        alone = make_vector(seed=3, width=16)
        store.save("alone", alone, make_card(alone, model=make_identity(width=16, seed=4, reference="other")))
        for expression in ("2*love@1 + calm", "2*love + calm"):
            store.save_recipe("mix", pin(store, expression))
    return steer


def test_similar_lists_every_place_for_programs(library: Steer):
    found = library.ok("similar", "love@1")
    assert (found["reference"], found["notes"]) == ("love@1", [])
    assert [place["place"] for place in found["places"]] == ["resid_pre.2", "resid_pre.3"]
    for place in found["places"]:
        neighbours = place["neighbours"]
        assert {n["reference"]: n["relation"] for n in neighbours} == {
            f"{COPY}@1": "same bytes",
            "hate@1": "opposite",
            "love@2": "",
            "calm@1": "",
        }
        strengths = [round(abs(n["cosine"]), 6) for n in neighbours]
        assert strengths == sorted(strengths, reverse=True)
        assert [n["reference"] for n in neighbours if n["same_name"]] == ["love@2"]
        assert {n["method"] for n in neighbours} == {"mean_difference"}
        assert neighbours[0]["labels"] == LONG


def test_similar_shows_each_version_where_it_is_nearest(library: Steer):
    done = library("similar", "love@1", "--limit", "3")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "nearest to love@1, at any of its 2 places"
    assert lines[1].split() == ["version", "cosine", "at", "norm", "is", "method", "labels"]
    assert [line.split()[0] for line in lines[3:]] == [
        f"{COPY}@1",
        "hate@1",
        "love@2",
    ]
    assert " -1.0000 " in lines[4]
    assert " opposite " in lines[4]
    assert " same name " in lines[5]


def test_similar_looks_at_one_place_where_it_is_told_to(library: Steer):
    for words in (["love@1[3]"], ["love@1", "--layer", "3"], ["love@1", "--layer", "3", "--site", "resid_pre"]):
        assert [place["layer"] for place in library.ok("similar", *words)["places"]] == [3]
        assert library("similar", *words).out.startswith("nearest to love@1, at resid_pre.3\n")
    assert "it has resid_pre layers 2..3" in library.fails(2, "similar", "love@1", "--layer", "9")
    assert "there is no site 'brain'" in library.fails(2, "similar", "love@1", "--site", "brain")


def test_similar_says_that_a_vector_is_alone(library: Steer):
    done = library("similar", "alone")
    assert (done.code, done.out) == (0, "")
    assert done.err == "note: nothing else of this model is at resid_pre.3: alone@1 is alone there\n"
    assert library.ok("similar", "alone")["notes"] == [done.err.removeprefix("note: ").strip()]


def test_similar_says_what_it_cannot_do(library: Steer):
    line = library.fails(5, "similar", "mix")
    assert "mix@2 is a recipe" in line
    assert "steer compose mix@2 --save NAME --as vector" in line
    assert "did you mean love or alone?" in library.fails(3, "similar", "lovee")
    assert "'love:strong' has a preset" in library.fails(2, "similar", "love:strong")
    assert "ask for 1 to 1000" in library.fails(2, "similar", "love", "--limit", "0")


def test_diff_compares_computation_data_words_and_directions(library: Steer):
    found = library.ok("diff", "love@1", "love@2")
    assert (found["same_version"], found["same_blobs"]) == (False, False)
    assert {part["part"] for part in found["fixed"]} == {"data.digest"}
    assert found["items"] == {
        "removed": [{"positive": "I loved it.", "negative": "I hated it."}],
        "added": [{"positive": "yes", "negative": "no"}],
        "kept": 1,
    }
    assert {part["part"] for part in found["movable"]} == {"labels.topic", "labels.reviewed-by", "presets.strong"}
    assert [pair["place"] for pair in found["directions"]] == ["resid_pre.2", "resid_pre.3"]
    for pair in found["directions"]:
        assert 0.99 < pair["cosine"] < 1
        assert 0 < pair["distance"] < 0.2
    out = library("diff", "love@1", "love@2").out
    assert out.startswith("love@1 and love@2 differ\n")
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert lines["presets.strong"] == ["2", "none"]
    assert lines["labels.topic"] == ["'love'", "none"]
    for text in ("'yes'", "'I loved it.'", "data of love@1 alone", "labels.topic", "directions"):
        assert text in out


def test_diff_says_what_is_equal(library: Steer):
    assert library("diff", "love@1", "love@1").out == "love@1 and love@1 are one version\n"
    assert library.ok("diff", "calm", "calm@1")["same_version"] is True
    same = library("diff", "love@1", COPY).out
    assert same.startswith(f"love@1 and {COPY}@1 have the very same bytes\n")
    assert "directions" not in same
    assert "reviewed-by" in same
    with Store.open(blank(library.home / "library.db"), blobs=str(library.home / "blobs")) as store:
        love = make_vector([2, 3], seed=1)
        store.save("again", love, make_card(love, method="actadd"))
    again = library("diff", "love@1", "again").out
    assert again.startswith("love@1 and again@1 have equal directions\n")
    assert "method.name" in again


def test_diff_shows_which_pins_of_a_recipe_moved(library: Steer):
    found = library.ok("diff", "mix@1", "mix@2")
    assert [part["part"] for part in found["fixed"]] == ["text", "terms.love@1"]
    assert [found["fixed"][1][side]["version"] for side in ("left", "right")] == ["love@1", "love@2"]
    out = library("diff", "mix@1", "mix@2").out
    assert "'2*love@1 + calm'" in out
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    assert lines["terms.love@1"].split()[1::2] == ["love@1", "love@2"]
    assert "directions" not in out


def test_diff_notes_what_cannot_be_compared(library: Steer):
    done = library("diff", "love@1", "alone")
    assert done.code == 0
    assert "note: they were computed on models with other weights (tiny and other)" in done.err
    pairs = library.ok("diff", "love@1", "alone")["directions"]
    assert [(pair["cosine"], pair["distance"]) for pair in pairs] == [(None, None), (None, None)]
    assert "only what people say is compared" in library("diff", "love@1", "mix").err


def test_diff_says_what_it_cannot_do(library: Steer):
    assert "did you mean love or alone?" in library.fails(3, "diff", "love", "lovee")
    assert "'love:strong' has a preset" in library.fails(2, "diff", "love:strong", "love@1")
    assert "no direction at layer 5" in library.fails(2, "diff", "love[5]", "love@1")
    assert "missing argument" in library.fails(2, "diff", "love")


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize(
    "words",
    [
        ["similar", "love@1"],
        ["similar", "love@1[3]"],
        ["diff", "love@1", COPY],
        ["diff", "mix@1", "mix@2"],
        ["diff", "love@1", "alone"],
    ],
)
def test_tables_fit_the_terminal(library: Steer, columns: int, words: list[str]):
    assert library.home.exists()
    shown = ESCAPES.sub("", on_terminal(columns, *words))
    sentences = ("note: ", "love@1 and ")
    tables = [line for line in shown.splitlines() if not line.startswith(sentences)]
    assert max(map(len, tables)) <= columns
    assert "love" in shown


def test_a_direction_that_only_one_side_has_is_shown(library: Steer):
    with Store.open(blank(library.home / "library.db"), blobs=str(library.home / "blobs")) as store:
        vector = SteeringVector({Place("resid_pre", 3): make_vector([2, 3], seed=1).directions[Place("resid_pre", 3)]})
        store.save("part", vector, make_card(vector))
    pairs = library.ok("diff", "love@1", "part")["directions"]
    assert [(pair["right"] is None, pair["equal"]) for pair in pairs] == [(True, False), (False, True)]
