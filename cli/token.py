"""`steer token create|list|revoke`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import attrgetter

import click

from vectorstore.accounts import tokens
from vectorstore.accounts.page import cut
from vectorstore.accounts.rights import Right
from vectorstore.accounts.tokens import Token
from vectorstore.errors import InvalidInputError

from .answer import Answer, Table
from .command import group, subcommand
from .library import Library, library_options
from .pages import going_on, page_options


@group("token", example="steer token create ada --name laptop --days 90")
def token() -> None:
    """Make what users of a shared library sign in with, or revoke it.

    A token narrows what its user may do, and never widens it. Only a hash of it is kept.
    """


@subcommand(token, "create", example="steer token create ada --name ci --scope read --namespace acme --days 90")
@click.argument("user", metavar="USER")
@click.option("--name", required=True, metavar="TEXT", help="What it is for.")
@click.option(
    "--scope",
    type=click.Choice([right.word for right in Right]),
    default=Right.WRITE.word,
    show_default=True,
    help="The most that it is good for.",
)
@click.option("--namespace", metavar="NAME", help="Good for this namespace alone.")
@click.option("--days", type=int, metavar="N", help="Good for so many days; otherwise until it is revoked.")
@library_options
def create(  # noqa: PLR0913, PLR0917 - each option narrows it
    library: Library, user: str, name: str, scope: str, namespace: str | None, days: int | None
) -> Answer:
    """Make a token, and print it: this once, and never again."""
    lifetime = None if days is None else _lifetime(days)
    with library.look() as store:
        text, made = tokens.make_token(store, user, name, Right.parse(scope), namespace=namespace, lifetime=lifetime)
    return Answer({**made.to_json(), "token": text}, [text], ["keep it now: it is not shown again"])


@subcommand(token, "list", example="steer token list ada")
@click.argument("user", metavar="[USER]", required=False)
@page_options
@library_options
def list_tokens(library: Library, user: str | None, limit: int, after: str | None) -> Answer:
    """List the tokens of a user, or of all, oldest first; never what they consist of."""
    with library.look() as store:
        found, cursor = cut(tokens.list_tokens(store, user, limit=limit + 1, after=after), limit, attrgetter("id"))
    document = {"tokens": [each.to_json() for each in found], "cursor": cursor}
    if not found:
        return Answer(document, notes=["there are no tokens"])
    columns = ("token", "user", "name", "scope", "namespace", "state", "last used")
    whole = ("token", "user", "scope", "state", "last used")
    return Answer(document, [Table(columns, [_row(each) for each in found], whole=whole)], going_on(cursor))


@subcommand(token, "revoke", example="steer token revoke 7RZKm2fQvT0a")
@click.argument("public", metavar="TOKEN")
@library_options
def revoke(library: Library, public: str) -> Answer:
    """Let a token be good for nothing, at once, and all that were made with it; TOKEN is its public part."""
    with library.look() as store:
        revoked = tokens.revoke_token(store, public)
    return Answer(revoked.to_json(), [f"the token {revoked.id} of {revoked.user} is revoked"])


def _lifetime(days: int) -> timedelta:
    if not 1 <= days <= tokens.MAX_AGE.days:
        raise InvalidInputError(f"a token for {days} days", f"1 to {tokens.MAX_AGE.days} days are possible")
    return timedelta(days=days)


def _row(shown: Token) -> tuple[str, ...]:
    used = f"{shown.last_used_at:%Y-%m-%d}" if shown.last_used_at else ""
    return (shown.id, shown.user, shown.name, shown.scope, shown.namespace or "", _state(shown), used)


def _state(shown: Token) -> str:
    if shown.revoked_at is not None:
        return "revoked"
    if shown.expires_at is None:
        return "good"
    return f"{'expired' if shown.expires_at <= datetime.now(UTC) else 'until'} {shown.expires_at:%Y-%m-%d}"
