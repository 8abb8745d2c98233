"""`steer webhook add|list|enable|remove`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from vectorstore.accounts.webhooks import Webhook
from vectorstore.client.where import Where
from vectorstore.settings import Settings

from .answer import Answer, Table
from .command import group, subcommand
from .remotes import connected, where_argument

if TYPE_CHECKING:
    from vectorstore.client.webhooks import Webhooks

_number = click.argument("number", metavar="N", type=click.IntRange(1))


@group("webhook", example="steer webhook add acme//team https://ci.example/hook --action alias.set")
def webhook() -> None:
    """Have a URL told of what happens in a namespace of a remote.

    Events come in order, signed as Standard Webhooks (standardwebhooks.com) say.
    """


@subcommand(
    webhook,
    "add",
    example="""steer webhook add acme//team https://ci.example/hook
    steer webhook add acme//team https://ci.example/hook --action alias.set --action version.yank""",
)
@where_argument
@click.argument("url", metavar="URL")
@click.option("--action", "actions", multiple=True, metavar="NAME", help="Of these alone: alias.set. Repeatable.")
def add(where: Where, url: str, actions: tuple[str, ...]) -> Answer:
    """Tell URL of what happens from now on, and print the secret that it is signed with: this once, and never again."""
    with _webhooks(where) as there:
        secret, made = there.add(url, actions)
    document = {"where": str(where), **made.to_json(), "secret": secret}
    return Answer(document, [secret], [f"it is webhook {made.id}; keep the secret now: it is not shown again"])


@subcommand(webhook, "list", example="steer webhook list acme//team")
@where_argument
def list_webhooks(where: Where) -> Answer:
    """List the webhooks of a namespace, and what went wrong with each last."""
    with _webhooks(where) as there:
        found = there.list()
    document = {"where": str(where), "webhooks": [each.to_json() for each in found]}
    if not found:
        return Answer(document, notes=[f"there are no webhooks; add one: steer webhook add {where} URL"])
    columns = ("webhook", "url", "actions", "state", "told of", "of", "failed with")
    rows = [_row(each) for each in found]
    table = Table(columns, rows, right=("webhook", "told of"), whole=("state",))
    off = [each for each in found if each.disabled]
    return Answer(document, [table], [f"switched off: steer webhook enable {where} {each.id}" for each in off])


@subcommand(webhook, "enable", example="steer webhook enable acme//team 2")
@where_argument
@_number
def enable(where: Where, number: int) -> Answer:
    """Switch webhook N on again; it goes on with the event that was not taken, on your rights."""
    with _webhooks(where) as there:
        enabled = there.enable(number)
    return Answer({"where": str(where), **enabled.to_json()}, [f"webhook {number} is {_state(enabled)}"])


@subcommand(webhook, "remove", example="steer webhook remove acme//team 2")
@where_argument
@_number
def remove(where: Where, number: int) -> Answer:
    """Tell nobody there any more."""
    with _webhooks(where) as there:
        there.remove(number)
    return Answer({"where": str(where), "id": number}, [f"webhook {number} is removed"])


@contextmanager
def _webhooks(where: Where) -> Iterator[Webhooks]:
    with connected(Settings.load(), where.remote) as there:
        from vectorstore.client.webhooks import Webhooks  # noqa: PLC0415 - httpx takes a while to import

        yield Webhooks(there.connection, where.namespace)


def _row(each: Webhook) -> tuple[str, ...]:
    actions = ", ".join(each.actions) or "all"
    return (str(each.id), each.url, actions, _state(each), str(each.sent_seq), each.made_by or "", each.last_error)


def _state(each: Webhook) -> str:
    if each.disabled:
        return "off"
    return f"failed {each.attempts} times" if each.attempts else "on"
