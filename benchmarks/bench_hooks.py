"""What steering costs per hooked layer and forward pass, next to a raw hook and to other libraries.

    scripts/peers-venv
    .venv-peers/bin/python -m benchmarks.bench_hooks [--rounds N] [--tokens N]

The model's layers but the first do nothing, so that their work does not drown what hooks cost; all but the first are
steered, with a direction for each, while a text is generated on one thread. The logits of other arms are compared with
those of ours that do the same. Each round measures all arms, by CPU time; the table has medians and quartiles over
rounds of the difference to the unsteered arm of the round. What a call of `generate` costs by itself is spread over its
passes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from benchmarks.peers import PEERS, RAW, Generate, Steering, peers, raw_hook
from benchmarks.rounds import Arm, Measured, interleaved, print_table, spread, timed
from benchmarks.steered import OPERATORS, directions_of, generate, idle_model, plan_of
from vectorstore.hooks import steer
from vectorstore.plan import Plan

LAYERS, WIDTH = 101, 576
PROMPT = torch.ones(1, 4, dtype=torch.long)
SAME_AS = {f"raw hook: {operator}": f"ours: {operator.partition(',')[0]}" for operator in RAW} | {
    "ours: add, at the inputs": "ours: add",
    "ours: add, a plan per row": "ours: add",
}
"""Which arms have to give the same logits."""
Logits = Tensor | str
"""`[passes, vocabulary]`, or why there are none."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--tokens", type=int, default=24)
    options = parser.parse_args()
    torch.set_num_threads(1)
    directions = directions_of(range(1, LAYERS), WIDTH)
    theirs, missing = peers(model_of_its_own, directions)
    arms = our_arms(directions) | theirs
    same_as = {name: f"ours: {operator}" for name, (operator, _) in PEERS.items()} | SAME_AS
    answers = {name: logits_of(steering) for name, steering in arms.items()}
    broken = [name for name, answer in answers.items() if isinstance(answer, str)]
    measured = interleaved(
        {name: arm(steering, options.tokens) for name, steering in arms.items() if name not in broken}, options.rounds
    )
    print(f"{LAYERS - 1} hooked layers of width {WIDTH}; {options.tokens} tokens; {options.rounds} rounds")
    show(measured, {name: same(answers, name, same_as.get(name)) for name in measured}, options.tokens)
    for line in missing + [f"{name} is left out: {answers[name]}" for name in broken]:
        print(line)


def our_arms(directions: dict[int, Tensor]) -> dict[str, Steering]:
    """Return the arms on the shared model: none, the raw hook, and ours."""
    model = shared_model()
    plans = {f"ours: {operator}": plan_of(directions, operator) for operator in OPERATORS}
    plans["ours: add, at the inputs"] = plan_of(directions, site="resid_pre")
    plans["ours: add, prompt only"] = plan_of(directions, tokens="prompt")
    return {
        "unsteered": partial(unsteered, model),
        **{f"raw hook: {operator}": raw_hook(model, directions, operator) for operator in RAW},
        **{name: partial(ours, model, plan) for name, plan in plans.items()},
        "ours: add, a plan per row": partial(ours, model, [plans["ours: add"]]),
    }


@cache
def shared_model() -> LlamaForCausalLM:
    """Return the model of the arms that leave it as it was."""
    return model_of_its_own()


def model_of_its_own() -> LlamaForCausalLM:
    """Return a model for an arm that may change it."""
    return idle_model(LAYERS, WIDTH)


@contextmanager
def unsteered(model: LlamaForCausalLM) -> Iterator[Generate]:
    """Steer nothing."""
    yield partial(generate, model)


@contextmanager
def ours(model: LlamaForCausalLM, plan: Plan | list[Plan]) -> Iterator[Generate]:
    """Steer by a plan, or by one for each row."""
    with steer(model, plan):
        yield partial(generate, model)


def arm(steering: Steering, tokens: int) -> Arm:
    """Return what times a text, once directions are where they belong."""

    def seconds() -> float:
        with steering() as written:
            written(PROMPT, 2)
            return timed(lambda: written(PROMPT, tokens))

    return seconds


def logits_of(steering: Steering) -> Logits:
    """Return the logits of each pass of a short text, as the head of whatever model runs gives them."""
    seen: list[Tensor] = []

    def keep(module: torch.nn.Module, _args: object, output: object) -> None:
        if isinstance(module, torch.nn.Linear) and module.out_features == shared_model().config.vocab_size:
            seen.append(output[0, -1:].clone())  # type: ignore[index]

    handle = torch.nn.modules.module.register_module_forward_hook(keep)
    try:
        with steering() as written:
            written(PROMPT, 3)
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is told, and the others are measured
        return f"{type(error).__name__}: {error}".splitlines()[0]
    finally:
        handle.remove()
    return torch.cat(seen)


def show(measured: Measured, checked: dict[str, str], tokens: int) -> None:
    """Print a line for each arm."""
    passes = tokens * (LAYERS - 1)
    rows = []
    for name, values in measured.items():
        if name != "unsteered":
            added = [1e6 * (each - base) / passes for each, base in zip(values, measured["unsteered"], strict=True)]
            rows.append((name, *spread(added), checked[name]))
    print_table(("", "µs per layer and pass", "quartiles", "the same logits"), rows)


def same(answers: dict[str, Logits], name: str, expected: str | None) -> str:
    """Say whether the logits are those of another arm within rounding."""
    if expected is None:
        return ""
    ours, theirs = answers[expected], answers[name]
    if isinstance(ours, str) or isinstance(theirs, str) or ours.shape != theirs.shape:
        return "other passes"
    return f"as {expected}" if torch.allclose(theirs, ours, rtol=1e-3, atol=1e-4) else "no"


if __name__ == "__main__":
    main()
