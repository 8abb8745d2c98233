"""ACE keeps the negative mean, and `affine` sets the part along the difference to where the formula says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.extract.last_rows import PAIRS, sides
from tests.extract.test_weights import HELD_OUT, SENTIMENT
from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.hooks.probe import witness
from tests.tiny_models import tiny_model
from vectorstore.card import Apply
from vectorstore.compose import compose
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.models.identity import identify
from vectorstore.place import Place
from vectorstore.plan import Plan, Step
from vectorstore.store import Store

PLACE = Place("resid_pre", 1)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
def test_it_is_the_difference_of_means_and_the_negative_mean(architecture: str):
    model = tiny_model(architecture)
    vector, card = compute(model, tiny_tokenizer(), PAIRS, layer=1, method="ace")
    positive, negative = sides(model, 1)
    difference = positive.mean(axis=0) - negative.mean(axis=0)
    np.testing.assert_allclose(vector.directions[PLACE], difference, rtol=0, atol=1e-5 * np.abs(difference).max())
    np.testing.assert_allclose(vector.references[PLACE], negative.mean(axis=0), rtol=1e-5, atol=1e-5)
    assert card.apply == Apply("all", "affine")


@pytest.mark.parametrize("alpha", [0, 1, -0.5, 2])
def test_affine_does_to_every_activation_what_the_paper_writes(store: Store, alpha: float):
    """`h' = h - proj(h) + proj(mu) + alpha r`, with projections as `r r^T / r^T r`."""
    model, tokenizer = tiny_model(), tiny_tokenizer()
    vector, card = compute(model, tokenizer, PAIRS, layer=1, method="ace")
    store.save("mood", vector, card)
    plan = compose(store, f"affine(mood, {alpha})", model=identify(model, tokenizer))
    ids = torch.tensor([ids_of("A day like any")])
    seen = witness(model, PLACE, steer(model, plan), lambda: model(ids))
    positive, negative = (torch.from_numpy(side).mean(dim=0) for side in sides(model, 1))
    r = positive - negative
    projection = torch.outer(r, r) / (r @ r)
    hidden = seen.before[0][0].double()
    expected = hidden - hidden @ projection + projection @ negative + alpha * r
    torch.testing.assert_close(seen.after[0][0].double(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("alpha", "side"), [(0, 1), (1, 0)])
def test_whatever_came_in_lands_on_the_mean_of_a_side(alpha: float, side: int):
    model = tiny_model()
    vector, _ = compute(model, tiny_tokenizer(), PAIRS, layer=1, method="ace")
    direction, base = vector.directions[PLACE], vector.references[PLACE]
    plan = Plan((Step("affine", PLACE, "all", direction, {"value": alpha}, base),))
    unit = direction.astype(np.float64) / np.linalg.norm(direction)
    mean = sides(model, 1)[side].mean(axis=0) @ unit
    for text in ("Something else", "I loved it.", "nasty"):
        seen = witness(model, PLACE, steer(model, plan), lambda text=text: model(torch.tensor([ids_of(text)])))
        before, after = (each[0][0].double().numpy() @ unit for each in (seen.before, seen.after))
        np.testing.assert_allclose(after, mean, rtol=0, atol=1e-5)
        assert before.std() > 1e-3


@pytest.mark.weights
def test_held_out_sentences_have_one_sentiment_whatever_they_say(demo: tuple[PreTrainedModel, PreTrainedTokenizerBase]):
    model, tokenizer = demo
    place = Place("resid_pre", 15)
    vector, _ = compute(model, tokenizer, SENTIMENT, layer=15, method="ace", params={"read": "mean_content"})
    unit = vector.directions[place].astype(np.float64) / np.linalg.norm(vector.directions[place])
    base = float(vector.references[place] @ unit)
    step = Step("affine", place, "all", vector.directions[place], {"value": 1.0}, vector.references[place])
    texts = tokenizer(
        [text for side in HELD_OUT for text in side], padding=True, padding_side="right", return_tensors="pt"
    )
    with torch.no_grad():
        seen = witness(model, place, steer(model, Plan((step,))), lambda: model(**texts))
    real = texts["attention_mask"].bool().numpy()
    real[:, 0] = False
    before, after = (
        np.array([(row.double().numpy() @ unit)[mask].mean() for row, mask in zip(rows[0], real, strict=True)])
        for rows in (seen.before, seen.after)
    )
    assert before[:6].min() > before[6:].max()
    assert before.var() > 10
    assert after.var() < 1e-6
    assert after.mean() == pytest.approx(base + np.linalg.norm(vector.directions[place]), abs=1e-3)
