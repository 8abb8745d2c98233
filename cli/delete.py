"""`steer delete`."""

from __future__ import annotations

import sys

import click

from vectorstore.errors import InvalidInputError
from vectorstore.reference import parse_reference

from .answer import Answer
from .command import command
from .library import Library, library_options


@command("delete", example="steer delete weddings@1 --reason 'wrong pairs' --yes")
@click.argument("reference", metavar="REF")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept with the tombstone and in the log.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@library_options
def delete(library: Library, reference: str, reason: str, *, yes: bool) -> Answer:
    """Delete a version for good; its number never means anything else.

    It is refused while recipes or other versions need it. `steer yank` only withdraws it; `steer gc` frees its bytes.
    """
    with library.look() as store:
        named = parse_reference(reference).plain()
        if not yes and named.is_one_version:
            _confirm(store.resolve(named).reference)
        version = store.delete(reference, reason)
    gone = [f"@{alias}" for alias in version.aliases]
    also = f", and {', '.join(gone)} with it" if gone else ""
    return Answer(version.to_json() | {"deleted": True}, [f"{version.reference} is deleted{also}"])


def _confirm(reference: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidInputError(f"deleting {reference} cannot be taken back", "add --yes, or yank it instead")
    click.confirm(f"Deleting {reference} cannot be taken back. Go on?", abort=True, err=True)
