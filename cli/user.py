"""`steer user add|list|disable|enable|admin`."""

from __future__ import annotations

from operator import attrgetter

import click

from vectorstore.accounts import users
from vectorstore.accounts.page import cut
from vectorstore.accounts.users import User

from .answer import Answer, Table
from .command import group, subcommand
from .library import Library, library_options
from .pages import going_on, page_options


@group("user", example="steer user add ada")
def user() -> None:
    """Add users of a library that a service shares, or shut them out.

    These commands work on the library itself: whoever can write its database may do all of this.
    """


@subcommand(user, "add", example="steer user add ada")
@click.argument("name", metavar="NAME")
@click.option("--admin", is_flag=True, help="They may do everything everywhere.")
@library_options
def add(library: Library, name: str, admin: bool) -> Answer:  # noqa: FBT001 - a flag
    """Add a user.

    `steer token create` makes what they sign in with, and `steer namespace member set` lets them work somewhere.
    """
    with library.look() as store:
        added = users.add_user(store, name, admin=admin)
    return Answer(added.to_json(), [f"{name} is {_state(added)}"])


@subcommand(user, "list", example="steer user list")
@page_options
@library_options
def list_users(library: Library, limit: int, after: str | None) -> Answer:
    """List the users, by name."""
    with library.look() as store:
        found, cursor = cut(users.list_users(store, limit=limit + 1, after=after or ""), limit, attrgetter("name"))
    document = {"users": [each.to_json() for each in found], "cursor": cursor}
    if not found:
        return Answer(document, notes=["there are no users; add one: steer user add NAME"])
    rows = [(each.name, _state(each), f"{each.created_at:%Y-%m-%d}") for each in found]
    return Answer(document, [Table(("user", "is", "since"), rows, whole=("user", "since"))], going_on(cursor))


@subcommand(user, "disable", example="steer user disable ada")
@click.argument("name", metavar="NAME")
@library_options
def disable(library: Library, name: str) -> Answer:
    """Shut a user out, with all their tokens, at once."""
    with library.look() as store:
        changed = users.set_disabled(store, name, disabled=True)
    return Answer(changed.to_json(), [f"{name} is {_state(changed)}"])


@subcommand(user, "enable", example="steer user enable ada")
@click.argument("name", metavar="NAME")
@library_options
def enable(library: Library, name: str) -> Answer:
    """Let a user in again; their tokens are good again."""
    with library.look() as store:
        changed = users.set_disabled(store, name, disabled=False)
    return Answer(changed.to_json(), [f"{name} is {_state(changed)}"])


@subcommand(user, "admin", example="steer user admin ada")
@click.argument("name", metavar="NAME")
@click.option("--undo", is_flag=True, help="They are one no longer.")
@library_options
def admin_user(library: Library, name: str, undo: bool) -> Answer:  # noqa: FBT001 - a flag
    """Make a user an administrator, who may do everything everywhere."""
    with library.look() as store:
        changed = users.set_admin(store, name, admin=not undo)
    return Answer(changed.to_json(), [f"{name} is {_state(changed)}"])


def _state(shown: User) -> str:
    words = "an administrator" if shown.admin else "a user"
    return f"{words}, shut out" if shown.disabled else words
