"""Webhooks: who is told of a namespace's events, one after another. The events themselves are the outbox.

An event is written in the transaction of its change, so none is lost and none is invented; `sent_seq` is the last one
that the other side took. Whoever sends holds a lease, so that of several processes one does. A webhook rests on the
rights of who made it, or switched it on last: once they could not make it any more, it is switched off.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from vectorstore.accounts.actions import check_action
from vectorstore.accounts.caller import Caller
from vectorstore.accounts.rights import ROLES, Right
from vectorstore.canonical import Json
from vectorstore.errors import ConflictError, InvalidInputError, NotFoundError
from vectorstore.store import Store, events
from vectorstore.store.feed import Event
from vectorstore.store.schema import EventRow, NamespaceRow
from vectorstore.store.team_schema import MembershipRow, UserRow, WebhookRow

MAX_WEBHOOKS = 20  # of a namespace
MAX_ATTEMPTS = 12  # over about six hours; then the webhook is switched off
LEASE = timedelta(minutes=2)
_LOOKED_THROUGH = 500  # events at a time that nobody wants to hear of
_LONGEST = timedelta(hours=1)


@dataclass(frozen=True)
class Webhook:
    """Who is told, and of what.

    Attributes:
        id: its number.
        url: where to.
        actions: of these alone, such as `alias.set`; of all where there are none.
        created_at: since when.
        sent_seq: the last event that was taken, or passed over.
        attempts: how often the next one was tried.
        disabled: whether it was switched off: nobody took the next one, or its maker lost the right to have it.
        last_error: what went wrong last.
        made_by: the user on whose rights it rests; None where the library itself was at hand.
    """

    id: int
    url: str
    actions: tuple[str, ...]
    created_at: datetime
    sent_seq: int
    attempts: int
    disabled: bool
    last_error: str
    made_by: str | None

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {**vars(self), "actions": list(self.actions), "created_at": self.created_at.isoformat()}


@dataclass(frozen=True)
class Delivery:
    """An event that is to be sent.

    Attributes:
        webhook: its number.
        url, secret: where to, and what it is signed with.
        namespace: whose event it is.
        event: the event.
    """

    webhook: int
    url: str
    secret: str = field(repr=False)
    namespace: str
    event: Event


def add_webhook(
    store: Store, namespace_id: int, url: str, actions: Sequence[str] = (), *, by: Caller | None = None
) -> tuple[str, Webhook]:
    """Tell `url` of what happens from now on; return the secret that all is signed with, and what is known of it.

    Args:
        store: the library.
        namespace_id: whose events.
        url: where to.
        actions: of these alone; of all where there are none.
        by: who makes it, over the network: on their rights it rests.

    Raises:
        ConflictError: when the namespace has too many.
        InvalidInputError: for what is no URL of the web, or no action.
    """
    _check(url, actions)
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
    with store.database.write() as session:
        whose = select(NamespaceRow).where(NamespaceRow.id == namespace_id)
        namespace = session.scalars(whose.with_for_update(key_share=True)).one()
        mine = select(WebhookRow.id).where(WebhookRow.namespace_id == namespace_id)
        if len(session.scalars(mine).all()) >= MAX_WEBHOOKS:
            raise ConflictError(f"{namespace.name} has {MAX_WEBHOOKS} webhooks", "remove some")
        row = WebhookRow(
            namespace_id=namespace_id,
            url=url,
            secret=secret,
            actions=" ".join(actions),
            created_at=datetime.now(UTC),
            sent_seq=namespace.event_seq + 1,  # past the event that tells of this
            attempts=0,
            next_at=datetime.now(UTC),
            last_error="",
            made_by=None if by is None else by.user_id,
        )
        session.add(row)
        session.flush()
        after = {"webhook": row.id, "actions": list(actions)}  # not where to: URLs of webhooks are often secrets
        events.record(session, namespace_id, "webhook.add", namespace.name, after=after)
        return secret, _webhook(row, None if by is None else by.name)


def list_webhooks(store: Store, namespace_id: int) -> Sequence[Webhook]:
    """Return the webhooks of a namespace; never their secrets."""
    mine = select(WebhookRow, UserRow.name).outerjoin(UserRow, UserRow.id == WebhookRow.made_by)
    with store.database.read() as session:
        rows = session.execute(mine.where(WebhookRow.namespace_id == namespace_id).order_by(WebhookRow.id))
        return [_webhook(row, maker) for row, maker in rows]


def remove_webhook(store: Store, namespace_id: int, webhook: int) -> None:
    """Tell nobody there any more.

    Raises:
        NotFoundError: when there is no such webhook.
    """
    with store.database.write() as session:
        _find(session, namespace_id, webhook)
        before, namespace = {"webhook": webhook}, session.get_one(NamespaceRow, namespace_id)
        session.execute(delete(WebhookRow).where(WebhookRow.id == webhook))
        events.record(session, namespace_id, "webhook.remove", namespace.name, before=before)


def enable_webhook(store: Store, namespace_id: int, webhook: int, *, by: Caller | None = None) -> Webhook:
    """Try again what was switched off, from where it was; from now on it rests on the rights of `by`.

    Raises:
        NotFoundError: when there is no such webhook.
    """
    with store.database.write() as session:
        row = _find(session, namespace_id, webhook)
        row.disabled_at, row.attempts, row.next_at = None, 0, datetime.now(UTC)
        row.made_by, name = (None, None) if by is None else (by.user_id, by.name)
        return _webhook(row, name)


def take(store: Store) -> Delivery | None:
    """Return the next event that is to be sent, and hold its webhook meanwhile; None where there is none."""
    now = datetime.now(UTC)
    due = (
        select(WebhookRow)
        .join(NamespaceRow, NamespaceRow.id == WebhookRow.namespace_id)
        .where(WebhookRow.disabled_at.is_(None), WebhookRow.next_at <= now)
        .where(or_(WebhookRow.leased_until.is_(None), WebhookRow.leased_until < now))
        .where(WebhookRow.sent_seq < NamespaceRow.event_seq)
        .order_by(WebhookRow.next_at)
        .limit(1)
    )
    with store.database.read() as session:
        if session.scalar(due.with_only_columns(WebhookRow.id)) is None:
            return None
    with store.database.write() as session:
        row = session.scalar(due.with_for_update(skip_locked=True, of=WebhookRow))
        if row is None:
            return None
        namespace = session.get_one(NamespaceRow, row.namespace_id).name
        if (lost := _lost(session, row)) is not None:
            _switch_off(session, row, namespace, lost)
            return None
        event = _next(session, row)
        if event is None:
            return None
        row.leased_until = now + LEASE
        return Delivery(row.id, row.url, row.secret, namespace, event)


def settle(store: Store, delivery: Delivery, error: str | None) -> None:
    """Note that an event was taken, or what went wrong; then it is tried again later, and at last no more."""
    with store.database.write() as session:
        mine = select(WebhookRow).where(WebhookRow.id == delivery.webhook).with_for_update()
        row, now = session.scalar(mine), datetime.now(UTC)
        if row is None or row.sent_seq >= delivery.event.seq:  # removed meanwhile, or sent by another after our lease
            return
        row.leased_until = None
        if error is None:
            row.sent_seq, row.attempts, row.next_at, row.last_error = delivery.event.seq, 0, now, ""
            return
        row.attempts += 1
        row.last_error = error[:500]
        row.next_at = now + min(timedelta(seconds=5 * 2**row.attempts), _LONGEST)
        if row.attempts >= MAX_ATTEMPTS:
            _switch_off(session, row, delivery.namespace, f"it failed {row.attempts} times")


def _lost(session: Session, row: WebhookRow) -> str | None:
    """Return why the maker of a webhook could not make it any more; None where they could."""
    if row.made_by is None:
        return None
    member = (MembershipRow.user_id == UserRow.id) & (MembershipRow.namespace_id == row.namespace_id)
    mine = select(UserRow.name, UserRow.admin, UserRow.disabled_at, MembershipRow.role).outerjoin(MembershipRow, member)
    maker = session.execute(mine.where(UserRow.id == row.made_by)).one()
    if maker.disabled_at is not None:
        return f"{maker.name}, who made it, is shut out"
    if maker.admin or (maker.role is not None and ROLES[maker.role] >= Right.MAINTAIN):
        return None
    return f"{maker.name}, who made it, is no maintainer any more"


def _switch_off(session: Session, row: WebhookRow, namespace: str, reason: str) -> None:
    """Send nothing there any more, and say so where maintainers look."""
    row.disabled_at = datetime.now(UTC)
    row.last_error = row.last_error if row.attempts else reason
    after = {"webhook": row.id, "reason": reason}
    events.record(session, row.namespace_id, "webhook.disable", namespace, after=after)


def _next(session: Session, row: WebhookRow) -> Event | None:
    """Return the next event that is wanted; what is not wanted before it is passed over."""
    wanted = set(row.actions.split())
    mine = select(EventRow).where(EventRow.namespace_id == row.namespace_id, EventRow.seq > row.sent_seq)
    for event in session.scalars(mine.order_by(EventRow.seq).limit(_LOOKED_THROUGH)):
        if not wanted or event.action in wanted:
            return Event(**{name: getattr(event, name) for name in Event.__dataclass_fields__})
        row.sent_seq = event.seq
    return None


def _find(session: Session, namespace_id: int, webhook: int) -> WebhookRow:
    mine = select(WebhookRow).where(WebhookRow.id == webhook, WebhookRow.namespace_id == namespace_id)
    row = session.scalar(mine.with_for_update())
    if row is None:
        raise NotFoundError(f"there is no webhook {webhook}", "see the webhooks of the namespace")
    return row


def _check(url: str, actions: Sequence[str]) -> None:
    if not url.startswith(("https://", "http://")) or not url.isascii() or any(char <= " " for char in url):
        raise InvalidInputError(f"'{url[:60]}' is no URL of the web", "write https://…")
    for action in actions:
        check_action(action)


def _webhook(row: WebhookRow, maker: str | None) -> Webhook:
    names = ("id", "url", "created_at", "sent_seq", "attempts", "last_error")
    actions, disabled = tuple(row.actions.split()), row.disabled_at is not None
    return Webhook(**{name: getattr(row, name) for name in names}, actions=actions, disabled=disabled, made_by=maker)
