"""A library as a plain dictionary: what the store should say, without a database and without files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

Key = tuple[str, ...]


@dataclass
class Entry:
    """One version: what it was saved as, and what has been changed since."""

    name: str
    number: int
    order: int
    key: Key
    digest: str = ""
    description: str = ""
    yanked: bool = False
    deleted: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    presets: dict[str, str] = field(default_factory=dict)
    pins: str = ""  # the reference of the version that a recipe needs

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.number}"


@dataclass
class Model:
    """Names, each with its kind, all versions there ever were, and its aliases."""

    kinds: dict[str, str] = field(default_factory=dict)
    versions: dict[str, list[Entry]] = field(default_factory=dict)
    aliases: dict[str, dict[str, Entry]] = field(default_factory=dict)
    saved: int = 0

    def save(self, name: str, kind: str, key: Key, description: str, pins: str = "") -> Entry:
        """Return the version that has this content, or the next one."""
        self.kinds.setdefault(name, kind)
        self.aliases.setdefault(name, {})
        present = self.versions.setdefault(name, [])
        for entry in self.alive(name):
            if entry.key == key:
                return entry
        self.saved += 1
        present.append(Entry(name, len(present) + 1, self.saved, key, description=description, pins=pins))
        return present[-1]

    def alive(self, name: str | None = None) -> list[Entry]:
        names = self.versions if name is None else [name]
        return [entry for each in names for entry in self.versions.get(each, ()) if not entry.deleted]

    def newest(self, name: str) -> Entry | None:
        return next((entry for entry in reversed(self.alive(name)) if not entry.yanked), None)

    def listed(self) -> Iterator[Entry]:
        """Yield the newest version of each name, newest first."""
        found = [entry for name in self.versions if (entry := self.newest(name)) is not None]
        yield from sorted(found, key=lambda entry: -entry.order)

    def users(self, entry: Entry) -> list[Entry]:
        return [other for other in self.alive() if other.pins == entry.reference]

    def delete(self, entry: Entry) -> None:
        entry.deleted = True
        mine = self.aliases[entry.name]
        self.aliases[entry.name] = {alias: meant for alias, meant in mine.items() if meant is not entry}
