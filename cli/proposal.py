"""`steer proposal list|show|approve|reject|withdraw`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, get_args

import click

from vectorstore.accounts.review import Proposal, State
from vectorstore.client.where import Where
from vectorstore.errors import NotFoundError
from vectorstore.settings import Settings

from .answer import Answer, Facts, Part, Table
from .command import group, subcommand
from .remotes import connected, where_argument

if TYPE_CHECKING:
    from vectorstore.client.reviews import Reviews

_number = click.argument("number", metavar="N", type=click.IntRange(1))


@group("proposal", example="steer proposal approve acme//team 3")
def proposal() -> None:
    """Decide the wishes to move a protected alias of a remote.

    `steer push --alias` makes one, where the alias needs approval (`steer protection set`).
    """


@subcommand(proposal, "list", example="steer proposal list acme//team")
@where_argument
@click.option("--state", type=click.Choice(get_args(State)), default="open", show_default=True, help="Only these.")
def list_proposals(where: Where, state: str) -> Answer:
    """List the proposals of a namespace, newest first."""
    with reviewing(where) as reviews:
        found = reviews.proposals(state)
    document = {"where": str(where), "proposals": [each.to_json() for each in found]}
    if not found:
        return Answer(document, notes=[f"there are no {'' if state == 'all' else f'{state} '}proposals"])
    columns = ("proposal", "alias", "to", "why", "who", "when", "state")
    table = Table(columns, [_row(each) for each in found], right=("proposal", "to"), whole=("alias", "when", "state"))
    return Answer(document, [table])


@subcommand(proposal, "show", example="steer proposal show acme//team 3")
@where_argument
@_number
def show(where: Where, number: int) -> Answer:
    """Show proposal N: what it would change, who wants it and why."""
    with reviewing(where) as reviews:
        found = reviews.proposal(number)
        now = _now(reviews, found)
    parts: list[Part] = [f"proposal {found.id} is {found.state}", Facts(_facts(found, now))]
    notes = [f"type: steer proposal approve {where} {number}, or reject"] if found.state == "open" else []
    return Answer({**found.to_json(), "where": str(where), "number_now": now}, parts, notes)


@subcommand(proposal, "approve", example="steer proposal approve acme//team 3")
@where_argument
@_number
def approve(where: Where, number: int) -> Answer:
    """Approve proposal N of somebody else; the alias moves at once."""
    return _decided(where, number, "approve")


@subcommand(proposal, "reject", example="steer proposal reject acme//team 3")
@where_argument
@_number
def reject(where: Where, number: int) -> Answer:
    """Reject proposal N; the alias stays where it is."""
    return _decided(where, number, "reject")


@subcommand(proposal, "withdraw", example="steer proposal withdraw acme//team 3")
@where_argument
@_number
def withdraw(where: Where, number: int) -> Answer:
    """Withdraw proposal N, which is your own."""
    return _decided(where, number, "withdraw")


@contextmanager
def reviewing(where: Where) -> Iterator[Reviews]:
    """Give what is reviewed in a namespace of a remote."""
    with connected(Settings.load(), where.remote) as there:
        from vectorstore.client.reviews import Reviews  # noqa: PLC0415 - httpx takes a while to import

        yield Reviews(there.connection, where.namespace)


def asked_note(remote: str, alias: str, number: int) -> str:
    """Return what is said where an alias, such as `team/love@prod`, waits for proposal `number`."""
    namespace = alias.partition("/")[0]
    return (
        f"{alias} is protected: proposal {number} asks for it, and somebody else approves: "
        f"steer proposal approve {remote}//{namespace} {number}"
    )


def _decided(where: Where, number: int, verb: str) -> Answer:
    with reviewing(where) as reviews:
        decided = reviews.decide(number, verb)
    lines = [f"proposal {decided.id} is {decided.state}"]
    if decided.state == "approved":
        named = f"{where}/{decided.name}@{decided.alias}"
        lines.append(f"{named} is gone" if decided.number is None else f"{named} is version {decided.number} now")
    return Answer({**decided.to_json(), "where": str(where)}, lines)


def _now(reviews: Reviews, found: Proposal) -> int | None:
    """Return the number of the version that the alias means now."""
    from vectorstore.client.library import Library  # noqa: PLC0415 - as above

    try:
        return Library(reviews.connection).resolve(f"{reviews.namespace}/{found.name}@{found.alias}").number
    except NotFoundError:
        return None


def _row(each: Proposal) -> tuple[str, ...]:
    to = "" if each.number is None else str(each.number)
    when = f"{each.proposed_at.astimezone():%Y-%m-%d %H:%M}"
    reason = each.reason or ("take it away" if each.number is None else "")
    return (str(each.id), f"{each.name}@{each.alias}", to, reason, each.proposed_by, when, each.state)


def _facts(found: Proposal, now: int | None) -> list[tuple[str, str]]:
    decided = "" if found.decided_at is None else f" on {found.decided_at.astimezone():%Y-%m-%d %H:%M}"
    return [
        ("alias", f"{found.name}@{found.alias}"),
        ("is", "not there" if now is None else f"version {now}"),
        ("would be", "gone" if found.number is None else f"version {found.number}"),
        ("why", found.reason),
        ("proposed", f"by {found.proposed_by} on {found.proposed_at.astimezone():%Y-%m-%d %H:%M}"),
        (found.state if decided else "", f"by {found.decided_by}{decided}" if decided else ""),
    ]
