"""At equal settings, repeng and steering-vectors find the same directions; skipped where they are not installed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from vectorstore.card import MethodUse
from vectorstore.extract.methods.logistic import LOGISTIC
from vectorstore.extract.methods.pca_center import PCA_CENTER
from vectorstore.extract.methods.pca_diff import PCA_DIFF

PAIRS = 13  # odd: where as many pairs point either way, repeng leaves the sign to its solver
ROWS = np.random.default_rng(4).standard_normal((2, PAIRS, 40)).astype(np.float32)
ROWS[0] += np.linspace(0, 1, 40, dtype=np.float32)
POSITIVE, NEGATIVE = ROWS
USE = MethodUse("peer", "1", {"penalty": 1.0})


@pytest.mark.parametrize("method", [PCA_DIFF, PCA_CENTER], ids=lambda method: method.name)
def test_repeng_finds_the_same(method, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(np, "float_", np.float64, raising=False)  # repeng 0.4 names it, and numpy 2 does not have it
    extract = pytest.importorskip("repeng.extract")
    monkeypatch.setattr(extract, "model_layer_list", lambda _model: [None] * 3)
    hidden = np.stack([POSITIVE, NEGATIVE], axis=1).reshape(2 * PAIRS, 40)  # the sides by turns
    monkeypatch.setattr(extract, "batched_get_hiddens", lambda *_args: {1: hidden.copy()})
    entries = [extract.DatasetEntry("", "")] * PAIRS
    theirs = extract.read_representations(None, None, entries, hidden_layers=[1], method=method.name)[1]
    ours = method.direction(POSITIVE, NEGATIVE, USE).direction
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_steering_vectors_probe_finds_the_same():
    aggregators = pytest.importorskip("steering_vectors.aggregators")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch is slow to take a list of arrays, and says so
        aggregate = aggregators.logistic_aggregator({"C": 1.0, "tol": 1e-10, "max_iter": 10_000})
        theirs = aggregate(torch.from_numpy(POSITIVE), torch.from_numpy(NEGATIVE))
    ours = LOGISTIC.direction(POSITIVE, NEGATIVE, USE).direction
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-4)


def test_steering_vectors_pca_finds_the_same_as_pca_center():
    aggregators = pytest.importorskip("steering_vectors.aggregators")
    theirs = aggregators.pca_aggregator()(torch.from_numpy(POSITIVE), torch.from_numpy(NEGATIVE))
    ours = PCA_CENTER.direction(POSITIVE, NEGATIVE, USE).direction
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-4)
