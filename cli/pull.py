"""`steer pull`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from vectorstore.client.lock import pull_locked, read_lock
from vectorstore.client.pull import Pulled
from vectorstore.client.pull import pull as bring
from vectorstore.client.remote import read_remotes
from vectorstore.errors import InvalidInputError
from vectorstore.reference import Reference, parse_reference
from vectorstore.store import Store

from .answer import Answer
from .command import command
from .library import Library, library_options
from .oci import is_oci, plain_http_option, pull_oci, renumber_option
from .progress import Progress, progress
from .remotes import connected


@command(
    "pull",
    example="""steer pull acme//team/love@prod
    steer pull acme//team/love@2 --as amour --alias prod
    steer pull --locked steer.lock
    steer pull oci://registry.example.com/team/vectors:v1""",
)
@click.argument("references", metavar="[REF...]", nargs=-1)
@click.option(
    "--as",
    "name",
    metavar="NAME",
    help="What it shall be called here, with a number of its own; of oci:// its namespace.",
)
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="That it shall have here too. Repeatable.")
@click.option("--locked", metavar="FILE", help="All that a lock file lists and that is not here.")
@renumber_option
@plain_http_option
@library_options
def pull(  # noqa: PLR0913 - each is an option
    library: Library,
    references: tuple[str, ...],
    name: str | None,
    aliases: tuple[str, ...],
    locked: str | None,
    *,
    renumber: bool,
    plain_http: bool | None,
) -> Answer:
    """Bring versions of a remote in, with all that they need.

    They keep their names and numbers, and what they pin and their parents come along. Every byte is checked. Aliases of
    the remote are not set here unless --alias asks for it; one that means another version here stays.

    From oci://REGISTRY/REPOSITORY:TAG all comes that is there, from any OCI registry; see `steer push`.
    """
    if any(map(is_oci, references)):
        return pull_oci(library, references, namespace=name, aliases=aliases, renumber=renumber, plain_http=plain_http)
    if locked is not None:
        if references or name or aliases:
            raise InvalidInputError("--locked stands alone", "the file says what there is to pull")
        return _pull_locked(library, Path(locked))
    if plain_http is not None:
        raise InvalidInputError("--plain-http is for oci://", "the URL of a remote says how it is spoken to")
    wanted = _parsed(references, name)
    with library.open() as store, progress("Pulling") as bar:
        return _answer(_pull(library, store, wanted, bar, name=name, aliases=aliases, renumber=renumber))


def _parsed(references: Sequence[str], name: str | None) -> list[Reference]:
    parsed = [parse_reference(text).plain() for text in references]
    if not parsed:
        raise InvalidInputError("nothing is named", "write REMOTE//NAMESPACE/NAME, or --locked FILE")
    if name is not None and len(parsed) > 1:
        raise InvalidInputError(f"{len(parsed)} versions would all be {name}", "pull them one by one")
    for each in parsed:
        if each.remote is None:
            raise InvalidInputError(f"'{each}' is a name of this library", f"write REMOTE//{each}")
    return parsed


def _pull(library: Library, store: Store, references: Sequence[Reference], bar: Progress, **given: Any) -> Pulled:  # noqa: ANN401 - options
    whole = Pulled()
    for remote, some in groupby(sorted(references, key=lambda each: str(each.remote)), lambda each: str(each.remote)):
        with connected(library.settings, remote) as there:
            wanted = [there.resolve(each.version_text.removeprefix(f"{remote}//")) for each in some]
            whole += bring(there, store, wanted, advance=bar.advance, **given)
    return whole


def _pull_locked(library: Library, path: Path) -> Answer:
    lock = read_lock(path)
    remotes = read_remotes(library.settings.home)
    with library.open() as store, progress("Pulling") as bar:
        connect = partial(connected, library.settings)
        pulled = pull_locked(lock, store, remotes, connect, advance=bar.advance)
    return _answer(pulled)


def _answer(pulled: Pulled) -> Answer:
    wanted = [version.reference for version in pulled.versions]
    lines = [f"{reference} {'came in' if reference in pulled.new else 'is here'}" for reference in wanted]
    lines += [f"{reference} came in with it" for reference in pulled.new if reference not in wanted]
    lines += [f"{alias} was set" for alias in pulled.aliases]
    notes = [f"{alias} means another version here, and stays" for alias in pulled.kept]
    return Answer(pulled.to_json(), lines, notes)
