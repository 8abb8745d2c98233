"""A task that no pair of prompts expresses, another language: what the page says of it holds on the demo weights."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.bench_tasks import DATA, HELD_OUT, LEARNED, TEXTS, likely, plain, plan_of, written
from tests.cli.steering import Steer
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.evaluate.control import random_like
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.models.quiet import quiet
from vectorstore.plan import Plan

Demo = tuple[PreTrainedModel, PreTrainedTokenizerBase]
PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()


def centred(demo: Demo) -> Plan:
    return plan_of(compute(*demo, TEXTS, layer=15, method="mean_centring"), 0.3, [15])


def in_context(demo: Demo) -> Plan:
    return plan_of(compute(*demo, LEARNED, layer=range(30), method="in_context"), 0.02, range(30))


@pytest.fixture(scope="module")
def unsteered(demo: Demo) -> tuple[float, float]:
    """Give the log-probability of French, and the French share of what is written, by the model alone."""
    return likely(demo, plain, 0), written(demo)[0]


@pytest.mark.weights
@pytest.mark.parametrize("make", [centred, in_context])
def test_it_speaks_french_as_no_random_direction_does(demo: Demo, unsteered: tuple[float, float], make: object):
    plan = make(demo)
    with steer(demo[0], plan):
        french, (share, _) = likely(demo, plain, 0), written(demo)
    random = []
    for seed in range(3):
        with steer(demo[0], random_like(plan, seed)):
            random.append(likely(demo, plain, 0))
    assert french > unsteered[0] + 0.4
    assert french > max(random) + 0.4
    assert share > 0.5
    assert unsteered[1] == 0


def test_nothing_is_measured_on_what_it_was_computed_from():
    seen = {*(each.output for each in LEARNED), *(text.text for text in TEXTS)}
    assert not seen & {each.output for each in HELD_OUT}
    assert not {each.input for each in LEARNED} & {each.input for each in HELD_OUT}


def test_no_text_ends_in_a_full_stop():
    texts = [*(text for each in (*LEARNED, *HELD_OUT) for text in (each.input, each.output)), *(t.text for t in TEXTS)]
    assert not [text for text in texts if not text[-1].isalpha()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with the page's data, but for most of the words, and a tiny model for `--model model`."""
    data = shutil.copytree(DATA, tmp_path / "benchmarks" / "data")
    (data / "words.txt").write_text("king queen man woman river table")
    with quiet():
        tiny_model().save_pretrained(tmp_path / "model")
        tiny_tokenizer().save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEER_HOME", str(tmp_path / "home"))
    return tmp_path


def test_the_commands_of_the_page_run(folder: Path):
    run = Steer(folder / "home")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    for line in lines:
        words = shlex.split(line)[1:]
        for at, word in enumerate(words):
            if word == "--model":
                words[at + 1] = "model"
            if word == "--layer":
                words[at + 1] = {"0..29": "0..2", "15": "2"}.get(words[at + 1], words[at + 1])
        done = run(*words)
        assert done.code == 0, (line, done.err)


@pytest.mark.usefixtures("folder")
def test_the_python_of_the_page_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("vectorstore.models.load_model", lambda _reference: (tiny_model(), tiny_tokenizer()))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "tasks.md", "exec"), {})  # noqa: S102 - our own text
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} > {"king", "queen", "woman"}
