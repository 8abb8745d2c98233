"""The page about the language says what the parser does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vectorstore.compose.composer import MAX_DEPTH
from vectorstore.parser import MAX_NESTING, MAX_TEXT, parse

PAGE = (Path(__file__).parent.parent / "docs" / "language.md").read_text()
EXAMPLES = [line for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_parses(example: str):
    assert parse(str(parse(example))) == parse(example)


def test_the_limits_are_those_of_the_program():
    limits = f"at most {MAX_TEXT:,} characters and {MAX_NESTING} nested parentheses, a number 200 digits, and recipes"
    assert limits in PAGE
    assert f"nest {MAX_DEPTH} deep" in PAGE
