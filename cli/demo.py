"""`steer demo`: the tour, on real weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from vectorstore.compose import compose, report
from vectorstore.models import load_model
from vectorstore.store.version import Direction, Version

from .answer import Answer, Part, Sides, Table
from .command import command
from .compose import plan_tables
from .describe import VERSION_COLUMNS, versions_table_rows
from .library import Library, library_options
from .model import notes
from .progress import progress
from .tour import (
    CONTROL_SEEDS,
    GLAD,
    LAYER,
    SENTIMENT,
    WEDDINGS,
    Figures,
    Measured,
    Sample,
    make_vectors,
    measure,
    open_stage,
    write,
)

NEXT = f"""
Go on:
  steer show demo/weddings
  steer generate 'My plan for the summer is' --model demo --steer '{GLAD}' --compare
  steer compute calm --model demo --layer {LAYER} --positive ' calm' --negative ' '"""


@command("demo", example="steer demo")
@library_options
def demo(library: Library) -> Answer:
    """Take the tour, on real weights.

    Computes a vector about weddings (ActAdd, from one pair of prompts) and one from bad to good (the mean difference of
    16 pairs) on SmolLM2-135M-Instruct, saves both in the namespace demo, composes them, and shows what the model writes
    and how much more likely it makes the words in question, next to random vectors of the same norm. Safe to repeat.
    """
    with library.open() as store, notes() as said, progress("Loading the demo model") as bar:
        model, tokenizer = load_model("demo", progress=bar.say)
        stage = open_stage(store, model, tokenizer)
        versions = make_vectors(stage, bar)
        catalogue = store.list("demo").versions
        plan = compose(store, GLAD)
        measured = measure(stage, bar)
        samples = write(stage, bar)
    document = {
        "versions": [version.to_json() for version in versions],
        "composed": report(plan).to_json(),
        "measured": asdict(measured),
        "samples": [asdict(sample) for sample in samples],
    }
    parts = [
        *_computed(versions),
        "\n2. Kept, with everything needed to repeat and trust them:  steer list demo",
        Table(VERSION_COLUMNS, versions_table_rows(catalogue)),
        f"\n3. Composed:  steer compose '{GLAD}'",
        *plan_tables(plan, report(plan)),
        *_measured(measured, len(stage.texts["sentiment_prompts"])),
        *_written(samples),
        NEXT,
    ]
    return Answer(document, parts, said)


def _computed(versions: Sequence[Version]) -> list[Part]:
    rows = [
        (
            version.reference,
            version.method or "",
            f"{direction.norm:.0f}",
            f"{direction.residual_norm:.0f}",
            *_share(direction),
        )
        for version in versions
        for direction in version.directions.values()
    ]
    columns = ("version", "method", "norm", "R", "norm/R")
    return [
        f"1. Computed at layer {LAYER} of SmolLM2-135M-Instruct; R is the usual norm of the residual stream there",
        Table(columns, rows, right=columns[2:]),
    ]


def _share(direction: Direction) -> tuple[str]:
    return (f"{direction.norm / direction.residual_norm:.2f}" if direction.residual_norm else "",)


def _measured(measured: Measured, prompts: int) -> list[Part]:
    low, high = measured.random_wedding_ratio
    down, up = measured.random_sentiment_shift
    rows = [
        ("nothing", f"{measured.wedding_probability:.2%}", "", "", ""),
        (f"{CONTROL_SEEDS} random like {WEDDINGS}", "", f"x{low:.1f} to x{high:.1f}", "", ""),
        (f"{CONTROL_SEEDS} random like {SENTIMENT}", "", "", f"{down:+.1f} to {up:+.1f}", ""),
        *(_figures_row(figures, prompts) for figures in measured.figures),
    ]
    columns = ("steered by", "P(wedding words)", "change", "good - bad", "prompts up")
    title = (
        f"\n4. Measured on the next word of {prompts} open prompts for each topic. good - bad is the change of\n"
        "   log P(good words) - log P(bad words); random directions have the norms of the real ones"
    )
    return [title, Table(columns, rows, right=columns[1:])]


def _figures_row(figures: Figures, prompts: int) -> tuple[str, ...]:
    return (
        figures.expression,
        f"{figures.wedding_probability:.2%}",
        f"x{figures.wedding_ratio:.1f}",
        f"{figures.sentiment_shift:+.1f}",
        f"{figures.sentiment_up} of {prompts}",
    )


def _written(samples: Sequence[Sample]) -> list[Part]:
    parts: list[Part] = ["\n5. Written, with the same seed"]
    for prompt in dict.fromkeys(sample.prompt for sample in samples):
        texts = [(sample.expression or "nothing", sample.text) for sample in samples if sample.prompt == prompt]
        parts += [f"\n{prompt} …", Sides(texts)]
    return parts
