"""`steer score`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from vectorstore.card import Card
from vectorstore.data.shipped import read_whatever
from vectorstore.errors import InvalidInputError
from vectorstore.evaluate.cross_fit import cross_fit
from vectorstore.evaluate.projection import READS, TRUE, Reader, check_reader, rule_of
from vectorstore.evaluate.score import Scale, among, measure, scales_of
from vectorstore.evaluate.subject import Subject, find_subject
from vectorstore.items import Item, read_items
from vectorstore.place import Place
from vectorstore.template import worded
from vectorstore.texts import Text

from .answer import Answer
from .command import command
from .given import template_options
from .library import Library, library_options
from .model import ModelChoice, notes, recorded_model_options
from .progress import Progress, progress
from .scored import Measured, Scored, answer
from .values import mapping

STDIN = "-"


@dataclass(frozen=True)
class _Wanted:
    """What is to be read, and how."""

    texts: tuple[Text, ...]
    data: tuple[Item, ...]
    label: str
    read: str | None
    folds: int | None
    tokens: bool
    raw: bool
    batch_size: int
    force: bool


@command(
    "score",
    example="""steer score mood 'I loved it.' 'I hated it.'
    steer score mood 'The food was good, but the service was slow.' --tokens
    steer score 'mood[18] - calm[18]' --texts reviews.jsonl --model demo
    steer score mood --data held-out.jsonl --folds 5""",
)
@click.argument("expression", metavar="REF")
@click.argument("given", metavar="[TEXT]...", nargs=-1)
@recorded_model_options
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Texts in one forward pass.")
@click.option(
    "--texts",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help='Texts to score, as JSON Lines: {"text": …}.',
)
@click.option(
    "--data",
    metavar="FILE",
    help="Other pairs or labelled texts, as JSON Lines, or a name: how well are their sides told apart?",
)
@click.option("--positive-label", default=TRUE, show_default=True, help="The positive side of labelled texts.")
@click.option(
    "--folds",
    type=click.IntRange(2),
    metavar="N",
    help="Compute it again N times, each time without a part of its data, and score that part.",
)
@click.option("--tokens", is_flag=True, help="Score every token of the texts too.")
@click.option(
    "--read",
    type=click.Choice([position.name for position in READS]),
    help="Read the texts there.  [default: where its data were read]",
)
@click.option(
    "--raw", is_flag=True, help="Give the projections as they are: do not read the data it was computed from."
)
@template_options
@click.option(
    "--force", is_flag=True, help="Read also with a model of another vocabulary or architecture, but one shape."
)
@library_options
def score(  # noqa: PLR0913 - options
    *,
    library: Library,
    choice: ModelChoice,
    expression: str,
    given: tuple[str, ...],
    path: Path | None,
    data: str | None,
    positive_label: str,
    template: str,
    words: tuple[tuple[str, str], ...],
    **how: object,
) -> Answer:
    """Say how far texts lie along a direction; nothing is steered.

    REF is a version, or an expression that comes to one vector. The score of a text is the projection of its activation
    on the direction, from halfway between the two sides of the data that the direction was computed from; above the
    threshold, which best separates these data, a text is called positive. Texts come from the command line, from
    --texts, or line by line from stdin where TEXT is -.
    """
    into = mapping(words, "word")
    if how["tokens"] and not (given or path):
        raise InvalidInputError("--tokens is given, and there is no text", "give a text to read token by token")
    wanted = _Wanted(
        worded(_texts(given, path), template, into),
        worded(read_whatever(data), template, into) if data else (),
        positive_label,
        **how,  # type: ignore[arg-type] # click has checked them
    )
    with library.look() as store:
        subject = find_subject(store, expression, force=wanted.force)
    choice = choice.as_recorded(subject.card)
    with notes() as said, progress(f"Loading {choice.reference}") as bar:
        scored = _scored(choice, subject, wanted, bar)
    return answer(scored, data, said)


def _texts(words: tuple[str, ...], path: Path | None) -> tuple[Text, ...]:
    if words == (STDIN,):
        words = tuple(line for line in sys.stdin.read().splitlines() if line.strip())
        if not words:
            raise InvalidInputError("stdin has no texts", "give one a line")
    return (*map(Text, words), *(read_items(path, Text) if path else ()))


def _scored(choice: ModelChoice, subject: Subject, wanted: _Wanted, bar: Progress) -> Scored:
    model, tokenizer = choice.load(bar)
    vector, card = subject.vector, subject.card
    fit = check_reader(model, tokenizer, card, subject.label, force=wanted.force)
    rule = rule_of(card, wanted.read)
    bar.say("Reading")
    reader = Reader(model, tokenizer, vector, rule, wanted.batch_size, bar.advance)
    plain = {place: Scale(0.0, "origin") for place in vector.places}
    scales = plain if wanted.raw else scales_of(reader, card)
    return Scored(
        subject,
        choice.reference,
        fit,
        rule,
        scales,
        wanted.texts,
        reader.project(wanted.texts).values if wanted.texts else {},
        reader.project_tokens(wanted.texts) if wanted.tokens else (),
        tuple(_measured(reader, card, scales, wanted, bar)),
        wanted.read,
    )


def _measured(
    reader: Reader, card: Card, scales: Mapping[Place, Scale], wanted: _Wanted, bar: Progress
) -> Iterator[Measured]:
    """Yield how well the sides of all data are told apart, its own first."""
    yield Measured("own", {place: scale.separation for place, scale in scales.items() if scale.separation})
    if wanted.data:
        yield Measured("data", measure(reader, wanted.data, scales, wanted.label), among(wanted.data, card))
    if wanted.folds:
        bar.say(f"Computing it {wanted.folds} times, each without a part of its data")
        found = cross_fit(
            reader.model,
            reader.tokenizer,
            card,
            folds=wanted.folds,
            read=wanted.read,
            batch_size=wanted.batch_size,
            progress=bar.advance,
        )
        yield Measured("folds", {place: found[place] for place in reader.vector.places if place in found})
