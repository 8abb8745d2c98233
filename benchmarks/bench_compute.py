"""What computing a vector at layer l costs, against running just the first l layers over the same batches.

    python benchmarks/bench_compute.py [--model REF] [--pairs N] [--rounds N]

Each round measures all arms one after another, and the table gives medians over rounds of the ratios within a round, so
that a machine that slows down slows all arms down. CPU time counts all threads, and is the quieter of the two.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.extract import compute
from vectorstore.models import load_model
from vectorstore.models.layers import decoder_layers
from vectorstore.pairs import ContrastPair

BATCH = 8
SUBJECTS = ("The soup", "My new bicycle", "The long evening with our old friends", "Her talk about rivers and bridges")
WORDS = (("wonderful", "awful"), ("a delight from start to end", "a bore from start to end"), ("great", "bad"))
Seconds = tuple[float, float]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    model, tokenizer = load_model(options.model)
    pairs = make_pairs(options.pairs)
    batches = make_batches(tokenizer, pairs)
    count = len(decoder_layers(model))
    print(f"{options.model}: {count} layers; {2 * len(pairs)} texts in batches of {BATCH}; {options.rounds} rounds")
    print(f"{'layer':>5}  {'compute / its layers':>27}  {'whole model / compute':>27}")
    print(f"{'':>5}  {'CPU':>13} {'wall clock':>13}  {'CPU':>13} {'wall clock':>13}")
    for layer in sorted({max(1, round(part * count)) for part in (0.1, 0.3, 0.6, 0.9)}):
        rounds = [measure(model, tokenizer, pairs, batches, layer) for _ in range(options.rounds + 1)][1:]
        ratios = [
            median(first[clock] / second[clock] for first, second in chosen)
            for chosen in ([(ours, floor) for ours, floor, _ in rounds], [(whole, ours) for ours, _, whole in rounds])
            for clock in (0, 1)
        ]
        print(f"{layer:>5}  {ratios[0]:>13.3f} {ratios[1]:>13.3f}  {ratios[2]:>13.2f} {ratios[3]:>13.2f}", flush=True)


def make_pairs(count: int) -> list[ContrastPair]:
    """Return pairs of five to fifteen tokens."""
    made = [
        ContrastPair(f"{subject} was {good}.", f"{subject} was {bad}.") for subject in SUBJECTS for good, bad in WORDS
    ]
    return [made[number % len(made)] for number in range(count)]


def make_batches(tokenizer: PreTrainedTokenizerBase, pairs: list[ContrastPair]) -> list[dict[str, Tensor]]:
    """Return the texts as compute batches them: near in length, padded on the right."""
    texts = sorted(
        (text for pair in pairs for text in (pair.positive, pair.negative)),
        key=lambda text: len(tokenizer(text)["input_ids"]),
    )
    return [
        dict(tokenizer(texts[start : start + BATCH], padding=True, padding_side="right", return_tensors="pt"))
        for start in range(0, len(texts), BATCH)
    ]


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: list[ContrastPair],
    batches: list[dict[str, Tensor]],
    layer: int,
) -> tuple[Seconds, Seconds, Seconds]:
    """Return the time of compute, of the first `layer` layers alone, and of the whole model with its head."""
    ours = timed(lambda: compute(model, tokenizer, pairs, layer=layer, method="mean_difference", batch_size=BATCH))
    with only_layers(model, layer) as short:
        floor = timed(lambda: run(short, batches))
    return ours, floor, timed(lambda: run(model, batches))


@contextmanager
def only_layers(model: PreTrainedModel, count: int) -> Iterator[nn.Module]:
    """Give the model without its head and without layers from `count` on; put them back afterwards."""
    body, name = model.base_model, "layers"
    layers = getattr(body, name)
    setattr(body, name, layers[:count])
    try:
        yield body
    finally:
        setattr(body, name, layers)


@torch.no_grad()
def run(model: nn.Module, batches: list[dict[str, Tensor]]) -> None:
    """Run all batches."""
    for batch in batches:
        model(**batch, use_cache=False)


def timed(work: Callable[[], object]) -> Seconds:
    """Return the CPU and wall-clock seconds that `work` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
