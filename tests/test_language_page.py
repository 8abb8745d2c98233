"""The page about the language says what the parser does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import make_card, make_vector
from vectorstore.compose import compose, pin
from vectorstore.compose.composer import MAX_DEPTH
from vectorstore.functions import FUNCTIONS
from vectorstore.parser import MAX_NESTING, MAX_TEXT, parse
from vectorstore.store import Store

PAGE = (Path(__file__).parent.parent / "docs" / "language.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


def examples(text: str) -> list[str]:
    """Return the lines of the blocks."""
    return [line for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


EXAMPLES = examples(PAGE)
COMPOSED = [line for name in ("Vectors", "Functions of vectors", "Steps") for line in examples(SECTIONS[name])]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Fill a library with the names of the page."""
    folder = tmp_path_factory.mktemp("page")
    with Store.open(f"sqlite:///{folder}/library.db", blobs=str(folder / "blobs")) as store:
        for seed, name in enumerate(("love", "calm", "happy", "anger")):
            vector = make_vector(range(13), seed=seed)
            store.save(name, vector, make_card(vector), presets={"strong": 2})
        store.save_recipe("mood", pin(store, "love + calm"))
        yield store


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_parses(example: str):
    assert parse(str(parse(example))) == parse(example)


@pytest.mark.parametrize("example", COMPOSED)
def test_every_example_comes_to_a_plan(library: Store, example: str):
    assert compose(library, example).steps


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_explained(name: str):
    assert f"| `{name}(" in PAGE


def test_the_limits_are_those_of_the_program():
    limits = f"at most {MAX_TEXT:,} characters and {MAX_NESTING} nested parentheses, a number 200 digits, and recipes"
    assert limits in PAGE
    assert f"nest {MAX_DEPTH} deep" in PAGE
