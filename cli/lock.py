"""`steer lock`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from vectorstore.client.lock import check_lock, make_lock, read_lock
from vectorstore.client.remote import read_remotes
from vectorstore.compose import pin
from vectorstore.errors import EXIT_CODES, InvalidInputError, NotFoundError
from vectorstore.store import Store

from .answer import Answer
from .command import command
from .library import Library, library_options
from .progress import progress

FILE = "steer.lock"
_NAMED = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]{0,127})\s*=(.*)", re.DOTALL)


@command(
    "lock",
    example="""steer lock mood='acme//team/love:strong + calm' --to steer.lock
    steer lock --check --to steer.lock""",
)
@click.argument("expressions", metavar="[NAME=]EXPRESSION...", nargs=-1)
@click.option("--to", "path", default=FILE, show_default=True, metavar="FILE", help="The lock file.")
@click.option("--check", is_flag=True, help="Check, offline, that all the file needs is here and undamaged.")
@library_options
def lock(library: Library, expressions: tuple[str, ...], path: str, *, check: bool) -> Answer:
    """Pin all that expressions need in a file.

    References mean what they mean now, and versions are listed with the digests of all their bytes and where they are
    to be had: `steer pull --locked FILE` brings them to another machine. An expression without a name is called by its
    text. In Python: compose(store, locked("steer.lock")["mood"]).
    """
    if check:
        if expressions:
            raise InvalidInputError(
                "--check takes no expressions", "the file says what it pins; name it with --to FILE"
            )
        with library.look() as store, progress("Checking"):
            return _check(store, path)
    named = _named(expressions)
    with library.look() as store, progress("Locking"):
        recipes = {name: pin(store, text) for name, text in named.items()}
        made = make_lock(store, recipes, read_remotes(library.settings.home))
    made.save(Path(path))
    nowhere = [each.reference for each in made.versions if each.remote is None]
    notes = [f"{each} is on no remote that is known: push it, or carry it in a bundle" for each in nowhere]
    return Answer(made.to_json() | {"path": path}, [f"{path} pins {_count(len(made.versions))}"], notes)


def _named(expressions: Sequence[str]) -> dict[str, str]:
    if not expressions:
        raise InvalidInputError("nothing is to be locked", "write NAME=EXPRESSION, or --check")
    named: dict[str, str] = {}
    for text in expressions:
        match = _NAMED.fullmatch(text)
        name, expression = (match[1], match[2].strip()) if match else (text, text)
        if name in named:
            raise InvalidInputError(f"there are two expressions '{name[:60]}'", "give each a name of its own")
        named[name] = expression
    return named


def _check(store: Store, path: str) -> Answer:
    found = read_lock(Path(path))
    missing = check_lock(found, store)
    document = {"path": path, "versions": len(found.versions), "missing": missing, "ok": not missing}
    if not missing:
        return Answer(document, [f"{path} is complete: {_count(len(found.versions))}"])
    lines = [f"{reference} is not here" for reference in missing]
    notes = [f"type: steer pull --locked {path}"]
    return Answer(document, lines, notes, exit_code=EXIT_CODES[NotFoundError])


def _count(versions: int) -> str:
    return f"{versions} version{'' if versions == 1 else 's'}"
