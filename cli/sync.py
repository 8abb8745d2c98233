"""`steer sync`."""

from __future__ import annotations

import click

from vectorstore.client.sync import Choice
from vectorstore.client.sync import sync as follow
from vectorstore.client.synced import Synced
from vectorstore.errors import EXIT_CODES, ConflictError, InvalidInputError
from vectorstore.reference import check_name

from .answer import Answer, Part
from .command import command
from .library import Library, library_options
from .progress import progress
from .remotes import connected


@command(
    "sync",
    example="""steer sync acme//team
    steer sync acme//team --theirs""",
)
@click.argument("where", metavar="REMOTE//NAMESPACE")
@click.option("--theirs", "choice", flag_value="theirs", help="Where both sides changed, take what the remote says.")
@click.option("--ours", "choice", flag_value="ours", help="Where both sides changed, leave what is here, for good.")
@click.option("--again", is_flag=True, help="Begin with the remote's first event, rather than after the last sync.")
@library_options
def sync(library: Library, where: str, choice: Choice | None, *, again: bool) -> Answer:
    """Follow what happens in a namespace of a remote.

    New versions come in, and labels, presets, descriptions, yanks, deprecations, deletions and aliases follow. What was
    changed on both sides is a conflict: it is listed, stays as it is here, and is listed again until --theirs or --ours
    decides. Versions that were made here, or that something here needs, are never deleted.
    """
    remote, slashes, namespace = where.partition("//")
    if not slashes:
        raise InvalidInputError(f"'{where[:100]}' has no namespace", f"write {remote[:60]}//NAMESPACE")
    check_name(remote, "remote")
    namespace = check_name(namespace.removesuffix("/"), "namespace")
    with library.open() as store, connected(library.settings, remote) as there, progress("Syncing") as bar:
        synced = follow(there, store, namespace, choice=choice, again=again, advance=bar.advance)
    return _answer(synced)


def _answer(synced: Synced) -> Answer:
    parts: list[Part] = [f"{reference} came in" for reference in synced.new]
    parts += [f"{what} was changed" for what in synced.changed]
    parts += [f"{alias} was moved" for alias in synced.aliases]
    parts += [f"{reference} was deleted" for reference in synced.deleted]
    parts += [f"{reference} was deleted there, and stays: {why}" for reference, why in synced.kept]
    parts += [f"conflict: {each.what} is {each.here} here, and {each.there} there" for each in synced.conflicts]
    if not parts:
        parts = ["nothing is new"]
    notes = ["type the same with --theirs or --ours to decide the conflicts"] if synced.conflicts else []
    code = EXIT_CODES[ConflictError] if synced.conflicts else 0
    return Answer(synced.to_json(), parts, notes, exit_code=code)
