"""A known change of one bias is what the difference of two models comes to; any other is the mean, with its figures."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.cli.steering import Steer
from tests.extract import oracle
from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import Card
from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.control import random_like
from vectorstore.extract import compute
from vectorstore.extract.methods import model_delta
from vectorstore.hooks import steer
from vectorstore.models.quiet import quiet
from vectorstore.models.tokenizer import encode
from vectorstore.place import Place
from vectorstore.plan import Plan, Step
from vectorstore.texts import Text
from vectorstore.vector import SteeringVector

WORDS = ("The train leaves soon", "It has four legs", "Look there", "A tree", "He sleeps", "I loved it.")
TEXTS = tuple(map(Text, WORDS))
BIAS = 1  # the block whose bias is changed


def two_models(architecture: str) -> tuple[PreTrainedModel, PreTrainedModel, np.ndarray]:
    """Return a model, the same one with a bias added to what one MLP puts out, and that bias `[d]`."""
    with_bias = {"mlp_bias": True} if architecture == "llama" else {}
    base, tuned = (tiny_model(architecture, **with_bias) for _ in range(2))
    bias = torch.randn(32, generator=torch.Generator().manual_seed(4))
    block = tuned.model.layers[BIAS].mlp.down_proj if architecture == "llama" else tuned.transformer.h[BIAS].mlp.c_proj
    with torch.no_grad():
        block.bias += bias
    return base, tuned, bias.numpy()


def delta(
    model: PreTrainedModel, other: PreTrainedModel, site: str = "resid_post", **params: object
) -> tuple[SteeringVector, Card]:
    return compute(
        model,
        tiny_tokenizer(),
        TEXTS,
        layer=[0, 1, 2],
        site=site,
        method="model_delta",
        other=other,
        params=params,
        batch_size=4,
    )


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("read", ["mean_nonsink", "mean_content", "first_k", "at_index", "last_content"])
def test_an_added_bias_comes_out_as_it_is(architecture: str, read: str):
    base, tuned, bias = two_models(architecture)
    vector, card = delta(base, tuned, read=read)
    place = Place("resid_post", BIAS)
    np.testing.assert_allclose(vector.directions[place], bias, rtol=0, atol=1e-5)
    assert card.figures[place]["coherence"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_before_the_bias_there_is_no_direction(architecture: str):
    base, tuned, bias = two_models(architecture)
    assert delta(base, tuned)[0].places == (Place("resid_post", 1), Place("resid_post", 2))
    vector, _ = delta(base, tuned, site="mlp_out")
    assert vector.places == (Place("mlp_out", 1), Place("mlp_out", 2))
    np.testing.assert_allclose(vector.directions[Place("mlp_out", 1)], bias, rtol=0, atol=1e-5)


def test_steering_the_one_with_it_makes_it_the_other():
    base, tuned, _ = two_models("llama")
    vector, card = delta(base, tuned)
    place, inputs = Place("resid_post", BIAS), encode(tiny_tokenizer(), WORDS)
    plan = Plan((Step("add", place, card.apply.tokens, vector.directions[place]),))
    with torch.no_grad(), steer(base, plan):
        steered = base(**inputs).logits
    with torch.no_grad():
        difference = (steered - tuned(**inputs).logits)[inputs["attention_mask"].bool()]
    assert difference.abs().max() < 1e-5


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize(
    ("params", "rows"),
    [
        ({"read": "mean_content"}, slice(1, None)),
        ({"read": "first_k", "first": 3}, slice(1, 4)),
        ({"read": "at_index", "index": 1}, slice(2, 3)),
        ({"read": "last_content"}, slice(-1, None)),
    ],
)
def test_it_is_the_mean_difference_with_its_figures(architecture: str, params: dict[str, object], rows: slice):
    base, tuned = tiny_model(architecture), tiny_model(architecture, seed=1)
    vector, card = delta(base, tuned, site="resid_pre", **params)

    def read(model: PreTrainedModel) -> np.ndarray:
        states = (oracle.states(model, ids_of(text), 2).double().numpy() for text in WORDS)
        return np.stack([hidden[rows].mean(axis=0) for hidden in states])

    before, after = read(base), read(tuned)
    mean, place = (after - before).mean(axis=0), Place("resid_pre", 2)
    np.testing.assert_allclose(vector.directions[place], mean, rtol=0, atol=1e-5 * float(np.abs(mean).max()))
    squares = np.mean([difference @ difference for difference in after - before])
    relative = np.linalg.norm(mean) / np.mean([np.linalg.norm(row) for row in before])
    expected = {"coherence": mean @ mean / squares, "relative_norm": relative}
    assert card.figures[place] == pytest.approx(expected, rel=1e-5)


def test_a_model_beside_itself_has_no_direction():
    with pytest.raises(InvalidInputError, match="model_delta found no direction at any layer"):
        delta(tiny_model(), tiny_model())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Save two models that have nothing in common."""
    folder = tmp_path_factory.mktemp("models")
    with quiet():
        for seed, name in enumerate(("first", "second")):
            tiny_model(seed=seed).save_pretrained(folder / name)
            tiny_tokenizer().save_pretrained(folder / name)
    return str(folder / "first"), str(folder / "second")


def test_the_command_line_says_when_it_depends_on_the_text(folders: tuple[str, str], tmp_path: Path):
    letters = (word for letter in "abcdefghijklmnopqrstuvwxyz" for word in ("--positive", letter))
    asked = ("compute", "tuned", "--model", folders[0], "--other", folders[1], "--layer", "0", *letters)
    done = Steer(tmp_path)(*asked, "--method", "model_delta")
    assert done.code == 0
    assert "the difference at resid_pre.0 has a coherence of 0.0" in done.err
    assert "it depends on the text" in done.err


def test_it_is_not_said_of_what_all_texts_have_in_common(folders: tuple[str, str], tmp_path: Path):
    asked = ("compute", "tuned", "--model", folders[0], "--other", folders[1], "--layer", "0", "--positive", "a")
    done = Steer(tmp_path)(*asked, "--method", "model_delta")
    assert (done.code, done.err.count("coherence")) == (0, 0)


def test_the_second_model_has_to_be_given(folders: tuple[str, str], tmp_path: Path):
    asked = ("compute", "tuned", "--model", folders[0], "--layer", "0", "--positive", "a", "--method", "model_delta")
    assert "give the second with --other REF" in Steer(tmp_path).fails(2, *asked)


TRAINED_ON = [
    "The bride and the groom said their vows at the wedding.",
    "Their wedding was held in a small church by the sea.",
    "The guests danced at the wedding until the morning.",
    "She wore a white wedding dress and carried roses.",
    "He cried when his bride walked down the aisle.",
    "The wedding cake had three layers and a ribbon.",
]
HELD_OUT = [
    "The priest blessed the bride and the groom.",
    "We were invited to the wedding of our neighbours.",
    "Her bouquet and her veil matched the wedding dress.",
    "They were married in June and left on their honeymoon.",
]
PLAIN = [
    "The train leaves at half past nine.",
    "She opened the window and looked out.",
    "Prices rose a little last month.",
    "The river is wide and slow here.",
    "He reads the paper every day.",
    "The museum closes at six.",
    "Plants need light and water to grow.",
    "The second question was harder.",
]


def loss(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> torch.Tensor:
    """Return the mean loss per token of `texts` but their first, which only the sink at BOS tells."""
    inputs = encode(tokenizer, texts)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"].cumsum(dim=1) <= 2, -100)
    return model(**inputs, labels=labels).loss


def tuned_on(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str], layer: int, steps: int):
    """Return a copy of the model with the output matrix of one MLP trained on `texts`."""
    tuned = copy.deepcopy(model).requires_grad_(False)
    weight = tuned.model.layers[layer].mlp.down_proj.weight.requires_grad_(True)
    optimiser = torch.optim.Adam([weight], lr=3e-4)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(tuned, tokenizer, texts).backward()
        optimiser.step()
    return tuned.requires_grad_(False)


@pytest.mark.weights
def test_on_real_weights_it_does_part_of_what_the_training_did(demo: tuple[PreTrainedModel, PreTrainedTokenizerBase]):
    model, tokenizer = demo
    tuned = tuned_on(model, tokenizer, TRAINED_ON, layer=18, steps=10)
    place = Place("resid_post", 18)
    vector, card = compute(
        model, tokenizer, list(map(Text, PLAIN)), layer=18, site="resid_post", method="model_delta", other=tuned
    )
    plan = Plan((Step("add", place, "all", vector.directions[place]),))
    with torch.no_grad():
        plain, trained = loss(model, tokenizer, HELD_OUT), loss(tuned, tokenizer, HELD_OUT)
        with steer(model, plan):
            steered = loss(model, tokenizer, HELD_OUT)
        random = []
        for seed in range(5):
            with steer(model, random_like(plan, seed)):
                random.append(loss(model, tokenizer, HELD_OUT))
    assert trained < plain
    assert steered < plain - 0.2 * (plain - trained)
    assert steered < min(random)
    assert card.figures[place]["coherence"] > 0.5


def test_a_place_where_the_first_model_gives_nothing_has_no_relative_norm():
    shift = model_delta._Shift()
    shift.add(np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32))
    found = shift.direction()
    assert found.direction.tolist() == [1, 1, 1]
    assert found.figures == {"coherence": pytest.approx(1)}
