"""What training a direction by forward passes costs and gains, against training it by back-propagation.

    python -m benchmarks.bench_mezo [--model REF] [--layer N] [--steps N ...]

Memory is what a process holds at most beyond the loaded model, each arm in a process of its own (Linux counts it).
Time is CPU time, which counts all threads, per step. The gain is that on sentences that were not trained on; both
methods use all sentences and no early stopping, so that equal numbers of passes can be compared.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.extract.wedding_texts import OTHERS, WEDDINGS
from vectorstore.card import MethodUse
from vectorstore.extract import compute
from vectorstore.extract.objective import Objective, objective_of
from vectorstore.extract.protocols import Request
from vectorstore.extract.registry import get_method
from vectorstore.hooks import steer
from vectorstore.models import load_model
from vectorstore.models.layers import d_model
from vectorstore.place import Place
from vectorstore.plan import plan_of
from vectorstore.texts import Target

PER_STEP, REPEATS, LINE = 4, 3, " and then it went on and on, for a while, to the end of the road"
SEEDS = (0, 1)
LEARN = tuple(target.target for target in WEDDINGS[:8])
CHECK = (*OTHERS[:4], *OTHERS[5:7])
Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--layer", type=int, default=15)
    parser.add_argument("--steps", type=int, nargs="*", default=[60], help="of mezo; two passes each")
    options = parser.parse_args()
    place = Place("resid_pre", options.layer)
    print(f"{options.model}, {place}; {PER_STEP} targets a step")
    print(f"{'tokens':>7} {'arm':<22} {'memory, MB':>11} {'CPU ms a step':>14}")
    for lines in (1, 8):
        for arm in ARMS:
            tokens, held, seconds = in_a_process(arm, options.model, place, lines)
            print(f"{tokens:>7} {arm:<22} {held:>11.0f} {1000 * seconds:>14.0f}", flush=True)
    loaded = load_model(options.model)
    print(f"\nheld-out cross-entropy per token; before: {held_out(loaded):.3f}")
    print(f"{'method':<8} {'steps':>6} {'passes':>7} {'CPU s':>7}  {'after, by seed'}")
    for steps in options.steps:
        show(loaded, place, "mezo", {"steps": steps})
    for epochs in (5, 10):
        show(loaded, place, "bitfit", {"epochs": epochs})


def forward(objective: Objective, indices: list[int], shift: torch.Tensor) -> None:
    """Run the model forward, and keep nothing."""
    with torch.no_grad():
        objective.total(indices, [shift])


def two_forwards(objective: Objective, indices: list[int], shift: torch.Tensor) -> None:
    """Do what a step of mezo does: both copies in one batch."""
    objective.means(indices, [torch.stack([shift, -shift])])


def two_forwards_apart(objective: Objective, indices: list[int], shift: torch.Tensor) -> None:
    """Do what a step of mezo does, one copy after the other."""
    for each in (shift, -shift):
        objective.mean(indices, [each])


def backward(objective: Objective, indices: list[int], shift: torch.Tensor) -> None:
    """Do what a step of bitfit does."""
    objective.total(indices, [shift.requires_grad_()]).backward()  # type: ignore[no-untyped-call]


ARMS: dict[str, Callable[[Objective, list[int], torch.Tensor], None]] = {
    "forward": forward,
    "mezo, one batch": two_forwards,
    "mezo, two batches": two_forwards_apart,
    "bitfit": backward,
}


def in_a_process(arm: str, model: str, place: Place, lines: int) -> tuple[int, float, float]:
    """Return what `measure` returns in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        return processes.submit(measure, arm, model, place, lines).result()


def measure(arm: str, reference: str, place: Place, lines: int) -> tuple[int, float, float]:
    """Return the tokens of a target, the memory in MB beyond the loaded model, and the CPU seconds of a step."""
    model, tokenizer = load_model(reference)
    model.requires_grad_(requires_grad=False)
    method = get_method("mezo")
    request = Request((place,), MethodUse("mezo", method.version, {}), batch_size=2 * PER_STEP)
    objective = objective_of(model, tokenizer, [Target("It began" + lines * LINE)] * PER_STEP, request)
    shift = 0.01 * torch.ones(d_model(model))
    short = objective_of(model, tokenizer, [Target("It")], request)
    forward(short, [0], shift)  # weights are read from the file when they are first used
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        ARMS[arm](objective, list(range(PER_STEP)), shift)
        seconds.append(time.process_time() - start)
    return objective.tokens([0]), memory("VmHWM") - before, median(seconds)


def memory(name: str) -> float:
    """Return a line of the kernel's account of this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def show(loaded: Loaded, place: Place, method: str, params: dict[str, object]) -> None:
    """Print a line: what training gains, with each of the seeds."""
    start, gains = time.process_time(), []
    for seed in SEEDS:
        vector, card = compute(
            *loaded,
            [*map(Target, LEARN)],
            layer=place.layer,
            site=place.site,
            method=method,
            params=params | {"held_out": 0.0, "per_step": PER_STEP},
            seed=seed,
        )
        with steer(loaded[0], plan_of(vector, card)):
            gains.append(held_out(loaded))
    seconds = (time.process_time() - start) / len(SEEDS)
    steps = round(card.figures[place]["steps"])
    passes = steps * (2 if method == "mezo" else 1)
    after = " ".join(f"{gain:.3f}" for gain in gains)
    print(f"{method:<8} {steps:>6} {passes:>7} {seconds:>7.1f}  {after}", flush=True)


def held_out(loaded: Loaded) -> float:
    """Return the cross-entropy per token of the sentences that were not trained on."""
    request = Request((), MethodUse("mezo", "1", {}))
    return objective_of(*loaded, [*map(Target, CHECK)], request).mean(range(len(CHECK)), [])


if __name__ == "__main__":
    main()
