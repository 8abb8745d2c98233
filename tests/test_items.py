"""Items of every kind: JSON Lines in and out, what is wrong with a line, and templates."""

from __future__ import annotations

from pathlib import Path

import pytest

from vectorstore.errors import InvalidInputError
from vectorstore.items import Item, items_bytes, read_items, repeated
from vectorstore.kinds import KINDS, check_kind, items_from_json
from vectorstore.pairs import ContrastPair
from vectorstore.template import worded
from vectorstore.texts import Demonstration, Labelled, Target, Text

ITEMS: dict[str, tuple[Item, ...]] = {
    "pairs": (ContrastPair("yes", "no", "Is it so? "), ContrastPair(" a", "")),
    "texts": (Text("A wedding."), Text("A ship.", "negative"), Text("Yes.", prompt="Well? ")),
    "labelled": (Labelled("Good.", "true"), Labelled("Bad.", "false", "How was it? ")),
    "targets": (Target("The cat sat."), Target("sat.", "The cat ")),
    "demonstrations": (Demonstration("a cat", "un chat"),),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_items_read_back_as_they_were_written(tmp_path: Path, kind: str):
    path = tmp_path / "items.jsonl"
    path.write_bytes(items_bytes([item.to_json() for item in ITEMS[kind]]))
    assert read_items(path, KINDS[kind]) == ITEMS[kind]
    assert items_from_json(kind, [item.to_json() for item in ITEMS[kind]]) == ITEMS[kind]


def test_texts_have_their_golden_bytes_without_what_is_so_by_default():
    lines = items_bytes([item.to_json() for item in ITEMS["texts"]])
    assert lines == (
        b'{"text":"A wedding."}\n{"side":"negative","text":"A ship."}\n{"prompt":"Well? ","text":"Yes."}\n'
    )


@pytest.mark.parametrize(
    ("kind", "line", "said"),
    [
        ("texts", '{"side": "negative"}', "is not a text (it has no 'text')"),
        ("texts", '{"text": "a", "side": "left"}', "the side is 'left'; write positive or negative"),
        ("texts", '{"text": ""}', "the text is empty"),
        ("labelled", '{"text": "a", "label": true}', "is not a labelled text (its label is not text)"),
        ("labelled", '{"text": "a"}', "it has no 'label'"),
        ("targets", '["a"]', "is not a target (it is no JSON object)"),
        ("demonstrations", '{"input": "a", "outpt": "b"}', "it has an unknown part 'outpt'"),
        ("demonstrations", '{"input": "a", "output": ""}', "the output prompt is empty"),
    ],
)
def test_a_line_that_is_no_item_says_what_is_wrong(tmp_path: Path, kind: str, line: str, said: str):
    path = tmp_path / "items.jsonl"
    path.write_bytes(items_bytes([ITEMS[kind][0].to_json()]) + line.encode())
    with pytest.raises(InvalidInputError) as caught:
        read_items(path, KINDS[kind])
    assert str(caught.value).startswith("items.jsonl line 2")
    assert said in str(caught.value)


def test_repeated_items_are_found_with_what_they_repeat():
    items = [Text("a"), Text("b"), Text("a"), Text("a", "negative"), Text("b"), Text("a")]
    assert repeated(items) == ((3, 1), (5, 2), (6, 1))


def test_another_kind_of_data_is_refused():
    with pytest.raises(InvalidInputError, match=r"caa takes pairs, and item 2 is a Text; .*vectorstore\.pairs"):
        check_kind([ContrastPair("a", "b"), Text("a")], "pairs", "caa")
    with pytest.raises(InvalidInputError, match="there are no targets; give at least one target"):
        check_kind([], "targets", "search")


def test_a_template_goes_round_every_text():
    template = "Consider the amount of {concept} in: {text}"
    pair, text = worded([ContrastPair("x", "y", "P "), Text("z {concept}")], template, {"concept": "joy"})
    assert pair == ContrastPair("Consider the amount of joy in: x", "Consider the amount of joy in: y", "P ")
    assert text == Text("Consider the amount of joy in: z joy")


def test_a_template_may_take_the_prompt_in():
    (labelled,) = worded([Labelled("b", "true", "a")], "Q: {prompt} A: {text} {")
    assert labelled == Labelled("Q: a A: b {", "true")
    (shown,) = worded([Demonstration("a", "b")], "<{text}>")
    assert shown == Demonstration("<a>", "<b>")


def test_texts_with_braces_of_their_own_stay_as_they_are():
    items = [ContrastPair("{concept} {text}", "{}")]
    assert worded(items) == tuple(items)


@pytest.mark.parametrize(
    ("template", "said"), [("none", r"no \{text\}"), ("{text} {x}", r"has \{x\}, and no word is given .*--word x=")]
)
def test_a_template_that_cannot_be_filled_is_refused(template: str, said: str):
    with pytest.raises(InvalidInputError, match=said):
        worded([Text("a")], template)
