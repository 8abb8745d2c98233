"""What stands on the page about RepE runs, and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from vectorstore.functions import FUNCTIONS

PAGE = (Path(__file__).parents[1] / "docs" / "repe.md").read_text()


@pytest.mark.weights
def test_the_blocks_of_the_page_run_one_after_another():
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile("\n".join(blocks), "repe.md", "exec"), names)  # noqa: S102 - our own text
    assert names["text"].startswith("The meal at the new restaurant was")
    assert names["scores"][0] > names["scores"][1]
    assert names["pairs"][0].positive.endswith("about the world. The")
    assert len(names["pairs"]) == len(names["prefixes_of"](names["tokenizer"], names["statements"]))


def test_every_step_that_the_page_names_is_one():
    named = set(re.findall(r"`(\w+)\(love\)`", PAGE))
    assert {"add", "piecewise", "ablate", "keepnorm"} <= named <= set(FUNCTIONS)
