"""On real weights: which of the directions found from pairs steer, and that pca_diff's is not one of them."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.evaluate.control import random_like
from vectorstore.evaluate.propensity import next_token_mass
from vectorstore.extract import compute, compute_many
from vectorstore.extract.axis import APART, COSINE_TO_MEAN
from vectorstore.formats import KnownModel, import_feature
from vectorstore.hooks import steer
from vectorstore.pairs import ContrastPair, read_pairs
from vectorstore.place import Place
from vectorstore.plan import Plan, plan_of
from vectorstore.texts import Labelled

DATA = Path(__file__).parent.parent.parent / "cli" / "data"
TEXTS = json.loads((DATA / "demo.json").read_text())
PLACE = Place("resid_pre", 18)
STEERING = ("mean_difference", "lat", "pca_center", "logistic")
Demo = tuple[PreTrainedModel, PreTrainedTokenizerBase]


def log_odds(demo: Demo, plan: Plan | None) -> np.ndarray:
    """Return by prompt how much likelier a good word is next than a bad one."""
    with nullcontext() if plan is None else steer(demo[0], plan):
        good, bad = next_token_mass(*demo, TEXTS["sentiment_prompts"], TEXTS["positive_words"], TEXTS["negative_words"])
    return np.log(good) - np.log(bad)


@pytest.mark.weights
def test_all_but_pca_diff_move_the_sentiment_and_random_directions_do_not(demo: Demo):
    found = compute_many(
        *demo,
        read_pairs(DATA / "sentiment.jsonl"),
        layer=PLACE.layer,
        methods=[(name, {"read": "mean_content"}) for name in (*STEERING, "pca_diff")],
    )
    computed = dict(zip((*STEERING, "pca_diff"), found, strict=True))
    unsteered = log_odds(demo, None)

    def shift(name: str, strength: str) -> float:
        return float((log_odds(demo, plan_of(*computed[name], strength)) - unsteered).mean())

    likely = plan_of(*computed["mean_difference"], "0.15r")
    random = [float((log_odds(demo, random_like(likely, seed)) - unsteered).mean()) for seed in range(5)]
    for name in STEERING:
        assert shift(name, "0.15r") > max(2, *random), name
        assert shift(name, "-0.15r") < min(-2, *random), name
    assert abs(shift("pca_diff", "0.15r")) < shift("mean_difference", "0.15r") / 3

    cosines = {name: card.figures[PLACE][COSINE_TO_MEAN] for name, (_, card) in computed.items() if card.figures}
    assert abs(cosines["pca_diff"]) < APART
    assert cosines["lat"] > 0.9
    assert cosines["pca_center"] > 0.95
    assert cosines["logistic"] > 0.9


@pytest.mark.weights
def test_means_of_labels_and_of_answers_move_the_sentiment_and_random_directions_do_not(demo: Demo):
    pairs = read_pairs(DATA / "sentiment.jsonl")
    labelled = [
        Labelled(text, label) for pair in pairs for text, label in ((pair.positive, "true"), (pair.negative, "no"))
    ]
    subjects = ("The soup", "Our room", "The concert", "Her talk", "The film", "This book", "Their advice", "My trip")
    answers = [
        ContrastPair(f"{subject} was ({good})", f"{subject} was ({bad})")  # the answer is the token before the last
        for subject in subjects
        for good, bad in (("good", "bad"), ("great", "terrible"))
    ]
    computed = [
        compute(*demo, labelled, layer=18, method="cluster_mean", params={"read": "mean_content"}),
        compute(*demo, answers, layer=18, method="caa"),
    ]
    unsteered = log_odds(demo, None)
    for vector, card in computed:
        up, down = (plan_of(vector, card, strength, tokens="all") for strength in ("0.15r", "-0.15r"))
        random = [float((log_odds(demo, random_like(up, seed)) - unsteered).mean()) for seed in range(5)]
        assert float((log_odds(demo, up) - unsteered).mean()) > max(2, *random), card.method.name
        assert float((log_odds(demo, down) - unsteered).mean()) < min(-2, *random), card.method.name


@pytest.mark.weights
def test_the_row_of_a_decoder_that_holds_the_sentiment_moves_it_and_its_other_rows_do_not(demo: Demo, tmp_path: Path):
    pairs = read_pairs(DATA / "sentiment.jsonl")
    found, card = compute(*demo, pairs, layer=18, method="mean_difference")
    rows = np.random.default_rng(0).standard_normal((6, 576)).astype(np.float32)
    rows[3] = 7 * found.directions[PLACE]
    save_file({"W_dec": rows, "W_enc": rows.T.copy()}, tmp_path / "sae.safetensors")
    unsteered = log_odds(demo, None)

    def shift(feature: int) -> float:
        known = KnownModel.of_card(card)
        row = import_feature(tmp_path / "sae.safetensors", known, feature=feature, layer=18, site="resid_pre")
        return float((log_odds(demo, plan_of(*row, "0.15r")) - unsteered).mean())

    assert shift(3) > max(2, *(shift(feature) for feature in (0, 1, 2, 4, 5)))
