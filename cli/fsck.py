"""`steer fsck`."""

from __future__ import annotations

import click

from vectorstore.errors import EXIT_CODES, IntegrityError
from vectorstore.store.upkeep.fsck import check

from .answer import Answer, Part, Table
from .command import command
from .library import Library, library_options


@command("fsck", example="steer fsck --full")
@click.option("--full", is_flag=True, help="Read and hash every byte, and check every vector.")
@click.option("--quarantine", is_flag=True, help="Put damaged files, and files that belong to nobody, aside.")
@library_options
def fsck(library: Library, *, full: bool, quarantine: bool) -> Answer:
    """Check that the library is sound; list what is not.

    It compares rows with files both ways, versions with their manifests, numbers, and the log with its chain. It ends
    with exit code 6 where something is wrong.
    """
    with library.look() as store:
        checked = check(store, full=full, quarantine=quarantine)
    how = "read and hashed" if full else "looked at"
    counts = f"{checked.versions} versions, {checked.blobs} blobs, {checked.files} files and {checked.events} events"
    found = "1 problem" if len(checked.problems) == 1 else f"{len(checked.problems) or 'no'} problems"
    parts: list[Part] = [f"{counts} {how}: {found}"]
    if checked.problems:
        rows = [(problem.kind, problem.subject, problem.detail, problem.hint) for problem in checked.problems]
        parts.append(Table(("problem", "of", "what is wrong", "what to do"), rows, whole=("problem",)))
    parts += [f"Put aside: {path}" for path in checked.quarantined]
    return Answer(checked.to_json(), parts, exit_code=EXIT_CODES[IntegrityError] if checked.problems else 0)
