"""`steer describe`."""

from __future__ import annotations

import click

from .answer import Answer
from .command import command
from .library import Library, library_options


@command("describe", example="steer describe weddings@2 'from one pair; strong at layer 18'")
@click.argument("reference", metavar="REF")
@click.argument("text")
@library_options
def describe(library: Library, reference: str, text: str) -> Answer:
    """Describe a version anew.

    An empty TEXT removes the description.
    """
    with library.look() as store:
        version = store.set_description(reference, text)
    return Answer(version.to_json(), [f"{version.reference} is described"])
