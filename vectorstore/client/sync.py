"""Sync: a namespace of a remote is followed by its events; what was changed on both sides is reported, not overwritten.

The events say what may be different, and the remote how it is now. So whatever was followed halfway before, or twice,
the end is the same. Where a thing is neither as it is there nor as it was there at any time since the last sync, it was
changed here too: a conflict. While there are conflicts, the cursor stays, so that they are found again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from vectorstore.client import sightings
from vectorstore.client.cursor import Cursor, alone, read_cursor, write_cursor
from vectorstore.client.library import Library
from vectorstore.client.news import News, read_news
from vectorstore.client.pull import pull
from vectorstore.client.synced import Conflict, Synced
from vectorstore.client.there import There
from vectorstore.client.things import YANK, Thing, Value, change_of, said_of
from vectorstore.errors import ConflictError, NotAllowedError, NotFoundError, VectorstoreError
from vectorstore.reference import check_name, short_name
from vectorstore.store import Store
from vectorstore.store.version import Version

Choice = Literal["theirs", "ours"]
Advance = Callable[[int, int], None]
"""(how many versions were looked at, of how many)."""


def sync(  # noqa: PLR0913 - whence, whereto, and how
    library: Library,
    store: Store,
    namespace: str,
    *,
    choice: Choice | None = None,
    again: bool = False,
    advance: Advance | None = None,
) -> Synced:
    """Follow a namespace of a remote into the one of the same name.

    Args:
        library: the remote's.
        store: the library that follows.
        namespace: which.
        choice: what becomes of things that were changed on both sides.
        again: begin with the first event.
        advance: is told how far it is.

    Raises:
        IntegrityError: when the remote's events are not a continuation of those that were followed before.
        ConflictError: when another program does the same at the moment.
        VectorstoreError: as the remote says.
    """
    check_name(namespace, "namespace")
    with alone(store, library.remote, namespace):
        cursor = Cursor() if again else read_cursor(store, library.remote, namespace)
        news = read_news(library.events(namespace, cursor.seq), namespace, cursor)
        following = _Following(library, store, news, choice, advance or (lambda _done, _total: None))
        synced = following.run()
        if not synced.conflicts and news.cursor != cursor:
            write_cursor(store, library.remote, namespace, news.cursor)
        synced.seq = cursor.seq if synced.conflicts else news.cursor.seq
        return synced


class _Following:
    """One sync, between the events that were read and the cursor that is written."""

    def __init__(self, library: Library, store: Store, news: News, choice: Choice | None, advance: Advance) -> None:
        self.library, self.store, self.news, self.choice, self.advance = library, store, news, choice, advance
        self.synced = Synced()
        self.there: dict[str, There] = {}

    def run(self) -> Synced:
        self._look()
        for done, named in enumerate(self.news.saved, 1):
            if named in self.there:
                self._version(self.there[named])
            self.advance(done, len(self.news.saved))
        for named, things in self.news.things.items():
            if named in self.there:
                self._things(self.there[named], things)
        self._aliases()
        self._deletions()
        return self.synced

    def _look(self) -> None:
        """Ask how everything is now that the events name; what is there no more was deleted since."""
        named = [each for each in self.news.versions if each not in self.news.deleted]
        for each, answer in zip(named, self.library.resolve_all(named), strict=True):
            if isinstance(answer, There):
                self.there[each] = answer
            elif not isinstance(answer, NotFoundError):
                raise answer

    def _version(self, there: There) -> None:
        """Bring a version in, unless it is here under its name."""
        if self._here(there.full_name, there.digest) is not None:
            return
        try:
            pulled = pull(self.library, self.store, [there], renumber=self.choice == "theirs")
        except (ConflictError, NotFoundError, NotAllowedError) as error:
            self._conflict(str(there), "is not here", error.problem)
            return
        self.synced.new += pulled.new

    def _things(self, there: There, things: dict[Thing, list[Value | None]]) -> None:
        version = self._here(there.full_name, there.digest)
        if version is None:
            return
        mine, theirs = said_of(version), said_of(there)
        wanted: dict[Thing, Value | None] = {}
        for thing, values in things.items():
            here, now = mine.get(thing), theirs.get(thing)
            if here == now or (thing == YANK and None not in (here, now)):
                continue
            if here in values or thing == YANK or self.choice == "theirs":
                wanted[thing] = now
            else:
                self._conflict(f"{version.reference} {_words(thing)}", _shown(here), _shown(now))
        if wanted:
            self.store.change(str(version), *(change_of(thing, value) for thing, value in wanted.items()))
            self.synced.changed += [f"{version.reference} {_words(thing)}" for thing in wanted]

    def _aliases(self) -> None:
        named = [f"{name}@{alias}" for name, alias in self.news.aliases]
        for full, answer in zip(named, self.library.resolve_all(named), strict=True):
            if isinstance(answer, VectorstoreError) and not isinstance(answer, NotFoundError):
                raise answer
            self._alias(full, answer if isinstance(answer, There) else None)

    def _alias(self, full: str, there: There | None) -> None:
        """Let an alias mean here what it means there, if it means here what it ever meant there."""
        name, _, alias = full.partition("@")
        present, now = self._resolved(full), there.digest if there else None
        here = present.digest if present else None
        if here == now:
            return
        if here not in self._meant(name, alias) and self.choice != "theirs":
            self._conflict(short_name(full), _place(present), _place(there))
            return
        target = None if there is None else self._here(there.full_name, there.digest)
        if target is not None:
            self.store.set_alias(str(target), alias)
        elif there is not None:
            self._conflict(short_name(full), _place(present), f"{there}, which is not here")
            return
        elif present is not None:
            self.store.remove_alias(name, alias)
        self.synced.aliases.append(short_name(full))

    def _meant(self, name: str, alias: str) -> set[str | None]:
        """Return the digests of what an alias meant since the last sync; None where it meant nothing."""
        meant: set[str | None] = set()
        for number in self.news.aliases[name, alias]:
            named = f"{name}@{number}"
            if number is None:
                meant.add(None)
            elif named in self.there:
                meant.add(self.there[named].digest)
            elif named in self.news.deleted:
                meant.add(self.news.deleted[named])
        return meant

    def _deletions(self) -> None:
        """Delete what was deleted there, if it came from there and nothing here needs it."""
        present = {(each.full_name, each.digest) for each in self.there.values()}
        waiting: dict[str, Version] = {}
        for named, digest in self.news.deleted.items():
            name = named.partition("@")[0]
            version = self._here(name, digest)
            if version is None or (name, digest) in present:
                continue
            if sightings.find(self.store, self.library.remote, f"{name}@{digest}") is None:
                self.synced.kept.append((version.reference, "it was made here"))
            elif version.aliases:
                self.synced.kept.append((version.reference, f"it is @{', @'.join(version.aliases)} here"))
            else:
                waiting[named] = version
        self._delete(waiting)

    def _delete(self, waiting: dict[str, Version]) -> None:
        """Delete versions, what needs others before these."""
        reasons: dict[str, str] = {}
        while waiting:
            before = len(waiting)
            for named, version in list(waiting.items()):
                try:
                    self.store.delete(str(version), f"deleted at {self.library.remote.name}")
                except ConflictError as error:
                    reasons[named] = error.problem
                    continue
                sightings.forget(self.store, self.library.remote, f"{version.full_name}@{version.digest}")
                self.synced.deleted.append(waiting.pop(named).reference)
            if len(waiting) == before:
                self.synced.kept += [(version.reference, reasons[named]) for named, version in waiting.items()]
                return

    def _conflict(self, what: str, here: str, there: str) -> None:
        if self.choice != "ours":
            self.synced.conflicts.append(Conflict(what, here, there))

    def _here(self, full_name: str, digest: str) -> Version | None:
        return self._resolved(f"{full_name}@{digest}")

    def _resolved(self, reference: str) -> Version | None:
        try:
            return self.store.resolve(reference)
        except NotFoundError:
            return None


def _words(thing: Thing) -> str:
    return " ".join(filter(None, thing))


def _shown(value: Value | None) -> str:
    if value is None:
        return "not said"
    return value if isinstance(value, str) else str(value.coefficient)


def _place(version: Version | There | None) -> str:
    if version is None:
        return "nothing"
    return f"{short_name(f'{version.full_name}@{version.number}')} ({version.digest[:19]})"
