"""The tour behind `steer demo`: compute two vectors on real weights, store, compose, steer, and measure."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from vectorstore.compose import compose
from vectorstore.evaluate.control import random_like
from vectorstore.evaluate.propensity import Floats, next_token_mass
from vectorstore.extract import compute
from vectorstore.hooks import steer
from vectorstore.hooks.writer import Sampling, Writer
from vectorstore.models.pretrained import Model, Tokenizer
from vectorstore.pairs import ContrastPair, read_pairs
from vectorstore.plan import Plan
from vectorstore.store import Store
from vectorstore.store.version import Version

from .progress import Progress

LAYER = 18  # 60% of the depth, where both vectors work best on these weights
WEDDINGS, SENTIMENT = "demo/weddings:strong", "demo/sentiment:strong"
GLAD, SAD = f"{WEDDINGS} + {SENTIMENT}", f"{WEDDINGS} - {SENTIMENT}"
CONTROL_SEEDS = 5
SAMPLING = Sampling(max_new_tokens=24, temperature=0.7, top_p=1, repetition_penalty=1.2, seed=0)


@dataclass(frozen=True)
class Figures:
    """What one plan does to the token after each open prompt.

    Attributes:
        expression: the plan.
        wedding_probability: of the wedding words, mean over prompts.
        wedding_ratio: that, over the unsteered model's.
        sentiment_shift: change of log P(positive words) - log P(negative words), mean over prompts.
        sentiment_up: how many of the prompts moved towards the positive words.
    """

    expression: str
    wedding_probability: float
    wedding_ratio: float
    sentiment_shift: float
    sentiment_up: int


@dataclass(frozen=True)
class Measured:
    """All figures, and what random directions of the same norms do: the smallest and the largest of CONTROL_SEEDS."""

    wedding_probability: float
    figures: tuple[Figures, ...]
    random_wedding_ratio: tuple[float, float]
    random_sentiment_shift: tuple[float, float]


@dataclass(frozen=True)
class Sample:
    """What the model writes: prompt, the plan (empty for none), and the text that follows."""

    prompt: str
    expression: str
    text: str


@dataclass(frozen=True)
class Stage:
    """The model, the library and the texts that the tour plays with."""

    store: Store
    model: Model
    tokenizer: Tokenizer
    texts: dict[str, Any]

    def ask(self, plan: Plan | None) -> tuple[float, Floats]:
        """Return P(wedding words), mean over prompts, and log P(good words) - log P(bad words), for each prompt."""
        texts = self.texts
        prompts = [*texts["wedding_prompts"], *texts["sentiment_prompts"]]
        words = [texts[name] for name in ("wedding_words", "positive_words", "negative_words")]
        with nullcontext() if plan is None else steer(self.model, plan):
            wedding, good, bad = next_token_mass(self.model, self.tokenizer, prompts, *words)
        split = len(texts["wedding_prompts"])
        return float(wedding[:split].mean()), np.log(good[split:]) - np.log(bad[split:])


def open_stage(store: Store, model: Model, tokenizer: Tokenizer) -> Stage:
    """Read the tour's texts."""
    return Stage(store, model, tokenizer, json.loads(_data("demo.json").read_text()))


def make_vectors(stage: Stage, bar: Progress) -> tuple[Version, Version]:
    """Compute the ActAdd vector and the mean difference, and save both with presets."""
    bar.say("Computing weddings and sentiment")
    pair, pairs = ContrastPair(**stage.texts["weddings"]), read_pairs(_data("sentiment.jsonl"))
    weddings = compute(stage.model, stage.tokenizer, [pair], layer=LAYER, method="actadd")
    sentiment = compute(stage.model, stage.tokenizer, pairs, layer=LAYER, method="mean_difference")
    first = stage.store.save(
        "demo/weddings",
        *weddings,
        presets={"mild": "0.5", "strong": "1"},
        labels={"topic": "weddings"},
        description="Talks of weddings: ActAdd from one pair of prompts",
    )
    second = stage.store.save(
        "demo/sentiment",
        *sentiment,
        presets={"mild": "0.1r", "strong": "0.15r"},
        labels={"topic": "sentiment"},
        description="From bad to good: mean difference of 16 pairs of sentences",
    )
    return first.version, second.version


def measure(stage: Stage, bar: Progress) -> Measured:
    """Measure the unsteered model, each vector, both together, and random controls for each vector."""
    bar.say("Measuring")
    plans = {expression: compose(stage.store, expression) for expression in (WEDDINGS, SENTIMENT, GLAD, SAD)}
    controls = [random_like(plans[name], seed) for name in (WEDDINGS, SENTIMENT) for seed in range(CONTROL_SEEDS)]
    answers = []
    for plan in (None, *plans.values(), *controls):
        answers.append(stage.ask(plan))
        bar.advance(len(answers), 1 + len(plans) + len(controls))
    unsteered, steered, random = answers[0], answers[1 : 1 + len(plans)], answers[1 + len(plans) :]
    ratios = [wedding / unsteered[0] for wedding, _ in random[:CONTROL_SEEDS]]
    shifts = [float((odds - unsteered[1]).mean()) for _, odds in random[CONTROL_SEEDS:]]
    return Measured(
        wedding_probability=unsteered[0],
        figures=tuple(_figures(name, answer, unsteered) for name, answer in zip(plans, steered, strict=True)),
        random_wedding_ratio=(min(ratios), max(ratios)),
        random_sentiment_shift=(min(shifts), max(shifts)),
    )


def write(stage: Stage, bar: Progress) -> tuple[Sample, ...]:
    """Return what the model writes after each sample prompt: unsteered, glad and sad of weddings."""
    writer = Writer(stage.model, stage.tokenizer, SAMPLING, bar.advance)
    bar.say("Writing")
    plans = {"": None, **{expression: compose(stage.store, expression) for expression in (GLAD, SAD)}}
    return tuple(
        Sample(prompt, expression, " ".join(writer.write(prompt, plan).split()))
        for prompt in stage.texts["sample_prompts"]
        for expression, plan in plans.items()
    )


def _figures(expression: str, answer: tuple[float, Floats], unsteered: tuple[float, Floats]) -> Figures:
    shifts = answer[1] - unsteered[1]
    return Figures(expression, answer[0], answer[0] / unsteered[0], float(shifts.mean()), int((shifts > 0).sum()))


def _data(name: str) -> Path:
    return Path(str(files(__package__) / "data" / name))
