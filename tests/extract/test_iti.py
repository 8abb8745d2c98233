"""ITI is what the authors' formulas give, with torch's or scikit-learn's probes, added where their code adds it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.tiny_models import ARCHITECTURES, tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.propensity import next_token_mass
from vectorstore.extract import compute
from vectorstore.extract.methods.iti import split
from vectorstore.extract.probes import fit
from vectorstore.extract.recompute import repeat
from vectorstore.hooks import steer
from vectorstore.models.layers import decoder_layers, site_module
from vectorstore.models.projection import project_heads
from vectorstore.pairs import read_pairs
from vectorstore.place import Place
from vectorstore.plan import Plan, plan_of
from vectorstore.texts import Labelled

ALPHA = 15
HEADS, CHOSEN = 4, 5
LAYERS = (0, 1, 2)
NAMES = ("Ann", "the cat", "a tree", "he", "the sun", "bread", "she", "it", "the view", "a day", "the dog", "we")
ITEMS = tuple(
    Labelled(text, label, f"Is {name} so, ")
    for name in NAMES
    for text, label in ((f"yes, {name} is", "true"), (f"no, {name} is not", "false"), ("so they say", "false"))
)
DATA = Path(__file__).parents[2] / "cli" / "data"


def head_rows(model: PreTrainedModel, projection: str) -> np.ndarray:
    """Return each output projection's input at the last token `[items, layers, heads, head_dim]`, text by text."""
    found: list[np.ndarray] = []
    hooks = [
        decoder_layers(model)[layer]
        .get_submodule(projection)
        .register_forward_pre_hook(lambda _, args: found.append(args[0][0, -1].double().numpy()))
        for layer in LAYERS
    ]
    with torch.no_grad():
        for item in ITEMS:
            model(torch.tensor([ids_of(item.prompt + item.text)]))
    for hook in hooks:
        hook.remove()
    return np.stack(found).reshape(len(ITEMS), len(LAYERS), HEADS, -1)


def by_torch(rows: np.ndarray, labels: np.ndarray, penalty: float = 1) -> tuple[np.ndarray, float]:
    """Return the weight and intercept that LBFGS finds: scikit-learn's LogisticRegression at C = 1/penalty."""
    points, signs = torch.from_numpy(rows), torch.from_numpy(np.where(labels, 1.0, -1.0))
    found = torch.zeros(rows.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [found], max_iter=2000, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        margins = signs * (points @ found[:-1] + found[-1])
        total = torch.nn.functional.softplus(-margins).sum() + penalty / 2 * found[:-1] @ found[:-1]
        total.backward()
        return total

    optimiser.step(loss)
    return found.detach().numpy()[:-1], float(found[-1].detach())


def by_the_authors(rows: np.ndarray, labels: np.ndarray, held_out: np.ndarray, theta_of: str) -> dict[Any, Any]:
    """`get_top_heads`, `get_com_directions` and `get_interventions_dict`: {(layer, head): (theta, sigma, accuracy)}."""
    ranked, found = [], {}
    for layer, head in np.ndindex(rows.shape[1:3]):
        each = rows[:, layer, head]
        weight, intercept = by_torch(each[~held_out], labels[~held_out])
        margins = each[held_out] @ weight + intercept
        accuracy = np.mean((margins > 0) == labels[held_out])
        loss = np.log1p(np.exp(-np.where(labels[held_out], margins, -margins))).mean()
        ranked.append((-accuracy, loss, layer, head))
        theta = weight if theta_of == "probe" else each[labels].mean(axis=0) - each[~labels].mean(axis=0)
        theta = theta / np.linalg.norm(theta)
        found[layer, head] = theta, np.std(each @ theta.T), accuracy
    return {(layer, head): found[layer, head] for _, _, layer, head in sorted(ranked)[:CHOSEN]}


@pytest.mark.parametrize("theta_of", ["mass_mean", "probe"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "qwen3"])
def test_it_is_the_authors_formulas(architecture: str, theta_of: str):
    model = tiny_model(architecture)
    rows = head_rows(model, "attn.c_proj" if architecture == "gpt2" else "self_attn.o_proj")
    labels = np.array([item.label == "true" for item in ITEMS])
    groups = np.array([NAMES.index(item.prompt[3:-5]) for item in ITEMS])
    held_out = split(labels, groups, seed=7)
    expected = by_the_authors(rows, labels, held_out, theta_of)

    params = {"heads": CHOSEN, "theta": theta_of}
    vector, card = compute(model, tiny_tokenizer(), ITEMS, layer=LAYERS, method="iti", params=params, seed=7)
    wanted = {layer: np.zeros(rows.shape[2:]) for layer, _ in expected}
    figures: dict[int, dict[str, float]] = {layer: {} for layer in wanted}
    for (layer, head), (theta, sigma, accuracy) in expected.items():
        wanted[layer][head] = sigma * theta
        figures[layer] |= {f"head_{head}_accuracy": accuracy, f"head_{head}_sigma": sigma}
    assert vector.places == tuple(Place("head_out", layer) for layer in sorted(wanted))
    for layer, shifts in wanted.items():
        at = Place("head_out", layer)
        np.testing.assert_allclose(vector.directions[at], shifts.ravel(), rtol=0, atol=1e-4 * np.abs(shifts).max())
        told = {name: value for name, value in card.figures[at].items() if name.startswith("head_")}
        assert told == pytest.approx(figures[layer], rel=1e-4)
        assert card.figures[at]["chance_accuracy"] == pytest.approx(2 / 3)
    assert (card.apply.tokens, card.apply.operator) == ("generated", "add")


@pytest.mark.parametrize("shape", [(3, 40, 5), (2, 12, 30), (4, 9, 9)])
@pytest.mark.parametrize("penalty", [1e-6, 1e-2, 1, 1e6])
@pytest.mark.parametrize("scale", [0.01, 1, 1000])
def test_the_slope_of_each_probe_is_zero(shape: tuple[int, int, int], penalty: float, scale: float):
    rng = np.random.default_rng(3)
    labels = np.arange(shape[1]) % 3 == 0
    rows = scale * (rng.standard_normal(shape) + 4 + 0.5 * labels[:, None])
    probes = fit(rows, labels, penalty)
    with np.errstate(over="ignore"):
        wrong = labels - 1 / (1 + np.exp(-probes.margins(rows)))  # (sets, n)
    size = np.abs(wrong[..., None] * rows).sum(axis=1)
    assert (np.abs(penalty * probes.weights - (wrong[:, None] @ rows)[:, 0]) <= 1e-6 * size + 1e-9).all()
    assert (np.abs(wrong.sum(axis=1)) <= 1e-6 * np.abs(wrong).sum(axis=1) + 1e-9).all()


@pytest.mark.parametrize("whose", ["torch", "scikit-learn"])
def test_probes_are_those_of_others(whose: str):
    def theirs(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
        if whose == "torch":
            return by_torch(rows, labels, penalty=0.5)
        linear_model = pytest.importorskip("sklearn.linear_model")
        found = linear_model.LogisticRegression(C=2, tol=1e-12, max_iter=100_000).fit(rows, labels)
        return found.coef_[0], found.intercept_[0]

    rng = np.random.default_rng(4)
    labels = rng.random(60) < 0.4
    rows = rng.standard_normal((5, 60, 8)) + 3 + np.where(labels, 0.5, 0)[:, None]
    probes = fit(rows, labels, 0.5)
    for number, each in enumerate(rows):
        weight, intercept = theirs(each, labels)
        np.testing.assert_allclose(probes.weights[number], weight, rtol=0, atol=1e-5)
        assert probes.intercepts[number] == pytest.approx(intercept, abs=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_adding_it_to_generated_tokens_is_the_authors_intervention(architecture: str):
    """`ITI_Intervener`: at the last position of each forward call, the prompt's and then every new token's."""
    model, tokenizer = tiny_model(architecture), tiny_tokenizer()
    vector, card = compute(model, tokenizer, ITEMS, layer=LAYERS, method="iti", params={"heads": 5})
    prompt = torch.tensor([ids_of("I loved it")])
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "output_logits": True}

    def generated() -> torch.Tensor:
        asked = {"attention_mask": torch.ones_like(prompt), "return_dict_in_generate": True, **settings}
        return torch.stack(model.generate(prompt, **asked).logits)

    def intervene(displacement: np.ndarray) -> Callable[..., Any]:
        def hook(_module: torch.nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            edited = args[0].clone()
            edited[0, -1] = edited[0, -1] + ALPHA * torch.from_numpy(displacement)
            return (edited,)

        return hook

    with steer(model, plan_of(vector, card, ALPHA)):
        ours = generated()
    plain = generated()
    for place, direction in vector.directions.items():
        layer = decoder_layers(model)[place.layer]
        projection = layer.attn.c_proj if architecture == "gpt2" else layer.self_attn.o_proj
        projection.register_forward_pre_hook(intervene(np.array(direction)))
    torch.testing.assert_close(ours, generated(), rtol=0, atol=1e-5)
    assert (ours - plain).abs().max() > 1e-2


def logits_of(model: PreTrainedModel, plan: Plan) -> torch.Tensor:
    ids = torch.tensor([ids_of("She smiled at all of us")])
    with torch.no_grad(), steer(model, plan, prompt_length=3):
        return model(ids).logits


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_at_attn_out_it_steers_to_the_same_logits(architecture: str):
    model, tokenizer = tiny_model(architecture), tiny_tokenizer()
    for layer in LAYERS:
        projection, _ = site_module(model, Place("head_out", layer))
        if isinstance(bias := getattr(projection, "bias", None), torch.nn.Parameter):  # zero in a new model
            torch.nn.init.normal_(bias, std=0.1, generator=torch.Generator().manual_seed(layer))
    plans = [
        plan_of(*compute(model, tokenizer, ITEMS, layer=LAYERS, method="iti", site=site, params={"heads": 6}), 2000)
        for site in ("head_out", "attn_out")
    ]
    assert [plan.places[0].site for plan in plans] == ["head_out", "attn_out"]
    one, other = (logits_of(model, plan) for plan in plans)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    assert (one - logits_of(model, Plan())).abs().max() > 1e-2


def test_rows_go_through_the_projection_as_each_of_them_does():
    rows = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    model = tiny_model("qwen3")
    weight = decoder_layers(model)[1].self_attn.o_proj.weight.detach().numpy()
    np.testing.assert_allclose(project_heads(model, 1, rows), rows @ weight.T, rtol=0, atol=1e-5)
    np.testing.assert_allclose(project_heads(model, 1, rows[0]), weight @ rows[0], rtol=0, atol=1e-5)


def test_a_large_bias_in_half_precision_takes_nothing_away():
    model = tiny_model("gpt2")
    projection = decoder_layers(model)[1].attn.c_proj
    torch.nn.init.constant_(projection.bias, 100)
    rows = 0.01 * np.random.default_rng(0).standard_normal((3, 32)).astype(np.float32)
    model = model.to(torch.bfloat16)
    weight = projection.weight.detach().float().numpy()
    np.testing.assert_allclose(project_heads(model, 1, rows), rows @ weight, rtol=0, atol=1e-4)
    assert projection.weight.dtype == torch.bfloat16


def test_the_answers_to_one_question_stay_together_and_a_fifth_is_held_out():
    groups = np.repeat(np.arange(25), 4)
    labels = np.tile([True, False, False, True], 25)
    held_out = split(labels, groups, seed=1)
    assert [len(set(held_out[groups == group])) for group in range(25)] == [1] * 25
    assert held_out.sum() == 20
    assert (split(labels, groups, seed=1) == held_out).all()
    assert any((split(labels, groups, seed=seed) != held_out).any() for seed in (2, 3))


def test_texts_without_a_question_are_held_out_of_both_labels_alike():
    labels = np.arange(60) < 40
    for seed in range(5):
        held_out = split(labels, np.arange(60), seed)
        assert (held_out & labels).sum() == 8
        assert (held_out & ~labels).sum() == 4


@pytest.mark.parametrize(
    "items",
    [
        ITEMS[:3],
        (Labelled("a", "true"), Labelled("b", "false"), Labelled("c", "false")),
        (Labelled("a", "true"), *ITEMS[1:4:2]),
    ],
)
def test_too_few_questions_are_an_error(items: tuple[Labelled, ...]):
    with pytest.raises(InvalidInputError, match=r"there are too few questions to train probes.*give two or more"):
        compute(tiny_model(), tiny_tokenizer(), items, layer=1, method="iti")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"heads": 0}, "0 heads; give 1 or more with --heads"),
        ({"penalty": 0.0}, "a penalty of 0; give 1e-06"),
        ({"theta": "ccs"}, "theta is 'ccs'; choose mass_mean or probe with --theta"),
    ],
)
def test_settings_out_of_range_are_errors(params: dict[str, object], message: str):
    with pytest.raises(InvalidInputError, match=message):
        compute(tiny_model(), tiny_tokenizer(), ITEMS, layer=1, method="iti", params=params)


def test_layers_without_a_chosen_head_are_left_out_and_recomputing_agrees_all_the_same():
    vector, card = compute(tiny_model(), tiny_tokenizer(), ITEMS, layer=LAYERS, method="iti", params={"heads": 1})
    assert len(vector.places) == 1
    (direction,) = vector.directions.values()
    assert (direction.reshape(4, -1) != 0).any(axis=1).sum() == 1
    assert card.method.params["layers_asked"] == [*LAYERS]  # among which it chooses again
    repeated = repeat(vector, card, tiny_model(), tiny_tokenizer())
    assert all(agreement.identical for agreement in repeated.places.values())


@pytest.mark.weights
def test_on_real_weights_it_tells_and_moves_sentiment_and_random_directions_of_the_same_heads_do_not(demo: Any):
    model, tokenizer = demo
    texts = json.loads((DATA / "demo.json").read_text())
    pairs = read_pairs(DATA / "sentiment.jsonl")
    items = [
        Labelled(text, label) for pair in pairs for text, label in ((pair.positive, "true"), (pair.negative, "no"))
    ]
    settings = {"layer": range(30), "method": "iti", "params": {"heads": 16}, "batch_size": 16}
    vector, card = compute(model, tokenizer, items, **settings)
    told = [value for named in card.figures.values() for name, value in named.items() if re.match("head_.*_acc", name)]
    assert len(told) == 16
    assert min(told) >= 0.8

    def log_odds(plan: Plan) -> np.ndarray:
        lists = texts["positive_words"], texts["negative_words"]
        with steer(model, plan):
            positive, negative = np.log(next_token_mass(model, tokenizer, texts["sentiment_prompts"], *lists))
        return positive - negative

    def random_heads(plan: Plan, seed: int) -> Plan:
        rng = np.random.default_rng(seed)
        steps = []
        for step in plan.steps:
            heads = step.direction.reshape(9, -1)
            noise = rng.standard_normal(heads.shape)
            noise *= np.linalg.norm(heads, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
            steps.append(replace(step, direction=noise.reshape(-1).astype(np.float32)))
        return replace(plan, steps=tuple(steps))

    unsteered = log_odds(Plan())
    plan = plan_of(vector, card, 4)
    up, down = log_odds(plan) - unsteered, log_odds(plan_of(vector, card, -4)) - unsteered
    random = [float((log_odds(random_heads(plan, seed)) - unsteered).mean()) for seed in range(5)]
    assert (up > 0).all()
    assert (down < 0).all()
    assert up.mean() > 3
    assert down.mean() < -3
    assert abs(np.mean(random)) < 1
    at_attn_out = compute(model, tokenizer, items, **settings, site="attn_out")
    ids = tokenizer("The film we saw last night was", return_tensors="pt")
    with torch.no_grad(), steer(model, plan):
        one = model(**ids).logits
    with torch.no_grad(), steer(model, plan_of(*at_attn_out, 4)):
        torch.testing.assert_close(model(**ids).logits, one, rtol=0, atol=1e-4)
