"""What every method keeps to, built in or not: a new one needs no test of its own for any of this."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from cli.compute import compute as command
from tests.cli.steering import Steer
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import Card
from vectorstore.codec import pack, unpack
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.extract.methods import BUILT_IN
from vectorstore.extract.protocols import AnyMethod
from vectorstore.extract.recompute import repeat
from vectorstore.items import Item
from vectorstore.kinds import KINDS
from vectorstore.models.layers import site_widths
from vectorstore.models.quiet import quiet
from vectorstore.pairs import ContrastPair
from vectorstore.texts import Demonstration, Labelled, Target, Text
from vectorstore.vector import SteeringVector

PAGES = Path(__file__).parents[2] / "docs" / "methods"
SECTIONS = ("The idea", "The formula", "Example", "When to use it", "What it cost here")
LAYERS = (1, 2)
CHAT_TEMPLATE = "{% for m in messages %}{{ m.role }} {{ m.content }}, {% endfor %}assistant "
DATA: dict[str, tuple[Item, ...]] = {
    "pairs": (
        ContrastPair("I loved it.", "I hated it."),
        ContrastPair("What a day", "A long and dull day"),
        ContrastPair("So good", "So very bad"),
        ContrastPair("She smiled at all of us", "He frowned"),
        ContrastPair("a fine view", "It was late"),
        ContrastPair("nice", "nasty"),
    ),
    "texts": (
        *(Text(text) for text in ("I loved it.", "So good", "She smiled at all of us", "nice")),
        *(Text(text, "negative") for text in ("The train leaves soon", "A tree", "It has four legs", "Look there")),
    ),
    "labelled": tuple(
        Labelled(text, label, f"Is {name} so. ")
        for name in ("A", "B", "C", "D", "E", "F")
        for text, label in ((f"yes, {name} is", "true"), (f"no, {name} is not", "false"))
    ),
    "targets": (Target("the cat sat", "So "), Target("a dog ran", "So ")),
    "demonstrations": (
        Demonstration("a cat", "un chat"),
        Demonstration("a dog", "un chien"),
        Demonstration("the sun", "le soleil"),
    ),
}
METHODS = list(BUILT_IN.values())
FEW = {"steps": 6, "epochs": 3}
"""What is trained is trained briefly here."""
each_method = pytest.mark.parametrize("method", METHODS, ids=list(BUILT_IN))


def data_of(method: AnyMethod) -> tuple[Item, ...]:
    return DATA[method.data][: method.max_items]


def computed(
    method: AnyMethod, model: PreTrainedModel | None = None, data: tuple[Item, ...] | None = None, **settings: Any
) -> tuple[SteeringVector, Card]:
    other = tiny_model(seed=1) if method.compares else None
    params = {name: few for name, few in FEW.items() if name in {param.name for param in method.params}}
    tokenizer, asked = tiny_tokenizer(), {"layer": LAYERS, "seed": 3, "other": other, "params": params} | settings
    return compute(model or tiny_model(), tokenizer, data or data_of(method), method=method.name, **asked)


def assert_close(one: SteeringVector, other: SteeringVector) -> None:
    assert one.places == other.places
    for place, direction in one.directions.items():
        scale = float(np.abs(direction).max())
        np.testing.assert_allclose(other.directions[place], direction, rtol=0, atol=1e-4 * scale)


def test_every_kind_of_data_has_something_to_test_with():
    assert set(DATA) == set(KINDS)


@each_method
def test_it_gives_finite_directions_where_it_was_asked_to(method: AnyMethod):
    vector, card = computed(method)
    assert {place.layer for place in vector.places} <= set(LAYERS)
    assert {place.site for place in vector.places} == {method.sites[0]}
    assert (card.method.name, card.method.version, card.data.kind) == (method.name, method.version, method.data)
    assert card.data.count == len(data_of(method))


@each_method
def test_its_blob_reads_back(method: AnyMethod):
    vector, card = computed(method)
    assert unpack(pack(vector, card)) == (vector, card)


@each_method
def test_the_same_seed_gives_the_same_bytes(method: AnyMethod):
    assert pack(*computed(method)) == pack(*computed(method))


@each_method
def test_it_does_not_depend_on_the_batch_size(method: AnyMethod):
    assert_close(computed(method, batch_size=1)[0], computed(method, batch_size=5)[0])


@each_method
def test_it_does_not_depend_on_the_order_of_the_data_unless_it_says_so(method: AnyMethod):
    if not method.order_matters:
        assert_close(computed(method)[0], computed(method, data=data_of(method)[::-1])[0])


@each_method
def test_it_works_at_all_of_its_sites(method: AnyMethod):
    model = tiny_model("qwen3")  # heads are wider than d_model
    for site in method.sites:
        other = tiny_model("qwen3", seed=1) if method.compares else None
        vector, _ = computed(method, model, layer=1, site=site, other=other)
        assert all(direction.shape[-1] == site_widths(model)[site] for direction in vector.directions.values())


@each_method
@pytest.mark.parametrize("architecture", ["gpt2", "gemma2", "opt"])
def test_it_works_on_other_architectures(method: AnyMethod, architecture: str):
    other = tiny_model(architecture, seed=1) if method.compares else None
    vector, _ = computed(method, tiny_model(architecture), other=other)
    assert vector.places


@each_method
def test_it_leaves_the_model_as_it_was(method: AnyMethod):
    model = tiny_model().train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    computed(method, model)
    assert all(module.training for module in model.modules())
    assert not [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert model.state_dict().keys() == weights.keys()
    assert torch.is_grad_enabled()


@each_method
def test_recomputing_agrees(method: AnyMethod):
    vector, card = computed(method)
    other = tiny_model(seed=1) if method.compares else None
    repeated = repeat(vector, card, tiny_model(), tiny_tokenizer(), other=other, batch_size=8)
    assert repeated.agrees
    assert all(agreement.identical for agreement in repeated.places.values())


@each_method
def test_data_of_another_kind_are_refused(method: AnyMethod):
    other = next(kind for kind in KINDS if kind != method.data)
    with pytest.raises(InvalidInputError, match=rf"{method.name} takes {method.data}, and item 1 is a"):
        computed(method, data=DATA[other])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Save a tiny model for `--model demo`, and another one for `--other tuned`; return their folders."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    with quiet():
        for seed, name in enumerate(("demo", "tuned")):
            tiny_model(seed=seed).save_pretrained(folder / name)
            tokenizer.save_pretrained(folder / name)
    return {name: str(folder / name) for name in ("demo", "tuned")}


@each_method
def test_it_has_a_page_whose_example_runs(
    method: AnyMethod, models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    text = (PAGES / f"{method.name}.md").read_text()
    assert [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")] == list(SECTIONS)
    for name, lines in re.findall(r"```jsonl (\S+)\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(lines)
    monkeypatch.chdir(tmp_path)
    steer = Steer(tmp_path / "home")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert any(f"--method {method.name} " in line for line in commands if line.startswith("steer compute "))
    for line in commands:
        done = steer(*tiny_words(line, models))
        assert done.code == 0, (line, done.err)


def tiny_words(line: str, models: dict[str, str]) -> list[str]:
    """Return the words after `steer` for a tiny model of three layers."""
    words = shlex.split(line)[1:]
    for at, word in enumerate(words):
        if word in ("--model", "--other"):
            words[at + 1] = models[words[at + 1]]
        if word == "--layer":
            words[at + 1] = "1..2" if ".." in words[at + 1] else "1"
    return words


def test_steer_methods_lists_every_one(tmp_path: Path):
    listed = {method["name"]: method for method in Steer(tmp_path).ok("methods")["methods"]}
    for method in METHODS:
        shown = listed[method.name]
        assert (shown["data"], shown["protocol"], shown["gradients"]) == (
            method.data,
            method.protocol,
            method.gradients,
        )
        assert shown["source"] == method.source
        assert [param["name"] for param in shown["params"]] == [param.name for param in method.params]


def test_the_command_line_has_one_option_for_each_setting():
    options = [name for param in command.params for name in param.opts]
    assert len(options) == len(set(options))
    assert {param.option for method in METHODS for param in method.params} <= set(options)
