"""Edits: from a body that says what shall be different to the changes that make it so."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from vectorstore.errors import InvalidInputError
from vectorstore.preset import Preset
from vectorstore.service.shapes import ChangesIn
from vectorstore.store import changes
from vectorstore.store.store import ChangeVersion


def edits_of(wanted: ChangesIn) -> Iterator[ChangeVersion]:
    """Yield the changes; a label or preset that is null goes away."""
    for key, value in wanted.labels.items():
        yield (
            partial(changes.remove_label, key=key)
            if value is None
            else partial(changes.set_label, key=key, value=value)
        )
    for name, preset in wanted.presets.items():
        if preset is None:
            yield partial(changes.remove_preset, name=name)
        else:
            yield partial(changes.set_preset, name=name, preset=_preset(preset))
    if wanted.description is not None:
        yield partial(changes.set_description, description=wanted.description)


def _preset(value: object) -> Preset:
    """Return a preset: `2`, `"0.15r"`, or all of it as an object."""
    if isinstance(value, dict):
        return Preset.from_json(value)
    if isinstance(value, (str, float, int)):
        return Preset.parse(value)
    raise InvalidInputError("a preset is a number, a text or an object", 'write 2, "0.15r" or {"coefficient": …}')
