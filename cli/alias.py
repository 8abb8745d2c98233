"""`steer alias set|remove`."""

from __future__ import annotations

import click

from .answer import Answer
from .command import group, subcommand
from .library import Library, library_options


@group("alias", example="steer alias set weddings@2 prod")
def alias() -> None:
    """Set or remove aliases of versions, such as love@prod.

    An alias belongs to a name, and means one of its versions; it moves when it is set again.
    """


@subcommand(alias, "set", example="steer alias set weddings@2 prod")
@click.argument("reference", metavar="REF")
@click.argument("name", metavar="ALIAS")
@library_options
def set_alias(library: Library, reference: str, name: str) -> Answer:
    """Let ALIAS mean the version REF; it moves there if it meant another."""
    with library.look() as store:
        version = store.set_alias(reference, name)
    return Answer(version.to_json(), [f"@{name} is {version.reference}"])


@subcommand(alias, "remove", example="steer alias remove weddings prod")
@click.argument("reference", metavar="NAME")
@click.argument("name", metavar="ALIAS")
@library_options
def remove_alias(library: Library, reference: str, name: str) -> Answer:
    """Remove ALIAS from NAME, whatever version it means."""
    with library.look() as store:
        version = store.remove_alias(reference, name)
    return Answer(version.to_json(), [f"@{name} no longer means {version.reference}"])
