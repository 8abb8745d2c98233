"""What steering costs: per hooked layer and pass, and 16 recipes in one batch against one at a time.

    python benchmarks/bench_hooks.py [--model REF] [--rounds N] [--tokens N] [--only layers|rows]

Each round measures all arms one after another, in turn; the tables give medians over rounds, with the quartiles, of
what is within a round: differences to the unsteered arm, or ratios. The first part counts the CPU time of one thread
on a model whose layers but the first do nothing, so that their work does not drown what hooks cost.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import median, quantiles

import numpy as np
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.hooks import steer
from vectorstore.models import load_model
from vectorstore.models.layers import decoder_layers, site_widths
from vectorstore.place import Place
from vectorstore.plan import Plan, Step

LAYERS, WIDTH, ROWS = 101, 576, 16
OPERATORS = ("add", "ablate", "clamp", "affine", "keepnorm", "piecewise")
PROMPTS = (
    "I went up to my friend and said",
    "The weather today is",
    "My favourite book tells of",
    "She opened the door",
)
Steering = Callable[[], AbstractContextManager[None]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--only", choices=("layers", "rows"))
    options = parser.parse_args()
    if options.only != "rows":
        bench_layers(options.rounds, options.tokens)
    if options.only != "layers":
        bench_rows(*load_model(options.model), options.rounds, options.tokens)


def bench_layers(rounds: int, tokens: int) -> None:
    """Print the microseconds that each arm adds per hooked layer and forward pass of a decoding loop."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = small_model()
    arms: dict[str, Steering] = {"unsteered": nullcontext, "raw hook": lambda: raw_hooks(model)}
    for operator in OPERATORS:
        arms[operator] = lambda operator=operator: steer(model, plan(LAYERS, WIDTH, operator))  # type: ignore[misc]
    arms["add, prompt only"] = lambda: steer(model, plan(LAYERS, WIDTH, "add", "prompt"))
    arms["add, a plan per row"] = lambda: steer(model, [plan(LAYERS, WIDTH, "add")])
    ids = torch.ones(1, 4, dtype=torch.long)
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        for name, steering in arms.items():
            with steering():
                generate(model, ids, 2)  # directions are placed
                taken = timed(time.thread_time, lambda: generate(model, ids, tokens))
            if number:
                seconds[name].append(taken)
    torch.set_num_threads(threads)
    print(f"{LAYERS} layers, all steered; {tokens} tokens; {rounds} rounds")
    print(f"{'':<22}{'µs per layer and pass':>22}{'quartiles':>16}")
    for name, values in seconds.items():
        added = [
            1e6 * (value - base) / tokens / LAYERS for value, base in zip(values, seconds["unsteered"], strict=True)
        ]
        low, _, high = quantiles(added)
        print(f"{name:<22}{median(added):>22.2f}{f'{low:.2f}..{high:.2f}':>16}")


def bench_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rounds: int, tokens: int) -> None:
    """Print how many times faster a batch of ROWS recipes is than one at a time, and whether it says the same."""
    count, width = len(decoder_layers(model)), site_widths(model)["resid_pre"]
    plans = [plan(count, width, OPERATORS[row % len(OPERATORS)], layer=count // 2, seed=row) for row in range(ROWS)]
    prompts = [PROMPTS[row % len(PROMPTS)] for row in range(ROWS)]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    singles = [tokenizer(prompt, return_tensors="pt")["input_ids"] for prompt in prompts]

    def together(steering: AbstractContextManager[None]) -> list[list[int]]:
        with steering:
            written = generate(model, batch["input_ids"], tokens, attention_mask=batch["attention_mask"])
        return written[:, batch["input_ids"].shape[1] :].tolist()

    def one_by_one() -> list[list[int]]:
        written = []
        for each, ids in zip(plans, singles, strict=True):
            with steer(model, each):
                written.append(generate(model, ids, tokens)[0, ids.shape[1] :].tolist())
        return written

    same = sum(one == other for one, other in zip(together(steer(model, plans)), one_by_one(), strict=True))
    ratios: dict[str, list[float]] = {"one at a time": [], "unsteered batch": []}
    for _ in range(max(3, rounds // 3)):
        batched = timed(time.perf_counter, lambda: together(steer(model, plans)))
        ratios["one at a time"].append(timed(time.perf_counter, one_by_one) / batched)
        ratios["unsteered batch"].append(timed(time.perf_counter, lambda: together(nullcontext())) / batched)
    print(
        f"\n{ROWS} recipes, {tokens} tokens each: the time of the other over that of one batch; {same} texts the same"
    )
    for name, values in ratios.items():
        low, _, high = quantiles(values)
        print(f"{name:<22}{median(values):>22.2f}{f'{low:.2f}..{high:.2f}':>16}")


def plan(  # noqa: PLR0913 - each has a default
    count: int, width: int, operator: str, tokens: str = "all", *, layer: int | None = None, seed: int = 0
) -> Plan:
    """Return a plan that steers all layers, or one of them."""
    direction = np.random.default_rng(seed).normal(size=width).astype(np.float32)
    layers = range(count) if layer is None else [layer]
    places = [Place("resid_pre", number) for number in layers]
    return Plan(tuple(Step(operator, place, tokens, direction, {"value": 1.0}) for place in places))  # type: ignore[arg-type]


def small_model() -> LlamaForCausalLM:
    """Return a model of many narrow layers, of which only the first does anything: it fills the cache."""
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=WIDTH,
        intermediate_size=64,
        max_position_embeddings=256,
        num_hidden_layers=LAYERS,
        num_attention_heads=9,
    )
    model = LlamaForCausalLM(config).eval()
    for layer in decoder_layers(model)[1:]:
        layer.forward = lambda hidden, *_, **__: hidden  # type: ignore[assignment]
    return model


@contextmanager
def raw_hooks(model: nn.Module) -> Iterator[None]:
    """Add a direction at every layer by the shortest hook there is."""
    direction = torch.randn(WIDTH)
    handles = [
        layer.register_forward_pre_hook(lambda _, args: (args[0] + direction, *args[1:]))
        for layer in decoder_layers(model)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def generate(model: PreTrainedModel, ids: torch.Tensor, tokens: int, **inputs: torch.Tensor) -> torch.Tensor:
    """Return the prompt and just as many new tokens."""
    options = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 2}
    given = {"attention_mask": torch.ones_like(ids)} | inputs
    written: torch.Tensor = model.generate(ids, **given, **options)  # type: ignore[operator]
    return written


def timed(clock: Callable[[], float], work: Callable[[], object]) -> float:
    """Return the seconds that `work` takes by `clock`."""
    start = clock()
    work()
    return clock() - start


if __name__ == "__main__":
    main()
