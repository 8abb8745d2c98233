"""The pages about data and scores: their commands and Python run, and say what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.steering import Steer
from tests.extract.test_every_method import CHAT_TEMPLATE, tiny_words
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.data.shipped import SETS
from vectorstore.kinds import KINDS
from vectorstore.models.quiet import quiet
from vectorstore.template import TEMPLATES

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Save a tiny model for `--model demo`."""
    folder = tmp_path_factory.mktemp("models") / "demo"
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    with quiet():
        tiny_model(max_position_embeddings=512).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return {"demo": str(folder)}


@pytest.mark.parametrize("page", ["score.md", "datasets.md"])
def test_the_commands_run(page: str, models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = (DOCS / page).read_text()
    for name, lines in re.findall(r"```jsonl (\S+)\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(lines)
    monkeypatch.chdir(tmp_path)
    steer = Steer(tmp_path / "home")
    for line in "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines():
        words = tiny_words(line, models)
        done = steer(*words, *(["--model", models["demo"]] if words[0] == "score" else []))
        assert done.code == 0, (line, done.err)


def test_the_python_runs(models: dict[str, str]):
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "score.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    block = block.replace('"demo"', repr(models["demo"])).replace("layer=18", "layer=1")
    exec(compile(block, "score.md", "exec"), names)  # noqa: S102 - our own text
    ((place, scores),) = names["scores"].items()
    assert scores.shape == (2,)
    assert names["held_out"][place].positive_count == names["folded"][place].positive_count == 16


def test_the_page_names_every_kind_set_and_template():
    text = (DOCS / "datasets.md").read_text()
    for name in SETS:
        assert text.count(f"\n| {name} |") == 2
    for name, template in TEMPLATES.items():
        assert f"\n| {name} | {' '.join(template.split())} |" in text
    for kind in KINDS.values():
        (line,) = re.findall(rf"\n\| {kind.kind} \| `(.*?)` \|", text)
        assert kind.trouble(json.loads(line)) == ""
