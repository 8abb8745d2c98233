"""`steer datasets`."""

from __future__ import annotations

import sys
from dataclasses import fields

import click

from vectorstore.data.shipped import SETS, load, read_whatever
from vectorstore.items import both_sided, repeated

from .answer import Answer, Table
from .command import command
from .given import remarks


@command(
    "datasets",
    example="""steer datasets
    steer datasets sentiment
    steer datasets my-pairs.jsonl""",
)
@click.argument("source", metavar="[NAME|FILE]", required=False)
def datasets(source: str | None) -> Answer:
    """List the contrast pairs that ship with it, or check a file.

    Wherever a command takes a file of data, a set's name will do, unless there is a file of that name: steer compute
    mood --pairs sentiment. A set stands for pairs, texts, labelled texts, targets or demonstrations, as the method
    takes them. The items of a file are checked as `steer compute` would, and those that occur twice are told of.
    """
    return _one(source) if source else _all()


def _all() -> Answer:
    sets = {name: load(name) for name in SETS}
    document = {
        "datasets": [
            {
                "name": name,
                "summary": SETS[name],
                "kind": items[0].kind,
                "count": len(items),
                "first": items[0].to_json(),
            }
            for name, items in sets.items()
        ]
    }
    first = ("positive", "negative") if sys.stdout.isatty() else ()  # elsewhere nothing says how much room there is
    rows = [
        (name, str(len(items)), SETS[name], *(str(getattr(items[0], side)) for side in first))
        for name, items in sets.items()
    ]
    return Answer(document, [Table(("name", "pairs", "what", *first), rows, right=("pairs",), optional=first)])


def _one(source: str) -> Answer:
    items = read_whatever(source)
    told = remarks(items)
    document = {
        "source": source,
        "kind": items[0].kind,
        "count": len(items),
        "repeated": [list(pair) for pair in repeated(items)],
        "both_sided": list(both_sided(items)),
        "items": [item.to_json() for item in items],
        "notes": told,
    }
    columns = tuple(field.name for field in fields(items[0]))
    rows = [tuple(str(item.to_json().get(name, "")) for name in columns) for item in items]
    return Answer(document, [Table(columns, rows, title=f"{source}: {len(items)} {items[0].kind}")], told)
