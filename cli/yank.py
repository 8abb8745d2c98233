"""`steer yank` and `steer restore`."""

from __future__ import annotations

import click

from .answer import Answer
from .command import command
from .library import Library, library_options


@command("yank", example="steer yank weddings@2 --reason 'computed on the wrong layer'")
@click.argument("reference", metavar="REF")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept in the log.")
@library_options
def yank(library: Library, reference: str, reason: str) -> Answer:
    """Withdraw a version; what names or pins it outright still gets it.

    A bare name means the newest version that is not yanked. `steer restore` takes it back.
    """
    with library.look() as store:
        version = store.yank(reference, reason)
    return Answer(version.to_json(), [f"{version.reference} is yanked"])


@command("restore", example="steer restore weddings@2")
@click.argument("reference", metavar="REF")
@library_options
def restore(library: Library, reference: str) -> Answer:
    """Take the yank of a version back."""
    with library.look() as store:
        version = store.restore(reference)
    return Answer(version.to_json(), [f"{version.reference} is yanked no more"])
