"""Things: what may be said anew of a version, each by itself, so that two libraries can be compared thing by thing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from vectorstore.canonical import Json
from vectorstore.client.there import There
from vectorstore.preset import Preset
from vectorstore.store import changes
from vectorstore.store.draft import About
from vectorstore.store.store import ChangeVersion
from vectorstore.store.version import Version

Thing = tuple[str, str]
"""Its sort (`label`, `preset`, `description`, `yank`, `deprecation`) and its name, where there are several."""
Value = str | Preset
"""What is said; what is not said has no value. Of a yank it is the reason."""
Said = Mapping[Thing, Value]

DESCRIPTION: Thing = ("description", "")
YANK: Thing = ("yank", "")
DEPRECATION: Thing = ("deprecation", "")


def said_of(version: Version | There) -> dict[Thing, Value]:
    """Return all that is said of a version."""
    said = _said(version.labels, version.presets, version.description)
    if version.yanked:
        said[YANK] = version.yank_reason
    if version.deprecation is not None:
        said[DEPRECATION] = version.deprecation
    return said


def said_at_first(about: About) -> dict[Thing, Value]:
    """Return what a version's manifest says of it."""
    return _said(about.labels, about.presets, about.description)


def newer(base: Said, mine: Said, theirs: Said) -> dict[Thing, Value | None]:
    """Return what they say and I do not, where I say what was said at first; None for what they say no more."""
    differ = {thing for thing in {*mine, *theirs} if mine.get(thing) != theirs.get(thing)}
    return {thing: theirs.get(thing) for thing in sorted(differ) if mine.get(thing) == base.get(thing)}


def change_of(thing: Thing, value: Value | None) -> ChangeVersion:
    """Return the change of a library that says this, or with None no longer says it."""
    sort, name = thing
    if value is None:
        return partial(changes.set_description, description="") if thing == DESCRIPTION else _gone(sort, name)
    if isinstance(value, Preset):
        return partial(changes.set_preset, name=name, preset=value)
    said: Mapping[str, ChangeVersion] = {
        "label": partial(changes.set_label, key=name, value=value),
        "description": partial(changes.set_description, description=value),
        "yank": partial(changes.yank, reason=value),
        "deprecation": partial(changes.deprecate, reason=value),
    }
    return said[sort]


def _gone(sort: str, name: str) -> ChangeVersion:
    gone: Mapping[str, ChangeVersion] = {
        "label": partial(changes.remove_label, key=name),
        "preset": partial(changes.remove_preset, name=name),
        "yank": changes.restore,
        "deprecation": changes.undeprecate,
    }
    return gone[sort]


def body_of(wanted: Mapping[Thing, Value | None]) -> Json:
    """Return the body that changes labels, presets and the description; the rest has routes of its own."""
    body: Json = {}
    for (sort, name), value in wanted.items():
        if sort == "label":
            body.setdefault("labels", {})[name] = value
        elif sort == "preset":
            body.setdefault("presets", {})[name] = value.to_json() if isinstance(value, Preset) else None
        elif sort == "description":
            body["description"] = value or ""
    return body


def _said(labels: Mapping[str, str], presets: Mapping[str, Preset], description: str) -> dict[Thing, Value]:
    said: dict[Thing, Value] = {("label", key): value for key, value in labels.items()}
    said |= {("preset", name): preset for name, preset in presets.items()}
    return said | ({DESCRIPTION: description} if description else {})
