"""The methods on the page about writing methods work as they stand there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.extract.test_every_method import DATA
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.extract import compute
from vectorstore.extract.methods import BUILT_IN
from vectorstore.extract.params import Param
from vectorstore.extract.protocols import METHODS

PAGE = Path(__file__).parents[2] / "docs" / "writing-methods.md"
EXAMPLES = ("CENTRED", "LAT", "BEST", "APART")


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """Run the page's blocks one after another; give the names they make."""
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile("\n".join(blocks), PAGE.name, "exec"), names)  # noqa: S102 - our own text
    return names


def test_the_page_has_one_example_of_each_kind(written: dict[str, Any]):
    assert {type(written[name]) for name in EXAMPLES} == set(METHODS)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_computes(example: str, written: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    method = written[example]
    monkeypatch.setitem(BUILT_IN, method.name, method)
    other = tiny_model(seed=1) if method.compares else None
    model, data = tiny_model(), DATA[method.data]
    vector, card = compute(model, tiny_tokenizer(), data, layer=[1, 2], method=method.name, other=other)
    assert vector.places
    assert card.method.name == method.name


def test_the_page_names_what_a_param_and_a_method_take(written: dict[str, Any]):
    text = PAGE.read_text()
    assert all(field.name in text for field in fields(Param) if field.name != "quiet")
    assert all(f"`{field.name}`" in text for field in fields(written["APART"]) if field.name != "run")
