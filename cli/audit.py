"""`steer audit`."""

from __future__ import annotations

import json

import click

from vectorstore.canonical import Json
from vectorstore.reference import DEFAULT_NAMESPACE, short_name
from vectorstore.store.feed import Event, feed

from .answer import Answer, Table
from .command import command
from .library import Library, library_options


@command("audit", example="steer audit acme --after 120 --json")
@click.argument("namespace", default=DEFAULT_NAMESPACE)
@click.option("--after", type=int, metavar="N", help="Those after event N; otherwise the last ones.")
@click.option("--limit", default=50, show_default=True, metavar="N", help="At most so many, up to 1000.")
@library_options
def audit(library: Library, namespace: str, after: int | None, limit: int) -> Answer:
    """List what was changed, when and by whom; oldest first.

    It shows one namespace: the default one, where NAMESPACE is left out; `steer audit system` tells of users and
    tokens. Each event's hash covers all before it; `steer fsck` follows the chain.
    """
    with library.look() as store:
        events = feed(store, namespace, after=after, limit=limit)
    document = {"events": [event.to_json() for event in events], "last": events[-1].seq if events else after}
    if not events:
        return Answer(document, notes=["there are no more events" if after else "there are no events"])
    columns = ("event", "when", "who", "token", "what", "of", "before", "after")
    whole = ("when", "token", "what", "of")
    return Answer(document, [Table(columns, [_row(event) for event in events], right=("event",), whole=whole)])


def _row(event: Event) -> tuple[str, ...]:
    when = f"{event.created_at:%Y-%m-%d %H:%M:%S}"
    of = short_name(event.subject)
    return (
        str(event.seq),
        when,
        event.actor,
        event.token or "",
        event.action,
        of,
        _text(event.before),
        _text(event.after),
    )


def _text(value: Json | None) -> str:
    """Return what was changed, with digests cut short."""
    if not value:
        return ""
    return ", ".join(f"{key} {str(part)[:19] if key == 'digest' else _plain(part)}" for key, part in value.items())


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
