"""`steer lineage`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from vectorstore.store.lineage import Node
from vectorstore.store.lineage import lineage as lineage_of

from .answer import Answer
from .command import command
from .library import Library, library_options


@command("lineage", example="steer lineage happy-wedding")
@click.argument("reference", metavar="REF")
@library_options
def lineage(library: Library, reference: str) -> Answer:
    """Show what a version is made of, and what uses it.

    Recipes are made of their terms; a vector that was saved from an expression is made of its parents.
    """
    with library.look() as store:
        found = lineage_of(store, reference)
    name = found.version.reference
    lines = [f"{name} is made of" if found.made_of else f"{name} is made of nothing else"]
    lines += _lines(found.made_of, 1)
    lines.append(f"{name} is used by" if found.used_by else f"{name} is used by nothing")
    lines += _lines(found.used_by, 1)
    notes = [] if found.complete else ["there is more than this: ask for the versions at its ends"]
    return Answer(found.to_json(), lines, notes)


def _lines(nodes: Sequence[Node], depth: int) -> Iterator[str]:
    for node in nodes:
        marks = [mark for mark, holds in (("yanked", node.yanked), ("see above", node.repeated)) if holds]
        yield f"{'  ' * depth}{node.reference}  {', '.join((node.kind, *marks))}"
        yield from _lines(node.nodes, depth + 1)
