"""Prefixes of statements are those of RepE's function templates."""

from __future__ import annotations

import pytest

from tests.extract.test_weights import Demo
from tests.extract.tiny_tokenizer import tiny_tokenizer
from vectorstore.extract.prefixes import prefixes_of


def test_every_prefix_but_the_last_six_tokens():
    assert prefixes_of(tiny_tokenizer(), ["abcdefghi"]) == tuple(" ".join("abc"[:end]) for end in (1, 2, 3))
    found = prefixes_of(tiny_tokenizer(), ["abcdefg", "short", "hij"], leave=3)
    assert found == ("a", "a b", "a b c", "a b c d", "s", "s h")


@pytest.mark.weights
def test_they_are_what_the_authors_loop_gives(demo: Demo):
    tokenizer = demo[1]
    statements = ["The Earth orbits the Sun once every year.", "Ça coûte très cher, ce naïf garçon 🐕 là-bas."]
    expected = []
    for statement in statements:
        tokens = tokenizer.tokenize(statement)
        expected += [tokenizer.convert_tokens_to_string(tokens[:idx]) for idx in range(1, len(tokens) - 5)]
    found = prefixes_of(tokenizer, statements)
    assert found == tuple(each for each in expected if "\ufffd" not in each)
    assert found[0] == "The"
    assert len(found) < len(expected), "the dog is several tokens, and less than all of them are no character"
    assert all(
        statement.startswith(prefix) for prefix in found for statement in statements if prefix[0] == statement[0]
    )
