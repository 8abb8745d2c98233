"""What stands on the page about steering runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

PAGE = (Path(__file__).parents[2] / "docs" / "steering.md").read_text()


@pytest.mark.weights
def test_the_blocks_of_the_page_run_one_after_another():
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with torch.random.fork_rng():
        exec(compile("\n".join(blocks), "steering.md", "exec"), names)  # noqa: S102 - our own text
    assert names["ids"].shape[0] == 2
    assert names["vector"].grad.abs().sum() > 0
    assert names["vector"].detach().abs().sum() > 0
    assert "generate" not in names["model"].__dict__
