"""R is the median norm of the neutral text's non-sink positions: a property of model and tokenizer alone."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from tests.extract import oracle
from tests.extract.counting import counted_layers
from tests.extract.tiny_tokenizer import IDS, ids_of, tiny_tokenizer
from tests.tiny_models import LAYER_COUNT, tiny_model
from vectorstore.extract import compute, residual
from vectorstore.extract.residual import neutral_text, residual_norm, residual_norms
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place

CONTEXT = 128


def test_it_is_the_median_norm_over_the_text_cut_to_the_context_without_bos():
    model = tiny_model()
    places = [Place("resid_pre", layer) for layer in range(LAYER_COUNT)]
    measured = residual_norms(model, tiny_tokenizer(), places)
    ids = [*ids_of(""), *(IDS.get(letter, IDS["<unk>"]) for letter in neutral_text())][:CONTEXT]
    for place in places:
        norms = np.linalg.norm(oracle.states(model, ids, place.layer).numpy()[1:], axis=1)
        assert measured[place] == pytest.approx(float(np.median(norms)), rel=1e-6)


def test_sinks_are_left_out():
    rows = torch.ones(8, 4)  # norm 2 each
    rows[0] *= 1000
    rows[5] *= 10.5
    rows[6] *= 9.5
    rows[7] *= 2
    assert residual_norm(rows) == 2
    assert residual_norm(torch.diag(torch.tensor([100.0, 1, 2, 3, 90]))) == 2  # of 1, 2, 3; 90 is a sink


def test_two_vectors_agree_about_it():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    _, one = compute(model, tokenizer, [ContrastPair("love", "hate")], layer=1)
    pairs = [ContrastPair("a long text about ships", "no"), ContrastPair("x", "y")]
    _, other = compute(model, tokenizer, pairs, layer=[0, 1], method="mean_difference")
    assert one.residual_norms[Place("resid_pre", 1)] == other.residual_norms[Place("resid_pre", 1)]


def test_attention_and_mlp_take_their_layers_resid_pre_and_heads_have_none():
    sites = ("resid_pre", "resid_post", "attn_out", "mlp_out", "head_out")
    places = [Place(site, 1) for site in sites]
    measured = residual_norms(tiny_model(), tiny_tokenizer(), places)
    assert set(measured) == set(places[:4])
    assert measured[places[2]] == measured[places[3]] == measured[places[0]]
    assert (
        measured[places[1]]
        == residual_norms(tiny_model(), tiny_tokenizer(), [Place("resid_pre", 2)])[Place("resid_pre", 2)]
    )


def test_only_the_layers_it_needs_run_and_only_once():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    with counted_layers(model) as ran:
        residual_norms(model, tokenizer, [Place("mlp_out", 2)])
        assert ran == [0, 1]
        residual_norms(model, tokenizer, [Place("attn_out", 2), Place("resid_pre", 2), Place("head_out", 2)])
        assert ran == [0, 1]
        residual_norms(model, tokenizer, [Place("resid_pre", 1)])
        assert ran == [0, 1, 0]


def test_other_weights_in_the_same_model_are_measured_again():
    model, tokenizer, place = tiny_model(), tiny_tokenizer(), Place("resid_pre", 2)
    before = residual_norms(model, tokenizer, [place])[place]
    model.load_state_dict(tiny_model(seed=1).state_dict())
    after = residual_norms(model, tokenizer, [place])[place]
    assert after == residual_norms(tiny_model(seed=1), tokenizer, [place])[place] != before


def test_another_tokenizer_is_measured_again():
    model, place = tiny_model(), Place("resid_pre", 1)
    with_bos = residual_norms(model, tiny_tokenizer(), [place])
    assert residual_norms(model, tiny_tokenizer(bos=False), [place]) != with_bos


def test_a_model_that_is_gone_is_forgotten():
    model = tiny_model()
    residual_norms(model, tiny_tokenizer(), [Place("resid_pre", 1)])
    count = len(residual._known)
    del model
    gc.collect()
    assert len(residual._known) < count


def test_the_neutral_text_is_one_line_of_plain_prose():
    assert "\n" not in neutral_text()
    assert 200 < len(neutral_text().split()) < 350
