"""`steer gc`."""

from __future__ import annotations

from datetime import timedelta

import click

from vectorstore.errors import InvalidInputError
from vectorstore.store.upkeep.gc import GRACE, collect

from .answer import Answer
from .command import command
from .library import Library, library_options
from .values import size_text

_HOURS = GRACE / timedelta(hours=1)


@command("gc", example="steer gc --apply")
@click.option("--apply", is_flag=True, help="Do it; otherwise only say what would go.")
@click.option(
    "--grace", type=float, default=_HOURS, show_default=True, metavar="HOURS", help="Keep what was needed so lately."
)
@library_options
def gc(library: Library, *, apply: bool, grace: float) -> Answer:
    """Free the bytes of deleted versions and unfinished saves.

    Safe beside programs that read and write.
    """
    try:
        kept = timedelta(hours=grace)
    except (OverflowError, ValueError) as error:  # also for nan and inf
        raise InvalidInputError(f"a grace of {grace:g} hours", "give a number of hours, 0 or more") from error
    with library.look() as store:
        done = collect(store, apply=apply, grace=kept)
    verb = "Freed" if apply else "Would free"
    lines = [f"{verb} {size_text(done.size)} in {len(done.blobs)} blobs and {len(done.leftovers)} unfinished files"]
    more = done.blobs or done.leftovers
    return Answer(done.to_json(), lines, ["nothing was changed; add --apply"] if more and not apply else [])
