"""What steering every layer takes in memory while a long prompt is read, counted in bytes of tensors.

    python -m benchmarks.bench_memory [--model REF] [--columns N]

Two prompts of the same length go through `generate` up to the first new token; counted is the most bytes that are alive
at once, of tensors that operations made, next to the same without steering and to the activations of one layer.
"""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext

import torch
from transformers import PreTrainedModel

from benchmarks.rounds import print_table
from benchmarks.steered import directions_of, generate, plan_of
from tests.hooks.meter import Meter
from vectorstore.hooks import steer
from vectorstore.models import load_model
from vectorstore.models.layers import decoder_layers, site_widths
from vectorstore.plan import Plan

ROWS = 2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--columns", type=int, default=2048)
    options = parser.parse_args()
    model, _ = load_model(options.model)
    width = site_widths(model)["resid_post"]
    one_layer = next(model.parameters()).element_size() * ROWS * options.columns * width
    directions = directions_of(range(len(decoder_layers(model))), width)
    plans = {operator: plan_of(directions, operator) for operator in ("add", "ablate", "keepnorm")}
    arms: dict[str, Plan | list[Plan]] = {
        **plans,
        "add, at the inputs": plan_of(directions, site="resid_pre"),
        "a plan for each row": [plans["add"], plans["keepnorm"]],
    }
    floor = peak(model, nullcontext(), options.columns)
    print(f"{ROWS} prompts of {options.columns} tokens; one layer's activations are {mib(one_layer)} MiB")
    rows = [("unsteered", mib(floor), "", "")]
    for name, plan in arms.items():
        most = peak(model, steer(model, plan), options.columns)
        rows.append((name, mib(most), mib(most - floor), f"{(most - floor) / one_layer:.2f}"))
    print_table(("all layers", "peak, MiB", "more, MiB", "more, in one layer's activations"), rows)


def peak(model: PreTrainedModel, steering: AbstractContextManager[object], columns: int) -> int:
    """Return the most bytes alive at once."""
    ids = torch.ones(ROWS, columns, dtype=torch.long)
    with steering:
        generate(model, ids[:, :4], 1)  # directions are placed
        with Meter() as meter:
            generate(model, ids, 1)
    return meter.peak


def mib(size: int) -> str:
    """Return a size as a table shows it."""
    return f"{size / 2**20:.2f}"


if __name__ == "__main__":
    main()
