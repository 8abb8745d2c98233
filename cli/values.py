"""Values: how words of the command line are read: layers, `key=value`, presets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

import click

from vectorstore.errors import InvalidInputError
from vectorstore.preset import Preset

T = TypeVar("T")
Layers = tuple[int, int]
"""The first and the last layer, both included; negatives count from the end."""

_LAYERS = re.compile(r"(-?\d{1,6})(?:\.\.(-?\d{1,6}))?")


def size_text(size: int) -> str:
    """Return `0 B`, `17.3 KB`, `1.2 GB`."""
    value, unit = float(size), "B"
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":  # noqa: PLR2004 - decimal units
            break
        value /= 1000
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


class LayersType(click.ParamType):  # type: ignore[type-arg] # generic from click 8.4 on only
    """`6`, `-1`, or `6..12` with both ends included."""

    name = "layers"

    def convert(self, value: object, _param: click.Parameter | None, _ctx: click.Context | None) -> Layers:
        """Read one layer or a range.

        Raises:
            InvalidInputError: for anything else.
        """
        match = _LAYERS.fullmatch(str(value))
        if match is None:
            raise InvalidInputError(f"'{value}' is not a layer", "write 6, -1 for the last one, or 6..12")
        return int(match[1]), int(match[2] or match[1])


class LabelType(click.ParamType):  # type: ignore[type-arg] # generic from click 8.4 on only
    """`topic=weddings`."""

    name = "key=value"

    def convert(self, value: object, _param: click.Parameter | None, _ctx: click.Context | None) -> tuple[str, str]:
        """Read a key and its value.

        Raises:
            InvalidInputError: when there is no `=`.
        """
        return split(str(value), "label", "topic=weddings")


class WordType(click.ParamType):  # type: ignore[type-arg] # generic from click 8.4 on only
    """`concept=joy`."""

    name = "name=text"

    def convert(self, value: object, _param: click.Parameter | None, _ctx: click.Context | None) -> tuple[str, str]:
        """Read a name and what it stands for.

        Raises:
            InvalidInputError: when there is no `=`.
        """
        return value if isinstance(value, tuple) else split(str(value), "word", "concept=joy")


class PresetType(click.ParamType):  # type: ignore[type-arg] # generic from click 8.4 on only
    """`mild=2` or `strong=0.15r`."""

    name = "name=coefficient"

    def convert(self, value: object, _param: click.Parameter | None, _ctx: click.Context | None) -> tuple[str, Preset]:
        """Read a name and its coefficient.

        Raises:
            InvalidInputError: when there is no `=`, or no coefficient after it.
        """
        if isinstance(value, tuple):
            return value
        name, coefficient = split(str(value), "preset", "mild=2 or strong=0.15r")
        return name, Preset.parse(coefficient)


def split(text: str, what: str, example: str) -> tuple[str, str]:
    """Return what stands before and after the first `=`.

    Raises:
        InvalidInputError: when there is none.
    """
    key, separator, value = text.partition("=")
    if not separator:
        raise InvalidInputError(f"'{text}' is not a {what}", f"write {example}")
    return key, value


def mapping(pairs: Iterable[tuple[str, T]], what: str) -> Mapping[str, T]:
    """Return the pairs by key.

    Raises:
        InvalidInputError: when a key is given twice.
    """
    result: dict[str, T] = {}
    for key, value in pairs:
        if key in result:
            raise InvalidInputError(f"the {what} {key} is given twice", "give it once")
        result[key] = value
    return result
