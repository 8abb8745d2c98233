"""The README's first example runs as it stands, and is as short as it promises."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli.steering import Steer

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
    said = capsys.readouterr().out
    assert said.startswith("I spent the whole weekend")
    assert "wedding" in said


@pytest.mark.weights
def test_the_commands_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    torch.save(torch.randn(576), "refusal.pt")
    np.save("states.npy", np.random.default_rng(0).standard_normal((31, 576), np.float32))
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("steer ")]
    steer = Steer(tmp_path / "home")
    for command in (command for line in lines for command in line.split(" #")[0].split("; ")):
        words = shlex.split(command.replace("/mnt/backup", str(tmp_path)))
        done = steer(*words[1:])
        assert done.code == 0, (command, done.err)
    assert len(lines) > 20
