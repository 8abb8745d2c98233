"""`steer namespace create|list|set` and `steer namespace member list|set|remove`."""

from __future__ import annotations

from operator import attrgetter, itemgetter

import click

from vectorstore.accounts import namespaces
from vectorstore.accounts.namespaces import VISIBILITIES, Namespace
from vectorstore.accounts.page import cut
from vectorstore.accounts.rights import ROLES
from vectorstore.errors import InvalidInputError

from .answer import Answer, Table
from .command import group, subcommand
from .library import Library, library_options
from .pages import going_on, page_options

_NO_LIMIT = "none"
_visibility = click.option("--visibility", type=click.Choice(VISIBILITIES), help="Who reads it besides its members.")


@group("namespace", example="steer namespace create acme --owner ada")
def namespace() -> None:
    """Make namespaces of a shared library, and say who may do what.

    Anybody reads what is public, every user what is internal, and members alone what is private.
    """


@subcommand(namespace, "create", example="steer namespace create acme --visibility internal --owner ada")
@click.argument("name", metavar="NAME")
@_visibility
@click.option("--owner", metavar="USER", help="Its first owner.")
@library_options
def create(library: Library, name: str, visibility: str | None, owner: str | None) -> Answer:
    """Make a namespace; a private one, if nothing else is said."""
    with library.look() as store:
        made = namespaces.add_namespace(store, name, visibility or "private", owner=owner)
    return Answer(made.to_json(), [f"{made.name} is {made.visibility}"])


@subcommand(namespace, "list", example="steer namespace list")
@page_options
@library_options
def list_namespaces(library: Library, limit: int, after: str | None) -> Answer:
    """List the namespaces, by name."""
    with library.look() as store:
        every = namespaces.list_namespaces(store, limit=limit + 1, after=after or "")
    found, cursor = cut(every, limit, attrgetter("name"))
    document = {"namespaces": [each.to_json() for each in found], "cursor": cursor}
    if not found:
        return Answer(document, notes=["there are no namespaces; make one: steer namespace create NAME"])
    columns = ("namespace", "visibility", "most bytes", "most versions")
    rows = [(each.name, each.visibility, _text(each.max_bytes), _text(each.max_versions)) for each in found]
    return Answer(document, [Table(columns, rows, right=columns[2:], whole=columns[:2])], going_on(cursor))


@subcommand(namespace, "set", example="steer namespace set acme --visibility public --max-versions 10000")
@click.argument("name", metavar="NAME")
@_visibility
@click.option("--max-bytes", metavar="N", help="The most bytes that it may hold, or none.")
@click.option("--max-versions", metavar="N", help="The most versions that it may hold, or none.")
@library_options
def set_namespace(
    library: Library, name: str, visibility: str | None, max_bytes: str | None, max_versions: str | None
) -> Answer:
    """Say who reads a namespace, and how much it may hold."""
    changes: dict[str, str | int | None] = {} if visibility is None else {"visibility": visibility}
    changes |= {
        quota: _number(quota, text)
        for quota, text in (("max_bytes", max_bytes), ("max_versions", max_versions))
        if text is not None
    }
    if not changes:
        raise InvalidInputError("nothing to set", "give --visibility, --max-bytes or --max-versions")
    with library.look() as store:
        changed = namespaces.set_namespace(store, name, changes)
    return Answer(changed.to_json(), [_described(changed)])


@group("member", example="steer namespace member set acme ada writer")
def member() -> None:
    """Say who may do what in a namespace.

    A reader reads; a writer saves; a maintainer yanks, deletes and approves; an owner says who may do what.
    """


namespace.add_command(member)


@subcommand(member, "list", example="steer namespace member list acme")
@click.argument("name", metavar="NAMESPACE")
@page_options
@library_options
def list_members(library: Library, name: str, limit: int, after: str | None) -> Answer:
    """List the members of a namespace, by name."""
    with library.look() as store:
        every = list(namespaces.members(store, name, limit=limit + 1, after=after or "").items())
    found, cursor = cut(every, limit, itemgetter(0))
    document = {"namespace": name, "members": dict(found), "cursor": cursor}
    if not found:
        return Answer(document, notes=[f"{name} has no members; add one: steer namespace member set {name} USER ROLE"])
    return Answer(document, [Table(("user", "role"), list(found))], going_on(cursor))


@subcommand(member, "set", example="steer namespace member set acme ada writer")
@click.argument("name", metavar="NAMESPACE")
@click.argument("user", metavar="USER")
@click.argument("role", metavar="ROLE", type=click.Choice(list(ROLES)))
@library_options
def set_member(library: Library, name: str, user: str, role: str) -> Answer:
    """Give a user a role in a namespace, instead of the one that they have."""
    with library.look() as store:
        namespaces.set_member(store, name, user, role)
    return Answer({"namespace": name, "user": user, "role": role}, [f"{user} is {role} of {name}"])


@subcommand(member, "remove", example="steer namespace member remove acme ada")
@click.argument("name", metavar="NAMESPACE")
@click.argument("user", metavar="USER")
@library_options
def remove_member(library: Library, name: str, user: str) -> Answer:
    """Take a user's role in a namespace away."""
    with library.look() as store:
        namespaces.remove_member(store, name, user)
    return Answer({"namespace": name, "user": user, "role": None}, [f"{user} is no member of {name}"])


def _number(quota: str, text: str) -> int | None:
    if text == _NO_LIMIT:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidInputError(f"{quota} cannot be '{text[:40]}'", f"give a number, or {_NO_LIMIT}")
    return int(text)


def _text(quota: int | None) -> str:
    return "" if quota is None else f"{quota:,}"


def _described(shown: Namespace) -> str:
    quotas = (("bytes", shown.max_bytes), ("versions", shown.max_versions))
    limits = [f"at most {limit:,} {what}" for what, limit in quotas if limit is not None]
    return ", ".join([f"{shown.name} is {shown.visibility}", *limits])
