"""At equal settings, repeng, steering-vectors and RepE find the same; skipped where they are not installed."""

from __future__ import annotations

import warnings
from types import ModuleType

import numpy as np
import pytest
import torch

from vectorstore.card import MethodUse
from vectorstore.extract.methods.cluster_mean import CLUSTER_MEAN
from vectorstore.extract.methods.lat import LAT
from vectorstore.extract.methods.logistic import LOGISTIC
from vectorstore.extract.methods.pca_center import PCA_CENTER
from vectorstore.extract.methods.pca_diff import PCA_DIFF
from vectorstore.extract.moments import Moments

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


@pytest.fixture
def repe_readers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Give the readers of RepE's authors, who move everything to a GPU."""
    pytest.importorskip("sklearn")
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    with warnings.catch_warnings():  # it switches all warnings off
        return pytest.importorskip("repe.rep_readers")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_repes_reader_finds_the_same_axis_and_sign(repe_readers: ModuleType, seed: int):
    order = np.random.default_rng(seed).choice((-1.0, 1.0), PAIRS)  # which side of each pair comes first
    shuffled = np.stack([np.where(order[:, None] > 0, *sides) for sides in (ROWS, ROWS[::-1])], axis=1)
    reader = repe_readers.PCARepReader()
    reader.directions = reader.get_rep_directions(None, None, {1: shuffled[:, 0] - shuffled[:, 1]}, [1])
    labels = [[1, 0] if first > 0 else [0, 1] for first in order]
    (sign,) = reader.get_signs({1: shuffled.reshape(2 * PAIRS, -1)}, labels, [1])[1]
    ours = LAT.direction(POSITIVE, NEGATIVE, MethodUse("lat", "1", {}, seed)).direction
    np.testing.assert_allclose(ours, sign * reader.directions[1][0], rtol=0, atol=1e-5)


def test_repes_cluster_mean_is_the_same(repe_readers: ModuleType):
    reader = repe_readers.ClusterMeanRepReader()
    labels = [1] * PAIRS + [0] * PAIRS
    theirs = reader.get_rep_directions(None, None, {1: ROWS.reshape(2 * PAIRS, -1)}, [1], train_choices=labels)[1][0]
    ours = CLUSTER_MEAN.direction(*(moments_of(side) for side in ROWS), USE)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def moments_of(rows: np.ndarray) -> Moments:
    moments = Moments()
    moments.add(rows)
    return moments
