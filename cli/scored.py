"""Scored: what `steer score` has to say, for programs and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vectorstore.canonical import Json
from vectorstore.evaluate.projection import Rule, TokenProjections
from vectorstore.evaluate.score import Scale
from vectorstore.evaluate.separation import Separation
from vectorstore.evaluate.subject import Subject
from vectorstore.identity import Fit
from vectorstore.place import Place
from vectorstore.texts import Text
from vectorstore.vector import Array

from .answer import Answer, Part, Shaded, Table
from .describe import number


@dataclass(frozen=True)
class Measured:
    """How well the sides of some data are told apart.

    Attributes:
        of: `own`, `data` or `folds`.
        places: the figures at each place.
        known: how many of the texts are among those the vector was computed from.
    """

    of: str
    places: Mapping[Place, Separation]
    known: int = 0


@dataclass(frozen=True)
class Scored:
    """All that was read.

    Attributes:
        subject: the vector.
        model, fit: what read, and how well it fits.
        rule: at which tokens.
        scales: what scores at each place are measured by.
        texts, values: what was scored, and its projections by place.
        tokens: the same token by token, where it was asked for.
        measured: how well sides are told apart.
        read: the read position that was asked for, if one was.
    """

    subject: Subject
    model: str
    fit: Fit
    rule: Rule
    scales: Mapping[Place, Scale]
    texts: tuple[Text, ...]
    values: Mapping[Place, Array]
    tokens: tuple[TokenProjections, ...]
    measured: tuple[Measured, ...]
    read: str | None


def answer(scored: Scored, data: str | None, said: Sequence[str]) -> Answer:
    """Return the document, and the tables."""
    told = [*said, *_notes(scored)]
    document = {
        "expression": scored.subject.label,
        "model": scored.model,
        "fit": scored.fit,
        "read": scored.rule.position.name,
        "places": {str(place): scale.to_json() for place, scale in scored.scales.items()},
        "texts": [_text_json(scored, index) for index in range(len(scored.texts))],
        "separation": {
            measured.of: {str(place): found.to_json() for place, found in measured.places.items()}
            for measured in scored.measured
        },
        "notes": told,
    }
    tables = [table for table in (_texts_table(scored), _separation_table(scored, data)) if table.rows]
    head = [f"along {scored.subject.label}"] if scored.texts else []
    return Answer(document, [*head, *tables, *_shaded(scored)], told)


def _notes(scored: Scored) -> list[str]:
    """Return what the user should know of the figures."""
    label, card = scored.subject.label, scored.subject.card
    said: list[str] = []
    if scored.fit != "same":
        said.append(f"this model has other weights than {card.model.reference}, which {label} was computed on")
    if not scored.rule.told and scored.read is None:
        said.append(
            f"the card of {label} does not say where texts are read; they are read at {scored.rule.position.name}"
            " (--read chooses)"
        )
    known = next((measured.known for measured in scored.measured if measured.known), 0)
    if known:
        said.append(f"{known} texts of the data are among those that {label} was computed from: their figures flatter")
    return said


def _text_json(scored: Scored, index: int) -> Json:
    scores = {str(place): _score(scored, place, index) for place in scored.values}
    above = {str(place): _above(scored, place, index) for place in scored.values if scored.scales[place].separation}
    tokens = [
        {
            "token": token,
            "scores": {str(place): float(v[at]) - scored.scales[place].zero for place, v in read.values.items()},
        }
        for read in scored.tokens[index : index + 1]
        for at, token in enumerate(read.tokens)
    ]
    words = scored.texts[index].to_json() | {"scores": scores, "positive": above}
    return words | ({"tokens": tokens} if scored.tokens else {})


def _score(scored: Scored, place: Place, index: int) -> float:
    return float(scored.values[place][index]) - scored.scales[place].zero


def _above(scored: Scored, place: Place, index: int) -> bool | None:
    threshold = scored.scales[place].threshold
    return None if threshold is None else _score(scored, place, index) > threshold


def _texts_table(scored: Scored) -> Table:
    sides = {None: "", True: "positive", False: "negative"}
    rows = [
        (
            text.text,
            str(place) if len(scored.values) > 1 else "",
            f"{_score(scored, place, index):+.4g}",
            sides[_above(scored, place, index)],
        )
        for index, text in enumerate(scored.texts)
        for place in scored.values
    ]
    columns = ("text", "at", "score", "side")
    return Table(columns, rows, right=("score",), whole=("at", "side"))


def _separation_table(scored: Scored, data: str | None) -> Table:
    names = {"own": "its own data (in-sample)", "data": data or "", "folds": "its own data, left out in turns"}
    chosen = all(scale.threshold is None for scale in scored.scales.values())
    if data and chosen:  # by the data themselves
        names["data"] = f"{data} (its own best threshold)"
    rows = [
        (names[measured.of], str(place) if len(scored.scales) > 1 else "", *_figures(found))
        for measured in scored.measured
        for place, found in measured.places.items()
    ]
    columns = ("sides of", "at", "texts", "AUROC", "accuracy", "pairs right", "d'", "threshold")
    return Table(columns, rows, right=columns[2:], whole=("at",), title="how well they are told apart")


def _figures(found: Separation) -> tuple[str, ...]:
    return (
        f"{found.positive_count}+{found.negative_count}",
        f"{found.auroc:.3f}",
        f"{found.accuracy:.1%}",
        "" if found.pairs_right is None else f"{found.pairs_right:.1%}",
        number(found.d_prime),
        f"{found.threshold:+.4g}",
    )


def _shaded(scored: Scored) -> list[Part]:
    return [
        Shaded(
            tuple(zip(read.tokens, (values - scored.scales[place].zero).tolist(), strict=True)),
            f"text {index}{f' at {place}' if len(scored.scales) > 1 else ''}, token by token",
        )
        for index, read in enumerate(scored.tokens, 1)
        for place, values in read.values.items()
    ]
