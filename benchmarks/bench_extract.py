"""What a steering vector costs, next to repeng and steering-vectors, for the same pairs, layers and batches.

    pip install --no-deps repeng==0.4.0 steering-vectors==0.12.2 && pip install scikit-learn
    python -m benchmarks.bench_extract [--model REF] [--pairs N] [--rounds N]

Every arm reads the last token of each text at the outputs of the layers named, in batches of eight. Each round measures
all arms one after another; the table has the median CPU time for a pair, which counts all threads, and the medians of
the ratios within a round. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.bench_compute import BATCH, make_pairs, timed
from vectorstore.extract import compute, compute_many
from vectorstore.models import load_model
from vectorstore.models.layers import decoder_layers
from vectorstore.pairs import ContrastPair

METHODS = ("mean_difference", "pca_center", "logistic")
Arms = dict[str, Callable[[], object]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    model, tokenizer = load_model(options.model)
    tokenizer.padding_side = "left"  # steering-vectors reads the last column
    pairs = make_pairs(options.pairs)
    count = len(decoder_layers(model))
    print(f"{options.model}: {count} layers; {len(pairs)} pairs in batches of {BATCH}; {options.rounds} rounds")
    print(f"{'layers':<10}{'':<34}{'ms of CPU a pair':>18}{'to the first':>14}")
    for name, layers in chosen(count).items():
        measured = arms(model, tokenizer, pairs, layers)
        rounds = [{arm: timed(work)[0] for arm, work in measured.items()} for _ in range(options.rounds + 1)][1:]
        first = next(iter(measured))
        for arm in measured:
            cost = 1e3 * median(each[arm] for each in rounds) / len(pairs)
            ratio = median(each[arm] / each[first] for each in rounds)
            print(f"{name:<10}{arm:<34}{cost:>18.2f}{ratio:>13.2f}x", flush=True)


def chosen(count: int) -> dict[str, list[int]]:
    """Return which layers are asked for: one, at three depths, and a range."""
    single = {str(layer): [layer] for layer in (round(part * count) for part in (0.2, 0.5, 0.8))}
    first, last = round(0.15 * count), round(0.65 * count)
    return single | {f"{first}..{last}": list(range(first, last + 1))}


def arms(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: list[ContrastPair], layers: list[int]
) -> Arms:
    """Return what is measured, by name."""
    settings: dict[str, Any] = {"layer": layers, "site": "resid_post", "batch_size": BATCH}
    one = partial(compute, model, tokenizer, pairs, **settings, params={"read": "last_content"})
    all_methods = [(name, {"read": "last_content"}) for name in METHODS]
    made: Arms = {
        "mean_difference": lambda: one(method="mean_difference"),
        "pca_center": lambda: one(method="pca_center"),
        f"{len(METHODS)} methods at once": lambda: compute_many(
            model, tokenizer, pairs, methods=all_methods, **settings
        ),
    }
    if find_spec("steering_vectors"):
        made["steering-vectors, mean"] = steering_vectors(model, tokenizer, pairs, layers)
    if find_spec("repeng"):
        made["repeng, pca_center"] = repeng(model, tokenizer, pairs, layers)
    return made


def steering_vectors(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: list[ContrastPair], layers: list[int]
) -> Callable[[], object]:
    """Return the work of steering-vectors."""
    from steering_vectors import train_steering_vector  # noqa: PLC0415 - where it is installed

    texts = [(pair.positive, pair.negative) for pair in pairs]
    return lambda: train_steering_vector(model, tokenizer, texts, layers=layers, batch_size=BATCH)


def repeng(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: list[ContrastPair], layers: list[int]
) -> Callable[[], object]:
    """Return the work of repeng, without its progress bar."""
    np.float_ = np.float64  # type: ignore[attr-defined]  # noqa: NPY201 - repeng 0.4 names it, and numpy 2 does not have it
    from repeng import ControlVector, DatasetEntry  # noqa: PLC0415 - where it is installed

    entries = [DatasetEntry(pair.positive, pair.negative) for pair in pairs]

    def work() -> object:
        with contextlib.redirect_stderr(io.StringIO()):
            return ControlVector.train(
                model, tokenizer, entries, hidden_layers=layers, batch_size=BATCH, method="pca_center"
            )

    return work


if __name__ == "__main__":
    main()
