"""Methods by name, also of another distribution, with metadata, entry points and a module as pip leaves them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.extract.counting import counted_layers
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import Apply
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.extract.methods import BUILT_IN
from vectorstore.extract.params import Param
from vectorstore.extract.prompts import CHAT
from vectorstore.extract.protocols import ActivationMethod
from vectorstore.extract.registry import get_method, method_names
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place

PAIRS = [ContrastPair("I loved it.", "I hated it."), ContrastPair("So good", "So very bad"), ContrastPair("a", "b")]

PLUGIN = '''
import numpy as np
import torch

from vectorstore.card import Apply
from vectorstore.extract.params import Param
from vectorstore.extract.positions import ALL, LAST_CONTENT
from vectorstore.extract.protocols import ActivationMethod, ModelMethod
from vectorstore.models.layers import decoder_layers
from vectorstore.place import Place
from vectorstore.vector import SteeringVector


def lat(positive, negative, use):
    """Shuffle signs, take the first principal component, let it point to the positives."""
    differences = positive - negative
    signs = np.random.default_rng(use.seed).choice([-1, 1], len(differences))
    component = np.linalg.svd(differences * signs[:, None], full_matrices=False)[2][0]
    return component * np.sign((differences @ component).mean()) * use.params["norm"]


LAT = ActivationMethod(
    name="tiny_lat", version="3", summary="LAT", source="arXiv 2310.01405", apply=Apply("generated"),
    reads=(LAST_CONTENT,), own_params=(Param("norm", 1.0, "Norm of the direction."),), direction=lat,
)


def ascent(model, tokenizer, data, request):
    """Return the gradient of the positive texts' log-likelihood at each place."""
    assert not model.training
    directions = {}
    for place in request.places:
        total = torch.zeros(model.config.hidden_size, requires_grad=True)
        layer = decoder_layers(model)[place.layer]
        handle = layer.register_forward_pre_hook(lambda _, args: (args[0] + total, *args[1:]))
        try:
            for pair in data:
                ids = torch.tensor([tokenizer(pair.positive)["input_ids"]])
                loss = model(ids, labels=ids).loss
                directions[place] = directions.get(place, 0) - torch.autograd.grad(loss, total)[0].numpy()
        finally:
            handle.remove()
    return SteeringVector(directions)


ASCENT = ModelMethod(
    name="ascent", version="1", summary="Gradient", source="here", apply=Apply("all"), gradients=True,
    empty_negative=True, run=ascent,
)

ELSEWHERE = ModelMethod(
    name="elsewhere", version="1", summary="Too wide", source="here", apply=Apply("all"),
    run=lambda model, tokenizer, data, request: SteeringVector({request.places[0]: np.ones(5, np.float32)}),
)

BY_TOKEN = ActivationMethod(
    name="by_token", version="1", summary="Mean by token", source="here", apply=Apply("prompt_front"), reads=(ALL,),
    direction=lambda positive, negative, use: (positive - negative).mean(axis=0),
)

BROKEN = "no method"
'''

ENTRY_POINTS = """[vectorstore.methods]
tiny_lat = steer_plugin:LAT
ascent = steer_plugin:ASCENT
elsewhere = steer_plugin:ELSEWHERE
by_token = steer_plugin:BY_TOKEN
broken = steer_plugin:BROKEN
missing = steer_plugin_gone:X
actadd = steer_plugin:LAT
"""


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    info = tmp_path / "steer_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: steer-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "steer_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "steer_plugin", raising=False)


@pytest.mark.usefixtures("_installed")
def test_another_distributions_methods_are_found():
    assert method_names() == (
        *BUILT_IN,
        "ascent",
        "broken",
        "by_token",
        "elsewhere",
        "missing",
        "tiny_lat",
    )
    assert get_method("tiny_lat").params == (Param("norm", 1.0, "Norm of the direction."), CHAT)


@pytest.mark.usefixtures("_installed")
def test_another_distributions_method_computes_and_the_card_names_it():
    vector, card = compute(
        tiny_model(), tiny_tokenizer(), PAIRS, layer=[1, 2], method="tiny_lat", params={"norm": 3}, seed=5
    )
    assert vector.norms == pytest.approx({Place("resid_pre", 1): 3, Place("resid_pre", 2): 3})
    assert (card.method.name, card.method.version, card.method.seed) == ("tiny_lat", "3", 5)
    assert card.method.params == {"norm": 3.0}
    assert card.apply == Apply("generated")


@pytest.mark.usefixtures("_installed")
def test_a_method_may_take_the_model_itself_and_gradients():
    model = tiny_model().train()
    vector, card = compute(model, tiny_tokenizer(), PAIRS, layer=1, method="ascent")
    assert model.training
    assert card.read.positions == "none"
    assert all(parameter.grad is None for parameter in model.parameters())

    def loss(step: float) -> float:
        added = torch.from_numpy(step * vector.directions[Place("resid_pre", 1)])
        layer = model.model.layers[1]
        handle = layer.register_forward_pre_hook(lambda _, args: (args[0] + added, *args[1:]))
        total = 0.0
        with torch.no_grad():
            for pair in PAIRS:
                ids = torch.tensor([tiny_tokenizer()(pair.positive)["input_ids"]])
                total += float(model(ids, labels=ids).loss)
        handle.remove()
        return total

    assert loss(1e-2) < loss(0) < loss(-1e-2)


@pytest.mark.usefixtures("_installed")
def test_a_method_by_token_may_take_several_pairs():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    vector, card = compute(model, tokenizer, PAIRS, layer=1, method="by_token")
    longest = max(len(text) for pair in PAIRS for text in (pair.positive, pair.negative)) + 1
    assert vector.directions[Place("resid_pre", 1)].shape == (longest, 32)
    assert card.method.params == {"pad_token": " "}


@pytest.mark.usefixtures("_installed")
def test_a_method_that_gives_another_width_is_refused():
    with pytest.raises(InvalidInputError, match=r"resid_pre\.1 has width 5"):
        compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=1, method="elsewhere")


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "entry point 'broken' of steer-plugin is no extraction method"),
        ("missing", "method 'missing' of steer-plugin does not load .*ModuleNotFoundError.*uninstall steer-plugin"),
        ("by_tokens", "did you mean by_token?"),
    ],
)
def test_a_plug_in_that_does_not_work_says_whose_it_is(name: str, message: str):
    model = tiny_model()
    with counted_layers(model) as ran, pytest.raises(InvalidInputError, match=message):
        compute(model, tiny_tokenizer(), PAIRS, layer=1, method=name)
    assert ran == []


@pytest.mark.usefixtures("_installed")
def test_built_in_names_cannot_be_replaced():
    assert get_method("actadd") is BUILT_IN["actadd"]


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_built_in_methods_are_ready_for_a_command_line(name: str):
    method = get_method(name)
    assert method.name == name
    assert method.summary
    assert method.source
    for param in method.params:
        assert param.help.endswith(".")
        assert param.option.startswith("--")
        assert param.check(param.default) == param.default


def test_a_pure_method_must_say_where_it_reads():
    with pytest.raises(InvalidInputError, match="blind declares no read position"):
        ActivationMethod(
            name="blind", version="1", summary="", source="", apply=Apply("all"), direction=lambda p, _n, _u: np.copy(p)
        )


def test_params_check_types_and_take_whole_numbers_for_decimals():
    assert Param("rate", 0.5, "").check(2) == 2.0
    for param, value in ((Param("rate", 0.5, ""), "2"), (Param("steps", 3, ""), True), (Param("steps", 3, ""), 2.5)):
        with pytest.raises(InvalidInputError, match=param.option):
            param.check(value)
