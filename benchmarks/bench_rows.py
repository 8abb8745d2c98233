"""Sixteen prompts with a recipe each: one batch against one at a time.

    python -m benchmarks.bench_rows [--model REF] [--rounds N] [--tokens N] [--threads N] [--profile]

Each recipe has another operator, direction and layer than the next; prompts have different lengths and are padded on
the left. Every text has the same number of new tokens. Each round measures all arms by wall clock; the table has
medians and quartiles over rounds of the ratios within a round. What the machine gives to a batch at all is what the
unsteered arms show.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.rounds import interleaved, print_table, ratios, spread, timed
from benchmarks.steered import OPERATORS, directions_of, generate, plan_of
from vectorstore.hooks import steer
from vectorstore.models import load_model
from vectorstore.models.layers import decoder_layers, site_widths
from vectorstore.plan import Plan

ROWS = 16
PROMPTS = (
    "I went up to my friend and said",
    "The weather today is",
    "My favourite book tells of",
    "She opened the door",
)
Texts = list[list[int]]


class Batch:
    """The prompts, together and alone, and their plans."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: int) -> None:
        """Tokenize, and make a plan for each row."""
        self.model, self.tokens = model, tokens
        self.plans = [plan_of_row(model, row) for row in range(ROWS)]
        prompts = [PROMPTS[row % len(PROMPTS)] for row in range(ROWS)]
        padded = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
        self.ids, self.mask = padded["input_ids"], padded["attention_mask"]
        self.singles = [tokenizer(prompt, return_tensors="pt")["input_ids"] for prompt in prompts]

    def together(self, *, steered: bool) -> Texts:
        """Return the new tokens of all rows, written in one batch."""
        with steer(self.model, self.plans) if steered else nullcontext():
            written = generate(self.model, self.ids, self.tokens, self.mask)
        return written[:, self.ids.shape[1] :].tolist()

    def one_by_one(self, *, steered: bool) -> Texts:
        """Return the same, one prompt after another."""
        return [self._alone(ids, each if steered else None) for ids, each in zip(self.singles, self.plans, strict=True)]

    def _alone(self, ids: Tensor, plan: Plan | None) -> list[int]:
        steering: AbstractContextManager[None] = steer(self.model, plan) if plan else nullcontext()
        with steering:
            return generate(self.model, ids, self.tokens)[0, ids.shape[1] :].tolist()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--profile", action="store_true", help="print where a steered batch spends its time")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batch = Batch(*load_model(options.model), options.tokens)
    same = sum(a == b for a, b in zip(batch.together(steered=True), batch.one_by_one(steered=True), strict=True))
    if options.profile:
        profile(partial(batch.together, steered=True))
        return
    arms = {
        "batch": partial(batch.together, steered=True),
        "one at a time": partial(batch.one_by_one, steered=True),
        "unsteered batch": partial(batch.together, steered=False),
        "unsteered, one at a time": partial(batch.one_by_one, steered=False),
    }
    timers = {name: partial(timed, work, time.perf_counter) for name, work in arms.items()}
    measured = interleaved(timers, options.rounds)
    print(f"{ROWS} recipes, {options.tokens} tokens each, {options.rounds} rounds, {options.threads} threads")
    print(f"{same} of {ROWS} texts are the same in the batch as alone")
    pairs = [
        ("one at a time, to one batch", "one at a time", "batch"),
        ("the same, unsteered", "unsteered, one at a time", "unsteered batch"),
        ("steered batch, to the unsteered one", "batch", "unsteered batch"),
    ]
    rows = [(name, *spread(ratios(measured, arm, base), 3)) for name, arm, base in pairs]
    print_table(("time of", "ratio", "quartiles"), rows)


def plan_of_row(model: PreTrainedModel, row: int) -> Plan:
    """Return a plan of one step, at a layer in the middle."""
    layer, width = len(decoder_layers(model)) // 2 + row % 3, site_widths(model)["resid_pre"]
    return plan_of(directions_of([layer], width, seed=row), OPERATORS[row % len(OPERATORS)], site="resid_pre")


def profile(work: Callable[[], object]) -> None:
    """Print the functions and the tensor operations that take longest."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as events:
        work()
    print(events.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))


if __name__ == "__main__":
    main()
