"""`steer deprecate`."""

from __future__ import annotations

import click

from vectorstore.errors import InvalidInputError

from .answer import Answer
from .command import command
from .library import Library, library_options


@command("deprecate", example="steer deprecate weddings@1 --reason 'use weddings@2: better at low strength'")
@click.argument("reference", metavar="REF")
@click.option("--reason", metavar="TEXT", help="Why, and what to use instead; whoever uses the version is shown it.")
@click.option("--undo", is_flag=True, help="Take it back.")
@library_options
def deprecate(library: Library, reference: str, reason: str | None, undo: bool) -> Answer:  # noqa: FBT001 - a flag
    """Tell whoever uses a version why they should no longer.

    It goes on working, and a bare name may still mean it; `steer yank` withdraws it.
    """
    if undo == (reason is not None):
        raise InvalidInputError("give a reason, or --undo", "--reason 'use weddings@2'")
    with library.look() as store:
        version = store.undeprecate(reference) if reason is None else store.deprecate(reference, reason)
    said = "deprecated no more" if undo else f"deprecated: {version.deprecation}"
    return Answer(version.to_json(), [f"{version.reference} is {said}"])
