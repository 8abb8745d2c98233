"""`steer protection list|set|remove`."""

from __future__ import annotations

import click

from vectorstore.client.where import Where

from .answer import Answer, Table
from .command import group, subcommand
from .proposal import reviewing
from .remotes import where_argument

_alias = click.argument("alias", metavar="ALIAS")
_MAINTAINERS, _APPROVED = "only maintainers move it", "any writer asks, and a maintainer who is somebody else approves"


@group("protection", example="steer protection set acme//team prod --needs-approval")
def protection() -> None:
    """Let only maintainers of a remote move an alias, such as prod.

    An alias is protected for every name of the namespace.
    """


@subcommand(protection, "list", example="steer protection list acme//team")
@where_argument
def list_protections(where: Where) -> Answer:
    """List the protected aliases of a namespace."""
    with reviewing(where) as reviews:
        found = reviews.protections()
    document = {"where": str(where), "protections": [each.to_json() for each in found]}
    if not found:
        return Answer(document, notes=[f"no alias is protected; type: steer protection set {where} ALIAS"])
    rows = [(f"@{each.alias}", _said(needs_approval=each.needs_approval)) for each in found]
    return Answer(document, [Table(("alias", "moves"), rows, whole=("alias",))])


@subcommand(
    protection,
    "set",
    example="""steer protection set acme//team prod
    steer protection set acme//team prod --needs-approval""",
)
@where_argument
@_alias
@click.option("--needs-approval", is_flag=True, help="Each move waits for a maintainer who is somebody else.")
def set_protection(where: Where, alias: str, *, needs_approval: bool) -> Answer:
    """Let only maintainers move ALIAS, of every name in the namespace.

    With --needs-approval any writer may ask for a move (`steer push --alias`), and `steer proposal` decides. Only
    owners take that away again.
    """
    with reviewing(where) as reviews:
        made = reviews.protect(alias, needs_approval=needs_approval)
    line = f"@{made.alias} is protected in {where}: {_said(needs_approval=made.needs_approval)}"
    return Answer({"where": str(where), **made.to_json()}, [line])


@subcommand(protection, "remove", example="steer protection remove acme//team prod")
@where_argument
@_alias
def remove_protection(where: Where, alias: str) -> Answer:
    """Let every writer move ALIAS again."""
    with reviewing(where) as reviews:
        reviews.unprotect(alias)
    return Answer({"where": str(where), "alias": alias}, [f"@{alias} is no longer protected in {where}"])


def _said(*, needs_approval: bool) -> str:
    return _APPROVED if needs_approval else _MAINTAINERS
