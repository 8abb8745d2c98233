"""From the name of a saved recipe to the first steered token, with the model loaded.

    python -m benchmarks.bench_first_token [--model REF] [--rounds N] [--profile]

An SQLite library of its own gets, for each round, recipes that pin sums of ten vectors each, which were computed on the
model, so that no round finds what another has read; `again` does the same recipes once more. The parts are: the version
that the name means, its recipe, the plan (which reads the vectors), and hooks with their directions up to where the
first forward pass could start, the check of the model's weights included. `first token` is what a text of one token
takes more than an unsteered one when all this comes before it, the name given to `compose` as it is. The model's
identity is taken once, when the model is loaded. Milliseconds, medians over rounds.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.rounds import print_table
from benchmarks.steered import generate
from tests.builders import make_card, make_vector
from vectorstore.compose import compose, pin
from vectorstore.hooks import steer
from vectorstore.identity import ModelIdentity
from vectorstore.models import load_model
from vectorstore.models.identity import identify
from vectorstore.models.layers import decoder_layers
from vectorstore.store import Store

TERMS = 10
PARTS = ("resolve", "read the recipe", "compose", "place", "all of these", "first token", "identity, once")
COLUMNS = ("first", "again")
Times = tuple[float, float]
"""Seconds by wall clock, and of CPU."""
Demo = tuple[PreTrainedModel, PreTrainedTokenizerBase]


class Watch:
    """Gives the time since it was last asked."""

    def __init__(self) -> None:
        """Start."""
        self._last = self._now()

    def lap(self) -> Times:
        """Return the seconds since the last lap."""
        before, self._last = self._last, self._now()
        return self._last[0] - before[0], self._last[1] - before[1]

    @staticmethod
    def _now() -> Times:
        return time.perf_counter(), time.process_time()


def main() -> None:
    """Print a table for vectors of one layer, and of all layers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="print where a round spends its time")
    options = parser.parse_args()
    demo = load_model(options.model)
    count = len(decoder_layers(demo[0]))
    for layers in ([count // 2], list(range(count))):
        with library(demo, layers, 2 * options.rounds + 3) as store:
            rounds = [[whole(store, demo, number) for _ in COLUMNS] for number in range(options.rounds + 1)][1:]
            print(f"\n{TERMS} vectors at {len(layers)} layers, {options.rounds} rounds")
            print_table(
                ("ms", *(f"{column}: {clock}" for column in COLUMNS for clock in ("wall", "CPU"))),
                [
                    (part, *(cell([each[n] for each in rounds], part, k) for n in (0, 1) for k in (0, 1)))
                    for part in PARTS
                ],
            )
            if options.profile:
                profile(store, demo, f"mood{2 * options.rounds + 2}")


def cell(laps: list[dict[str, Times]], part: str, clock: int) -> str:
    """Return the median of one part."""
    return f"{1e3 * median(each[part][clock] for each in laps):.2f}"


@contextmanager
def library(demo: Demo, layers: list[int], recipes: int) -> Iterator[Store]:
    """Give a library of recipes, each of vectors of its own."""
    identity = identify(*demo)
    with tempfile.TemporaryDirectory() as folder:
        url, blobs = f"sqlite:///{folder}/library.sqlite", str(Path(folder) / "blobs")
        with Store.open(url, blobs=blobs) as store:
            for number in range(recipes):
                names = [f"v{number}x{term}" for term in range(TERMS)]
                for term, name in enumerate(names):
                    save(store, name, identity, layers, number * TERMS + term)
                store.save_recipe(f"mood{number}", pin(store, " + ".join(f"0.1*{name}" for name in names)))
        with Store.open(url, blobs=blobs) as store:  # it remembers nothing of what was saved
            yield store


def save(store: Store, name: str, identity: ModelIdentity, layers: list[int], seed: int) -> None:
    """Save a random vector as one that was computed on the model."""
    vector = make_vector(layers, width=identity.widths["resid_pre"], seed=seed)
    store.save(name, vector, make_card(vector, model=identity))


def whole(store: Store, demo: Demo, number: int) -> dict[str, Times]:
    """Return the times of the parts with one recipe, and of a first token with another."""
    model, tokenizer = demo
    ids = tokenizer("The weather today is", return_tensors="pt")["input_ids"]
    watch = Watch()
    identity = identify(model, tokenizer)
    laps = {"identity, once": watch.lap()} | parts(store, model, identity, f"mood{2 * number}")
    alone = min(_token(model, ids) for _ in range(3))
    watch = Watch()
    with steer(model, compose(store, f"mood{2 * number + 1}", model=identity)):
        generate(model, ids, 1)
    wall, cpu = watch.lap()
    return laps | {"first token": (wall - alone[0], cpu - alone[1])}


def parts(store: Store, model: PreTrainedModel, identity: ModelIdentity, name: str) -> dict[str, Times]:
    """Return the times of the parts up to the first forward pass."""
    laps = {}
    watch = Watch()
    version = store.resolve(name, model=identity)
    laps["resolve"] = watch.lap()
    recipe = store.read_recipe(version)
    laps["read the recipe"] = watch.lap()
    plan = compose(store, recipe, model=identity)
    laps["compose"] = watch.lap()
    with steer(model, plan):
        laps["place"] = watch.lap()
    wall, cpu = (sum(each[clock] for each in laps.values()) for clock in (0, 1))
    return laps | {"all of these": (wall, cpu)}


def _token(model: PreTrainedModel, ids: torch.Tensor) -> Times:
    watch = Watch()
    generate(model, ids, 1)
    return watch.lap()


def profile(store: Store, demo: Demo, name: str) -> None:
    """Print the functions that take longest, by themselves and with all that they call."""
    profiler = cProfile.Profile()
    profiler.runcall(parts, store, demo[0], identify(*demo), name)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
    pstats.Stats(profiler).sort_stats("cumtime").print_stats("vectorstore", 45)


if __name__ == "__main__":
    main()
