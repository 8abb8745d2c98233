"""How many tokens a second a steered model writes, next to the same model without steering.

    python -m benchmarks.bench_tokens [--model REF] [--rounds N] [--tokens N] [--rows N] [--threads N]

Each round measures all arms one after another, which write texts of one length from the same prompt; the table has
medians and quartiles over rounds of the times next to the unsteered arm of the round, by wall clock and by CPU. One
thread by default: with more, what they wait for each other counts as CPU time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from statistics import median

import torch
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.rounds import Measured, interleaved, print_table, ratios, spread, timed
from benchmarks.steered import directions_of, generate, plan_of
from vectorstore.hooks import steer
from vectorstore.hooks.baking import bake
from vectorstore.models import load_model
from vectorstore.models.layers import decoder_layers, site_widths

PROMPT = "I went up to my friend and said"
Steering = Callable[[], AbstractContextManager[object]]
Arms = dict[str, tuple[PreTrainedModel, Steering]]


def main() -> None:
    """Print a table for one row, and one for a batch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, tokenizer = load_model(options.model)
    ids = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    print(f"{options.tokens} tokens a text, {options.threads} threads, {options.rounds} rounds")
    for rows, arms in ((1, single_arms(model)), (options.rows, batch_arms(model, options.rows))):
        print(f"\n{rows} rows:" if rows > 1 else "\n1 row:")
        show(measure(arms, ids.repeat(rows, 1), options.tokens, options.rounds), rows * options.tokens)


def single_arms(model: PreTrainedModel) -> Arms:
    """Return what is measured with one row."""
    directions = small_directions(model)
    middle = len(directions) // 2
    plans = {"1 layer": plan_of({middle: directions[middle]}), "all layers": plan_of(directions)}
    hooked: Arms = {name: (model, partial(steer, model, plan)) for name, plan in plans.items()}
    baked: Arms = {f"{name}, baked": (bake(model, plan).model, nullcontext) for name, plan in plans.items()}
    return unsteered(model) | hooked | baked


def batch_arms(model: PreTrainedModel, rows: int) -> Arms:
    """Return what is measured with several rows."""
    plans = [plan_of(small_directions(model, seed)) for seed in range(rows)]
    return unsteered(model) | {
        "all layers, one plan": (model, partial(steer, model, plans[0])),
        "all layers, a plan per row": (model, partial(steer, model, plans)),
    }


def unsteered(model: PreTrainedModel) -> Arms:
    """Return the arm that the others are compared with."""
    return {"unsteered": (model, nullcontext)}


def small_directions(model: PreTrainedModel, seed: int = 0) -> dict[int, Tensor]:
    """Return a direction for each layer that hardly changes the text."""
    return directions_of(range(len(decoder_layers(model))), site_widths(model)["resid_post"], seed, 1e-3)


def measure(arms: Arms, ids: Tensor, tokens: int, rounds: int) -> tuple[Measured, Measured]:
    """Return the seconds by wall clock, and of CPU."""
    cpu: Measured = {name: [] for name in arms}

    def arm(name: str) -> float:
        model, steering = arms[name]
        with steering():
            generate(model, ids, 2)  # directions are placed
            start = time.process_time()
            wall = timed(lambda: generate(model, ids, tokens), time.perf_counter)
            cpu[name].append(time.process_time() - start)
        return wall

    wall = interleaved({name: partial(arm, name) for name in arms}, rounds)
    return wall, {name: values[1:] for name, values in cpu.items()}


def show(measured: tuple[Measured, Measured], tokens: int) -> None:
    """Print a line for each arm."""
    wall, _ = measured
    rows = []
    for name in wall:
        cells = [cell for each in measured for cell in spread(ratios(each, name, "unsteered"), 3)]
        rows.append((name, f"{tokens / median(wall[name]):.1f}", *cells))
    print_table(("", "tokens a second", "time to unsteered", "quartiles", "CPU to unsteered", "quartiles"), rows)


if __name__ == "__main__":
    main()
