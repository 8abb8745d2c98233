"""The sets that come with the package: what is in them, as every kind of data, and how they are asked for."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

import vectorstore.data
from vectorstore.data.shipped import SETS, load, names, read, read_whatever
from vectorstore.errors import InvalidInputError, NotFoundError
from vectorstore.items import both_sided, repeated
from vectorstore.kinds import KINDS, check_kind
from vectorstore.pairs import ContrastPair
from vectorstore.texts import Demonstration, Labelled, Target, Text

ROOT = Path(__file__).parent.parent
FOLDER = Path(vectorstore.data.__file__).parent
each_set = pytest.mark.parametrize("name", names())


def test_every_file_is_a_set_and_every_set_a_file_that_the_wheel_brings():
    assert sorted(path.stem for path in FOLDER.glob("*.jsonl")) == sorted(SETS)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "vectorstore.data" in settings["packages"]
    assert settings["package-data"]["vectorstore.data"] == ["*.jsonl"]


@each_set
def test_a_set_has_enough_pairs_and_no_text_twice(name: str):
    pairs = load(name)
    assert len(pairs) == 32
    texts = [text for pair in pairs for text in (pair.positive, pair.negative)]
    assert len(set(texts)) == 64
    assert repeated(pairs) == both_sided(pairs) == ()
    assert all(text == text.strip() and text[-1] in ".!?" and text[0].isalpha() for text in texts)


@each_set
def test_neither_side_of_a_set_is_much_longer(name: str):
    pairs = load(name)
    lengths = [sum(len(getattr(pair, side).split()) for pair in pairs) for side in ("positive", "negative")]
    assert max(lengths) / min(lengths) < 1.2


def test_no_set_repeats_the_tours_pairs():
    tour = {text for pair in read(str(ROOT / "cli/data/sentiment.jsonl"), ContrastPair) for text in vars(pair).values()}
    assert not tour & {text for pair in load("sentiment") for text in (pair.positive, pair.negative)}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_set_stands_for_every_kind_of_data(kind: str):
    items = load("french", kind)
    check_kind(items, kind, "a method")
    french, english = "Le chat dort sur le canapé.", "The cat is sleeping on the sofa."
    expected = {
        "pairs": [ContrastPair(french, english)],
        "texts": [Text(french), Text(english, "negative")],
        "labelled": [Labelled(french, "true"), Labelled(english, "false")],
        "targets": [Target(french)],
        "demonstrations": [Demonstration(english, french)],
    }[kind]
    assert [item for item in items if item in expected] == expected
    assert len(items) == 32 * len(expected)


def test_a_file_wins_over_a_set_of_its_name_and_a_folder_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert read("french", ContrastPair) == load("french")
    (tmp_path / "french").mkdir()
    assert read("french", Text) == load("french", "texts")
    (tmp_path / "weddings").write_text('{"positive": "a", "negative": "b"}')
    assert read("weddings", ContrastPair) == read_whatever("weddings") == (ContrastPair("a", "b"),)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_file_of_any_kind_is_read_as_what_its_first_line_is(tmp_path: Path, kind: str):
    items = load("sentiment", kind)[:3]
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(json.dumps(item.to_json()) for item in items))
    assert read_whatever(str(path)) == items


def test_what_is_neither_a_file_nor_a_set_is_not_found():
    with pytest.raises(NotFoundError, match=r"from sentimant \(no such file\); .*did you mean sentiment, which comes"):
        read("sentimant", ContrastPair)
    with pytest.raises(NotFoundError, match=r"cannot read data from x\.jsonl .*: sentiment, formality, weddings"):
        read_whatever("x.jsonl")
    with pytest.raises(NotFoundError, match="no set 'mood' comes with the package; choose sentiment"):
        load("mood")
    with pytest.raises(InvalidInputError, match="no kind of data 'pears'; choose pairs"):
        load("french", "pears")


def test_texts_on_both_sides_are_found():
    pairs = [ContrastPair("a", "b"), ContrastPair("b", "c"), ContrastPair("a", "d")]
    assert both_sided(pairs) == ("b",)
    assert both_sided([Labelled("a", "x", "p"), Labelled("a", "y"), Labelled("a", "z")]) == ("a",)
    assert both_sided([ContrastPair("yes", "no", "Is it?"), ContrastPair("no", "yes", "Or not?")]) == ()
