"""Ablation finds the direction that the authors' rules choose, tried with hooks of the test's own."""

from __future__ import annotations

import itertools
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.extract.last_rows import PAIRS, sides
from tests.extract.test_weights import HELD_OUT, SENTIMENT
from tests.extract.tiny_tokenizer import IDS, ids_of, tiny_tokenizer
from tests.hooks.probe import witness
from tests.tiny_models import LAYER_COUNT, tiny_model
from vectorstore.card import Apply
from vectorstore.errors import InvalidInputError
from vectorstore.extract import compute
from vectorstore.extract.methods.ablation import ablated
from vectorstore.extract.residual import neutral_text
from vectorstore.hooks import steer
from vectorstore.models.layers import decoder_layers
from vectorstore.place import Place
from vectorstore.plan import Plan

TOKENS = {"score_tokens": "a|e|o", "validation": 0.4, "max_kl": 10.0, "min_induced": -10.0}
LAYERS = range(LAYER_COUNT)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_without_tokens_to_choose_by_it_is_the_mean_difference_at_the_last_token(architecture: str):
    model = tiny_model(architecture)
    vector, card = compute(model, tiny_tokenizer(), PAIRS, layer=[1, 2], method="ablation")
    for layer in (1, 2):
        positive, negative = sides(model, layer)
        expected = positive.mean(axis=0) - negative.mean(axis=0)
        found = vector.directions[Place("resid_pre", layer)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert card.apply == Apply("all", "ablate")


@contextmanager
def hooked(model: PreTrainedModel, direction: np.ndarray, added: int | None = None):
    """The authors' hooks: `h - (h·r̂) r̂` before each block and after attention and MLP; or `h + r` before one block."""
    vector = torch.from_numpy(direction).float()
    unit = vector / (vector.norm() + 1e-8)

    def change(hidden: torch.Tensor) -> torch.Tensor:
        return hidden + vector if added is not None else hidden - (hidden @ unit).unsqueeze(-1) * unit

    def before(_module, args):
        return (change(args[0]), *args[1:])

    def after(_module, _args, output):
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    with ExitStack() as stack:
        for number, block in enumerate(model.model.layers):
            if added in (None, number):
                stack.callback(block.register_forward_pre_hook(before).remove)
            if added is None:
                stack.callback(block.self_attn.register_forward_hook(after).remove)
                stack.callback(block.mlp.register_forward_hook(after).remove)
        yield


def likely(model: PreTrainedModel, texts: list[str]) -> torch.Tensor:
    """Return the probabilities of the next token `[texts, vocabulary]`, one text at a time."""
    with torch.no_grad():
        logits = [model(torch.tensor([ids_of(text)])).logits[0, -1].double() for text in texts]
    return torch.stack(logits).softmax(dim=-1)


def score(probabilities: torch.Tensor) -> float:
    chosen = probabilities[:, [IDS[letter] for letter in "aeo"]].sum(dim=-1)
    return float((torch.log(chosen + 1e-8) - torch.log(1 - chosen + 1e-8)).mean())


def test_it_chooses_as_the_authors_do():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    params = TOKENS | {"last_tokens": 2}
    vector, card = compute(model, tokenizer, PAIRS, layer=LAYERS, method="ablation", params=params, seed=4)
    held_out = set(np.random.default_rng(4).permutation(len(PAIRS))[:3].tolist())
    train = [pair for number, pair in enumerate(PAIRS) if number not in held_out]
    positive, negative = ([getattr(PAIRS[n], side) for n in sorted(held_out)] for side in ("positive", "negative"))
    before = likely(model, negative)
    trials = []
    for token, layer in itertools.product((-2, -1), range(int(LAYER_COUNT * 0.8))):
        one, other = sides(model, layer, train, token)
        direction = one.mean(axis=0) - other.mean(axis=0)
        if np.any(direction):
            with hooked(model, direction):
                left, moved = score(likely(model, positive)), likely(model, negative)
            kl = float((before * (torch.log(before + 1e-6) - torch.log(moved + 1e-6))).sum(dim=-1).mean())
            with hooked(model, direction, layer):
                trials.append((left, kl, score(likely(model, negative)), token, layer, direction))
    best = min(trials, key=lambda trial: trial[0])
    (place,) = vector.places
    assert (place.layer, card.figures[place]["token"]) == (best[4], best[3])
    np.testing.assert_allclose(vector.directions[place], best[5], rtol=0, atol=1e-6)
    for name, expected in zip(("score", "kl", "induced"), best[:3], strict=True):
        assert card.figures[place][name] == pytest.approx(expected, abs=1e-5)
    assert card.figures[place]["score_before"] == pytest.approx(score(likely(model, positive)), abs=1e-5)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"max_kl": 0.0}, r"none of \d directions passes: the lowest KL is .*--max-kl and --min-induced"),
        ({"min_induced": 50.0}, r"none of \d directions passes: .* the highest induced score -"),
        ({"score_tokens": "a|be"}, "'be' of the score tokens is 2 tokens for this tokenizer"),
        ({"score_tokens": "", "last_tokens": 2}, "last_tokens is 2, and there is nothing to choose one by"),
        ({"last_tokens": 0}, "last_tokens is 0; give 1 or more"),
        ({"validation": 0.0}, "a share of 0 of 7 pairs leaves none"),
        ({"validation": 0.99}, "a share of 0.99 of 7 pairs leaves none"),
        ({"validation": float("nan")}, "a share of nan of 7 pairs leaves none"),
    ],
)
def test_what_does_not_pass_or_suit_is_said(params: dict[str, object], said: str):
    with pytest.raises(InvalidInputError, match=said):
        compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=LAYERS, method="ablation", params=TOKENS | params)


def test_the_last_layers_are_not_chosen():
    with pytest.raises(InvalidInputError, match="no direction is chosen from the last fifth of 3 layers"):
        compute(tiny_model(), tiny_tokenizer(), PAIRS, layer=2, method="ablation", params=TOKENS)


@pytest.mark.weights
def test_without_the_direction_nothing_tells_good_from_bad(demo: tuple[PreTrainedModel, PreTrainedTokenizerBase]):
    model, tokenizer = demo
    place = Place("resid_pre", 18)
    vector, _ = compute(model, tokenizer, SENTIMENT, layer=18, method="ablation")
    direction = vector.directions[place]
    texts = tokenizer(
        [text for side in HELD_OUT for text in side], padding=True, padding_side="right", return_tensors="pt"
    )
    ends = texts["attention_mask"].sum(dim=1) - 1
    neutral = tokenizer(neutral_text(), return_tensors="pt")["input_ids"][:, :120]

    def parts_and_loss(plan: Plan) -> tuple[np.ndarray, float]:
        seen = witness(model, place, steer(model, plan), lambda: model(**texts))
        with torch.no_grad(), steer(model, plan):
            loss = cross_entropy(model(neutral).logits[0, :-1], neutral[0, 1:])
        return seen.after[0][range(len(ends)), ends].double().numpy() @ (direction / np.linalg.norm(direction)), loss

    before, loss = parts_and_loss(Plan())
    without, damaged = parts_and_loss(ablated(direction, len(decoder_layers(model))))
    other, _ = parts_and_loss(ablated(np.random.default_rng(0).normal(size=len(direction)), len(decoder_layers(model))))
    assert auroc(before) == 1
    assert auroc(other) == 1, "a random direction takes nothing of it away"
    assert np.abs(without).max() < 1e-4
    assert auroc(without.round(4)) == 0.5
    assert damaged - loss < 0.3


def auroc(parts: np.ndarray) -> float:
    wins = [np.sign(one - other) / 2 + 0.5 for one, other in itertools.product(parts[:6], parts[6:])]
    return float(np.mean(wins))
