"""News: what the events of a remote's namespace are about, once their chain was checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from vectorstore.canonical import Json
from vectorstore.client.cursor import Cursor
from vectorstore.client.things import DEPRECATION, DESCRIPTION, YANK, Thing, Value
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.fields import Fields
from vectorstore.preset import Preset
from vectorstore.reference import Reference, check_name, parse_reference
from vectorstore.store.events import chained
from vectorstore.store.schema import EventRow

Values = list[Value | None]
_AGAIN = "the remote's history is another one than before; to follow it from its beginning, type: steer sync --again"
_ALIASES = ("alias.set", "alias.remove")
_THINGS = {
    "version.yank": YANK,
    "version.restore": YANK,
    "version.deprecate": DEPRECATION,
    "version.undeprecate": DEPRECATION,
    "description.set": DESCRIPTION,
}
_NAMED = ("label.set", "label.remove", "preset.set", "preset.remove")
_FOLLOWED = ("version.save", "version.delete", *_ALIASES, *_THINGS, *_NAMED)


@dataclass
class News:
    """What events are about: not what they did, since what counts is how things are now.

    Attributes:
        saved: versions, as `team/love@2`, in order.
        deleted: versions that were deleted, with their digests.
        things: what was said anew of versions, with the values that each thing had.
        aliases: by `team/love` and alias, the numbers of the versions that it meant, None for none.
        cursor: the last event.
    """

    cursor: Cursor
    saved: dict[str, None] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    things: dict[str, dict[Thing, Values]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], list[int | None]] = field(default_factory=dict)

    @property
    def versions(self) -> list[str]:
        """All versions that are named."""
        moved = [f"{name}@{number}" for (name, _), numbers in self.aliases.items() for number in numbers if number]
        return list(dict.fromkeys([*self.saved, *self.things, *moved]))


def read_news(events: Iterable[Json], namespace: str, cursor: Cursor) -> News:
    """Read events, those after `cursor`.

    Raises:
        IntegrityError: when one is missing or was altered, or they do not follow what was read before.
    """
    news = News(cursor)
    for value in events:
        event = _event(value)
        expected = news.cursor.seq + 1
        if event.seq != expected or chained(event, news.cursor.hash) != event.hash:
            raise IntegrityError(f"event {expected} of {namespace} is missing, or was altered", _AGAIN)
        news.cursor = Cursor(event.seq, event.hash)
        try:
            _take(news, namespace, event)
        except InvalidInputError as error:
            raise IntegrityError(f"event {event.seq} of {namespace} is wrong: {error.problem}", _AGAIN) from error
    return news


def _event(value: Json) -> EventRow:
    fields = Fields(value, "an event")
    try:
        created_at = datetime.fromisoformat(fields.text("created_at"))
    except ValueError as error:
        raise IntegrityError("an event has no time", _AGAIN) from error
    texts = {name: fields.text(name) for name in ("actor", "action", "subject", "hash")}
    parts = {name: fields.maybe(name, dict) for name in ("before", "after")}
    return EventRow(
        seq=fields.integer("seq"), created_at=created_at, token=fields.maybe("token", str), **texts, **parts
    )


def _take(news: News, namespace: str, event: EventRow) -> None:
    """Note what an event is about; those of members, reviews and the like are nothing that could be followed."""
    if event.action not in _FOLLOWED:
        return
    named, subject = event.subject, _subject(namespace, event.subject)
    sides = event.before, event.after
    if event.action == "version.save":
        news.saved[named] = None
    elif event.action == "version.delete":
        _forget(news, named, subject, Fields(event.before, "what an event deleted"))
    elif event.action in _ALIASES:
        _move(news, subject, event)
    elif (thing := _THINGS.get(event.action)) is not None:
        _note(news, named, thing, [_text(part, thing[0]) for part in sides])
    else:
        sort = event.action.partition(".")[0]
        for key in {**(event.before or {}), **(event.after or {})}:
            _note(news, named, (sort, key), [_value(sort, part, key) for part in sides])


def _subject(namespace: str, text: str) -> Reference:
    reference = parse_reference(text)
    if reference.version is None or reference.namespace != namespace or str(reference.version_text) not in text:
        raise InvalidInputError(f"'{text[:80]}' is no version of {namespace}")
    return reference


def _forget(news: News, named: str, subject: Reference, before: Fields) -> None:
    news.saved.pop(named, None)
    news.things.pop(named, None)
    news.deleted[named] = before.text("digest")
    for alias in before.sequence("aliases", str):  # it took them with it
        numbers = news.aliases.setdefault((f"{subject.namespace}/{subject.name}", check_name(alias, "alias")), [])
        numbers += [subject.version, None]


def _move(news: News, subject: Reference, event: EventRow) -> None:
    parts = [Fields(part, "an alias") for part in (event.before, event.after) if part is not None]
    alias = check_name(parts[0].text("alias"), "alias") if parts else ""
    numbers = news.aliases.setdefault((f"{subject.namespace}/{subject.name}", check_name(alias, "alias")), [])
    numbers += [None if part is None else part.get("version") for part in (event.before, event.after)]


def _note(news: News, named: str, thing: Thing, values: Values) -> None:
    news.things.setdefault(named, {}).setdefault(thing, []).extend(values)


def _value(sort: str, part: Json | None, key: str) -> Value | None:
    value = None if part is None else part.get(key)
    if value is None or sort == "label":
        return _text(part, key)
    return Preset.from_json(value)


def _text(part: Json | None, key: str) -> str | None:
    value = None if part is None else part.get(key)
    return value if isinstance(value, str) and value else None
