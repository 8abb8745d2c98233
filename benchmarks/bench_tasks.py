"""How far a task gets that no pair of prompts expresses, translation into French, and where sums of words lead.

    python benchmarks/bench_tasks.py [--only french|words] [--seeds N]

French: vectors from 24 sentences and their translations, measured on 12 others, on the demo model. For each way of
steering, and for random directions of the same norms: the log-probability per token of a sentence's translation after
that sentence; the same for another sentence's translation, so that the difference is what was understood, and the rest
is the language; and what the model writes by itself after six English beginnings, greedily: the French part of its
common words, and how many of all words are different ones (a model that is steered too far repeats itself).

Words: a - b + c over 217 words' embeddings, and what comes nearest; beside what comes nearest to c, and to a + c.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import Card
from vectorstore.evaluate.control import random_like
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.items import read_items
from vectorstore.models import load_model
from vectorstore.models.tokenizer import encode, text_ids, token_ids
from vectorstore.plan import Plan, Step
from vectorstore.texts import Demonstration, Target, Text
from vectorstore.vector import SteeringVector

Demo = tuple[PreTrainedModel, PreTrainedTokenizerBase]
DATA = Path(__file__).parent / "data"
LEARNED = read_items(DATA / "demonstrations.jsonl", Demonstration)
HELD_OUT = read_items(DATA / "held_out.jsonl", Demonstration)
TEXTS = (
    *read_items(DATA / "french.jsonl", Text),
    *(Text(each.text, "negative") for each in read_items(DATA / "english.jsonl", Text)),
)
BEGINNINGS = (
    "The weather today is",
    "I went to the market and",
    "My favourite food is",
    "Yesterday my friend told me that",
    "The best thing about the city is",
    "In the morning",
)
FRENCH = frozenset(
    re.findall(
        r"\w+",
        "le la les un une du de des et est sont ai je j tu il elle nous vous ils elles ne pas que qui dans sur pour"
        " avec ce cette ces mon ma mes sa ses notre votre leur au aux en où mais très été être avoir l qu",
    )
)
ENGLISH = frozenset(
    re.findall(
        r"\w+",
        "the of and to is in that it was for are with his they at be this have from had by but not what all were"
        " we when your can there an which"
        " their if do will how she he i you my so our its has been more about a as on or me",
    )
)
ANALOGIES = (DATA / "analogies.txt").read_text("utf-8").split()
WORDS = (DATA / "words.txt").read_text("utf-8").split()


class Figures(NamedTuple):
    """What one way of steering comes to; log-probabilities are means per token, in nats."""

    right: float
    other: float
    french: float
    distinct: float


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("french", "words"))
    parser.add_argument("--seeds", type=int, default=2, help="of random directions")
    options = parser.parse_args()
    demo = load_model("demo")
    if options.only != "french":
        print_words(embeddings(demo))
    if options.only != "words":
        print_french(demo, options.seeds)


def print_french(demo: Demo, seeds: int) -> None:
    """Print a row for each way of steering, and one for the random directions of its norms."""
    print(f"{'':<34}  right  other  meant  french distinct")
    for name, frame in FRAMES.items():
        right, other = (likely(demo, frame, shift) for shift in (0, 1))
        print(f"{name:<34} {right:6.2f} {other:6.2f} {right - other:+6.2f}", flush=True)
    print_row("not steered", measure(demo, None))
    for name, plan in ways(demo):
        print_row(name, measure(demo, plan))
        controls = [measure(demo, random_like(plan, seed)) for seed in range(seeds)]
        if controls:
            print_row("  random", Figures(*np.mean(controls, axis=0)))


def print_row(name: str, figures: Figures) -> None:
    """Print one row."""
    right, other, french, distinct = figures
    print(f"{name:<34} {right:6.2f} {other:6.2f} {right - other:+6.2f} {french:7.0%} {distinct:7.0%}", flush=True)


def ways(demo: Demo) -> Iterator[tuple[str, Plan]]:
    """Yield each way of steering by its name."""
    layers = (9, 15, 21)
    centred = compute(*demo, TEXTS, layer=layers, method="mean_centring")
    for layer in layers:
        for strength in (0.15, 0.3):
            yield f"mean_centring[{layer}] {strength}r", plan_of(centred, strength, [layer])
    for variant in ("paper", "code"):
        found = compute(*demo, LEARNED, layer=range(30), method="in_context", params={"variant": variant})
        for strength in (0.01, 0.02, 0.05):
            yield f"in_context {variant} {strength}r", plan_of(found, strength, range(30))


def plan_of(computed: tuple[SteeringVector, Card], strength: float, layers: Sequence[int]) -> Plan:
    """Return the plan that uses a vector as its card says, each direction `strength` times R long."""
    vector, card = computed
    lengths = {place: strength * card.residual_norms[place] / norm for place, norm in vector.norms.items()}
    return Plan(
        tuple(
            Step(card.apply.operator, place, card.apply.tokens, (lengths[place] * direction).astype(np.float32))
            for place, direction in vector.directions.items()
            if place.layer in layers
        )
    )


def measure(demo: Demo, plan: Plan | None) -> Figures:
    """Return the figures of one way of steering."""
    with nullcontext() if plan is None else steer(demo[0], plan):
        return Figures(likely(demo, plain, 0), likely(demo, plain, 1), *written(demo))


@torch.no_grad()
def likely(demo: Demo, frame: Callable[[str], str], shift: int) -> float:
    """Return the mean log-probability per token of the translation of the sentence `shift` further on."""
    model, tokenizer = demo
    outputs = [HELD_OUT[(index + shift) % len(HELD_OUT)].output for index in range(len(HELD_OUT))]
    befores = token_ids(tokenizer, [frame(each.input) for each in HELD_OUT])
    rows = [(*before, *text_ids(tokenizer, output)) for before, output in zip(befores, outputs, strict=True)]
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    found = model(input_ids=ids, attention_mask=mask).logits.log_softmax(dim=-1)
    means = []
    for index, (before, row) in enumerate(zip(befores, rows, strict=True)):
        at = range(len(before), len(row))
        means.append(float(torch.stack([found[index, column - 1, row[column]] for column in at]).mean()))
    return float(np.mean(means))


def plain(sentence: str) -> str:
    """Return the sentence as a line of its own, without a word about the task."""
    return f"{sentence}.\n"


FRAMES: dict[str, Callable[[str], str]] = {
    "asked to translate": lambda sentence: f"Translate into French.\nEnglish: {sentence}.\nFrench:\n",
    "5 demonstrations in the prompt": lambda sentence: (
        "".join(f"English: {each.input}.\nFrench:\n{each.output}.\n" for each in LEARNED[:5])
        + f"English: {sentence}.\nFrench:\n"
    ),
}


@torch.no_grad()
def written(demo: Demo) -> tuple[float, float]:
    """Return the French part of the common words that the model writes, and the part of all words that is different."""
    model, tokenizer = demo
    inputs = encode(tokenizer, BEGINNINGS)
    ids = model.generate(**inputs, max_new_tokens=20, do_sample=False, pad_token_id=0)
    texts = [tokenizer.decode(row[inputs["input_ids"].shape[1] :]) for row in ids]
    words = [re.findall(r"[^\W\d_]+", text.lower()) for text in texts]
    common = [word in FRENCH for each in words for word in each if word in FRENCH | ENGLISH]
    distinct = [len(set(each)) / len(each) for each in words if each]
    return float(np.mean(common)) if common else 0.0, float(np.mean(distinct))


def embeddings(demo: Demo) -> np.ndarray:
    """Return the unit embedding of each word of the list `[words, d]`."""
    found = (compute(*demo, [Target(f" {word}")], layer=0, method="token_embedding")[0] for word in WORDS)
    rows = np.stack([next(iter(vector.directions.values())) for vector in found]).astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def print_words(units: np.ndarray) -> None:
    """Print what comes nearest to a - b + c of each analogy, and how often it is the right word."""
    index = {word: number for number, word in enumerate(WORDS)}

    def nearest(total: np.ndarray, but: Sequence[str]) -> list[str]:
        order = np.argsort(-(units @ total))
        return [WORDS[number] for number in order if WORDS[number] not in but]

    hits = {"a - b + c": 0, "a - b + c, of all words": 0, "a + c": 0, "c": 0}
    for line in ANALOGIES:
        words = line.split(",")
        a, b, c = (units[index[word]] for word in words[:3])
        first, *rest = nearest(a - b + c, words[:3])
        print(f"{words[0]} - {words[1]} + {words[2]}: {', '.join([first, *rest[:4]])}  (expected {words[3]})")
        hits["a - b + c"] += first == words[3]
        hits["a - b + c, of all words"] += nearest(a - b + c, ())[0] == words[3]
        hits["a + c"] += nearest(a + c, words[:3])[0] == words[3]
        hits["c"] += nearest(c, words[:3])[0] == words[3]
    print({name: f"{count} of {len(ANALOGIES)}" for name, count in hits.items()})


if __name__ == "__main__":
    main()
