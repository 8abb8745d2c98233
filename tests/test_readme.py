"""The README's first example runs as it stands, and is as short as it promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def first_example() -> str:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[0]


def test_the_first_example_takes_at_most_ten_lines_from_opening_the_store_to_steered_text():
    lines = first_example().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("store = Store.open()"))
    assert len(lines) - start <= 10


@pytest.mark.weights
def test_the_first_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STEER_HOME", str(tmp_path))
    exec(compile(first_example(), "README.md", "exec"), {})  # noqa: S102 - our own text
    assert capsys.readouterr().out.startswith("I went up to my friend and said")
