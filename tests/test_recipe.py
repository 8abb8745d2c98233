"""Recipes: canonical bytes, strictly read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_preset import PRESETS
from tests.test_reference import NAMES
from vectorstore.canonical import canonical_bytes
from vectorstore.coefficient import Coefficient
from vectorstore.errors import IntegrityError
from vectorstore.preset import Preset
from vectorstore.recipe import Recipe, Term

DIGESTS = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
TERMS = st.builds(Term, st.text(), NAMES, NAMES, DIGESTS, st.sampled_from(["vector", "recipe"]), st.none() | PRESETS)
RECIPES = st.builds(Recipe, st.text(), st.lists(TERMS, min_size=1, max_size=4).map(tuple))
RECIPE = Recipe(
    "2*love:strong - ns/formal",
    (
        Term(
            "love:strong",
            "default",
            "love",
            f"sha256:{'a' * 64}",
            "vector",
            Preset(Coefficient.parse("0.15r"), (6, 12), "all"),
        ),
        Term("ns/formal", "ns", "formal", f"sha256:{'b' * 64}", "recipe"),
    ),
)


@given(RECIPES)
def test_bytes_read_back(recipe: Recipe):
    assert Recipe.from_bytes(recipe.to_bytes()) == recipe


def test_the_bytes_are_these():
    assert RECIPE.to_bytes() == (
        b'{"terms":[{"digest":"sha256:' + b"a" * 64 + b'","kind":"vector","name":"love","namespace":"default",'
        b'"preset":{"coefficient":"0.15r","layers":[6,12],"tokens":"all"},"reference":"love:strong"},'
        b'{"digest":"sha256:' + b"b" * 64 + b'","kind":"recipe","name":"formal","namespace":"ns",'
        b'"preset":null,"reference":"ns/formal"}],"text":"2*love:strong - ns/formal","version":1}'
    )


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": "1"},
        {"text": 1},
        {"text": None},
        {"terms": []},
        {"terms": {}},
        {"terms": [1]},
        {"terms": [{}]},
        {"extra": 1},
    ],
)
def test_a_wrong_part_is_refused(change: dict[str, Any]):
    with pytest.raises(IntegrityError):
        Recipe.from_json(RECIPE.to_json() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"reference": 1},
        {"namespace": "a/b"},
        {"name": "../x"},
        {"digest": "sha256:abcd"},
        {"digest": f"sha256:{'A' * 64}"},
        {"kind": "model"},
        {"preset": {}},
        {"preset": "strong"},
        {"preset": {"coefficient": "x", "layers": None, "tokens": None}},
        {"extra": 1},
    ],
)
def test_a_wrong_part_of_a_term_is_refused(change: dict[str, Any]):
    with pytest.raises(IntegrityError):
        Term.from_json(RECIPE.terms[0].to_json() | change)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"null",
        b'{"version":NaN}',
        RECIPE.to_bytes()[:-1],
        RECIPE.to_bytes() + b"\n",
        RECIPE.to_bytes().replace(b'"version":1', b'"version":1,"version":1'),
        canonical_bytes(RECIPE.to_json()).replace(b'"0.15r"', b'"0.150r"'),
        b"[" * 100_000,
    ],
)
def test_bytes_that_are_not_canonical_are_refused(data: bytes):
    with pytest.raises(IntegrityError):
        Recipe.from_bytes(data)
