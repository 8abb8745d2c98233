"""Scores: projections of activations, against plain torch on tiny models; what they say on real weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.evaluate.test_separation import counted_auroc
from tests.extract.test_weights import HELD_OUT, SENTIMENT
from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.card import ReadPositions
from vectorstore.errors import ConflictError, InvalidInputError, MisfitError
from vectorstore.evaluate.cross_fit import cross_fit, deal
from vectorstore.evaluate.projection import Reader, check_reader, rule_of
from vectorstore.evaluate.score import Scale, among, measure, own_items, scales_of, score_texts
from vectorstore.extract import compute
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.texts import Demonstration, Labelled, Target, Text
from vectorstore.vector import SteeringVector

PAIRS = [
    ContrastPair("so good", "so bad"),
    ContrastPair("a fine day", "a sad day"),
    ContrastPair("warm", "cold, cold"),
    ContrastPair("kind words", "rude words"),
]
PLACE = Place("resid_pre", 2)
TEXTS = ["a kind day", "a bad, bad day", "x"]


def hidden(text: str, layer: int = 2) -> np.ndarray:
    """Return the input of a layer `[tokens, width]`, BOS first, by transformers alone."""
    with torch.no_grad():
        states = tiny_model()(torch.tensor([ids_of(text)]), output_hidden_states=True).hidden_states
    return states[layer][0].double().numpy()


def unit(vector: SteeringVector, place: Place = PLACE) -> np.ndarray:
    direction = vector.directions[place].astype(np.float64)
    return direction / np.linalg.norm(direction)


def computed(data=PAIRS, **settings):
    settings = {"layer": 2, "method": "mean_difference"} | settings
    return compute(tiny_model(), tiny_tokenizer(), data, **settings)


def reader_of(vector, card, **settings) -> Reader:
    return Reader(tiny_model(), tiny_tokenizer(), vector, rule_of(card), **settings)


@pytest.mark.parametrize(("read", "rows"), [("mean_content", slice(1, None)), ("last_content", slice(-1, None))])
def test_a_score_is_the_projection_from_halfway_between_the_means(read: str, rows: slice):
    vector, card = computed(params={"read": read})
    values = {text: hidden(text)[rows].mean(axis=0) @ unit(vector) for text in TEXTS}
    sides = [[hidden(getattr(pair, side))[rows].mean(axis=0) for pair in PAIRS] for side in ("positive", "negative")]
    middle = np.mean([np.mean(side, axis=0) for side in sides], axis=0) @ unit(vector)
    scores = score_texts(tiny_model(), tiny_tokenizer(), vector, card, TEXTS)
    np.testing.assert_allclose(scores[PLACE], [values[text] - middle for text in TEXTS], atol=1e-6)


def test_the_batch_size_does_not_matter_and_order_is_kept():
    vector, card = computed(layer=[1, 2])
    alone = score_texts(tiny_model(), tiny_tokenizer(), vector, card, TEXTS, batch_size=1)
    together = score_texts(tiny_model(), tiny_tokenizer(), vector, card, TEXTS, batch_size=8)
    assert list(alone) == [Place("resid_pre", 1), PLACE]
    for place, scores in alone.items():
        np.testing.assert_allclose(scores, together[place], atol=1e-6)


def test_the_scale_says_how_far_its_own_data_are_apart():
    vector, card = computed()
    scale = scales_of(reader_of(vector, card), card)[PLACE]
    scores = score_texts(
        tiny_model(), tiny_tokenizer(), vector, card, [p.positive for p in PAIRS] + [p.negative for p in PAIRS]
    )[PLACE]
    found = scale.separation
    assert found.auroc == pytest.approx(counted_auroc(scores[:4], scores[4:]))
    assert found.middle == pytest.approx(0, abs=1e-6)
    assert found.positive_mean - found.negative_mean == pytest.approx(vector.norms[PLACE], rel=1e-5)
    assert found.pairs_right == np.mean(scores[:4] > scores[4:])
    assert scale.threshold == found.threshold
    assert scale.zero_is == "middle"


def test_other_data_are_judged_by_the_threshold_chosen_before():
    vector, card = computed(PAIRS[:2])
    reader = reader_of(vector, card)
    scales = scales_of(reader, card)
    found = measure(reader, PAIRS[2:], scales)[PLACE]
    assert found.threshold == scales[PLACE].threshold
    texts = [text for pair in PAIRS[2:] for text in (pair.positive, pair.negative)]
    scores = score_texts(tiny_model(), tiny_tokenizer(), vector, card, texts, scales=scales)[PLACE]
    assert found.accuracy == np.mean((scores > found.threshold) == [True, False, True, False])


@pytest.mark.parametrize(
    ("data", "label"),
    [
        ([Labelled("so good", "yes"), Labelled("so bad", "no"), Labelled("a fine day", "yes")], "yes"),
        ([Text("so good"), Text("so bad", "negative"), Text("a fine day")], "true"),
        ([Demonstration("so bad", "so good"), Demonstration("so bad", "a fine day")], "true"),
    ],
)
def test_data_of_every_kind_with_sides_are_told_apart(data, label):
    vector, card = computed()
    reader = reader_of(vector, card)
    found = measure(reader, data, scales_of(reader, card), label)[PLACE]
    expected = score_texts(tiny_model(), tiny_tokenizer(), vector, card, ["so good", "a fine day", "so bad"])[PLACE]
    assert found.positive_mean == pytest.approx(expected[:2].mean(), abs=1e-6)
    assert found.negative_mean == pytest.approx(expected[2], abs=1e-6)
    assert (found.pairs_right is None) == (data[0].kind != "demonstrations")


def test_tokens_are_projected_one_by_one_without_bos():
    vector, card = computed()
    (read,) = reader_of(vector, card).project_tokens([Text("a kind day")])
    assert "".join(read.tokens) == "a kind day"
    np.testing.assert_allclose(read.values[PLACE], hidden("a kind day")[1:] @ unit(vector), atol=1e-6)


def test_a_vector_without_data_is_read_from_its_reference_or_the_origin():
    vector, card = computed()
    card = replace(card, data=replace(card.data, items=None))
    base = np.arange(32, dtype=np.float32)
    for references, zero in (({}, 0), ({PLACE: base}, base @ unit(vector))):
        based = SteeringVector(vector.directions, references)
        scale = scales_of(reader_of(based, card), card)[PLACE]
        assert scale == Scale(pytest.approx(zero), "reference" if references else "origin")
        assert scale.threshold is None
        scores = score_texts(tiny_model(), tiny_tokenizer(), based, card, ["x"])[PLACE]
        np.testing.assert_allclose(scores, hidden("x")[1:].mean(axis=0) @ unit(vector) - zero, atol=1e-5)


def test_targets_have_no_sides():
    _, card = computed()
    target = Target("so good").to_json()
    assert own_items(replace(card, data=replace(card.data, kind="targets", items=(target,)))) == ()


def test_a_card_that_does_not_say_where_to_read_gets_the_mean_of_all_tokens():
    _, card = computed(params={"read": "last_content"})
    assert (rule_of(card).position.name, rule_of(card).told) == ("last_content", True)
    silent = rule_of(replace(card, read=ReadPositions("none")))
    assert (silent.position.name, silent.told) == ("mean_content", False)
    assert rule_of(card, "mean_nonsink").position.name == "mean_nonsink"
    with pytest.raises(InvalidInputError, match=r"cannot be read at 'all'; choose mean_content, .* with --read"):
        rule_of(card, "all")


def test_a_chat_vector_reads_texts_as_a_users_turn():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}U {{ m['content'] }}{% endfor %} A"
    vector, card = compute(
        tiny_model(),
        tokenizer,
        PAIRS,
        layer=2,
        method="mean_difference",
        params={"chat": True, "read": "last_content"},
    )
    plain = Scale(0.0, "origin")
    scores = score_texts(tiny_model(), tokenizer, vector, card, ["so good"], scales={PLACE: plain})
    np.testing.assert_allclose(scores[PLACE], [hidden("U so good A")[-1] @ unit(vector)], atol=1e-6)


def test_directions_by_token_are_refused_with_what_to_do():
    vector, card = compute(tiny_model(), tiny_tokenizer(), [PAIRS[0]], layer=2)
    with pytest.raises(InvalidInputError, match=r"a direction for each of 8 tokens at resid_pre\.2.*mean_difference"):
        score_texts(tiny_model(), tiny_tokenizer(), vector, card, ["x"])


def test_a_model_that_does_not_fit_is_refused():
    vector, card = computed()
    with pytest.raises(MisfitError, match="was computed on"):
        score_texts(tiny_model(hidden_size=64), tiny_tokenizer(), vector, card, ["x"])
    with pytest.raises(MisfitError, match="read with token 1 first, and this tokenizer puts none"):
        check_reader(tiny_model(), tiny_tokenizer(bos=False), card, "it")
    assert check_reader(tiny_model(seed=1), tiny_tokenizer(), card, "it") == "compatible"


def test_no_texts_are_refused():
    with pytest.raises(InvalidInputError, match="there are no texts"):
        score_texts(tiny_model(), tiny_tokenizer(), *computed(), [])


def test_texts_that_were_used_are_counted():
    _, card = computed()
    assert among([PAIRS[0], ContrastPair("so good", "new")], card) == 3


def test_cross_fitting_scores_every_text_by_the_direction_of_the_others():
    _, card = computed()
    found = cross_fit(tiny_model(), tiny_tokenizer(), card, folds=4)[PLACE]
    scores = []
    for left_out in range(4):
        rest = [pair for index, pair in enumerate(PAIRS) if index != left_out]
        vector, told = computed(rest)
        both = [PAIRS[left_out].positive, PAIRS[left_out].negative]
        scores.append(score_texts(tiny_model(), tiny_tokenizer(), vector, told, both)[PLACE])
    positive, negative = np.array(scores).T
    assert found.auroc == pytest.approx(counted_auroc(positive, negative))
    assert found.positive_mean == pytest.approx(positive.mean(), abs=1e-6)
    assert found.accuracy == np.mean([*(positive > 0), *(negative <= 0)])
    assert found.pairs_right == np.mean(positive > negative)


def test_parts_have_both_sides_and_keep_a_prompts_items_together():
    items = [Labelled(f"t{n}", "true" if n % 3 else "false", f"q{n // 2}") for n in range(12)]
    parts = deal(items, 3, seed=1)
    assert sorted(index for part in parts for index in part) == list(range(12))
    prompts = [{items[index].prompt for index in part} for part in parts]
    assert not any(prompts[a] & prompts[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    sides = [Text("a", "negative" if n < 4 else "positive") for n in range(8)]
    assert all({sides[index].side for index in part} == {"positive", "negative"} for part in deal(sides, 4, seed=0))
    assert deal(items, 3, seed=1) == parts != deal(items, 3, seed=2)


@pytest.mark.parametrize(("folds", "said"), [(1, "1 folds; give 2 or more"), (5, "4 items cannot be dealt into 5")])
def test_folds_that_cannot_be_are_refused(folds: int, said: str):
    _, card = computed()
    with pytest.raises(InvalidInputError, match=said):
        cross_fit(tiny_model(), tiny_tokenizer(), card, folds=folds)


def test_what_was_not_computed_from_data_cannot_be_cross_fitted():
    _, card = computed()
    with pytest.raises(ConflictError, match="was not computed from data"):
        cross_fit(tiny_model(), tiny_tokenizer(), replace(card, data=replace(card.data, kind="file", items=None)))


@pytest.mark.weights
def test_scores_tell_sentences_apart_that_the_direction_has_not_seen_and_random_directions_do_not(demo):
    vector, card = compute(*demo, SENTIMENT, layer=18, method="mean_difference")
    held_out = [ContrastPair(*both) for both in zip(*HELD_OUT, strict=True)]
    reader = Reader(*demo, vector, rule_of(card))
    scales = scales_of(reader, card)
    place = Place("resid_pre", 18)
    found = measure(reader, held_out, scales)[place]
    assert found.auroc >= 0.95
    assert found.accuracy >= 0.9
    assert cross_fit(*demo, card, folds=4)[place].auroc >= 0.95

    rng = np.random.default_rng(0)
    noise = [rng.standard_normal(576) for _ in range(5)]
    areas = [
        measure(Reader(*demo, SteeringVector({place: row.astype(np.float32)}), rule_of(card)), held_out, scales)[place]
        for row in noise
    ]
    assert np.mean([max(each.auroc, 1 - each.auroc) for each in areas]) < found.auroc - 0.15

    (read,) = reader.project_tokens([Text("I loved the food but hated the service.")])
    by_token = dict(zip(read.tokens, read.values[place] - scales[place].zero, strict=True))
    assert by_token[" loved"] > 10
    assert by_token[" hated"] < -10
