"""Fields: typed reading of JSON objects that somebody else wrote, with one clear error."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from vectorstore.errors import IntegrityError

T = TypeVar("T")
MAX_INTEGER = 2**63 - 1  # what databases keep
_WORDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a finite number",
    list: "a list",
    dict: "an object",
}


class Fields:
    """A JSON object whose parts are asked for by name and type.

    Every method raises IntegrityError, naming the part, when it is missing or of another type.
    """

    def __init__(self, value: object, what: str) -> None:
        """Wrap `value`, called `what` in messages."""
        if not isinstance(value, dict):
            raise IntegrityError(f"{what} is not a JSON object", "get the file again from where it came")
        self._value = value
        self._what = what

    def only(self, names: set[str]) -> None:
        """Refuse keys that are not among `names`."""
        if unknown := sorted(set(self._value) - names):
            raise self._bad(f"has an unknown part '{unknown[0][:60]}'")

    def text(self, name: str) -> str:
        """Return a string."""
        return self._get(name, str)

    def integer(self, name: str) -> int:
        """Return a whole number that is not negative."""
        value = self._get(name, int)
        if value < 0:
            raise self._bad(f"has {name} {value}, which is negative")
        return value

    def number(self, name: str) -> float:
        """Return a finite number."""
        return self._get(name, float)

    def maybe(self, name: str, kind: type[T]) -> T | None:
        """Return a value of `kind`, or None where the part is null or missing."""
        return None if self._value.get(name) is None else self._get(name, kind)

    def child(self, name: str) -> Fields:
        """Return the object at `name`."""
        return Fields(self._get(name, dict), f"{name} of {self._what}")

    def sequence(self, name: str, kind: type[T]) -> tuple[T, ...]:
        """Return a list of `kind`."""
        values = self._get(name, list)
        return tuple(values if _plain(values, kind) else [self._typed(value, kind, name) for value in values])

    def mapping(self, name: str, kind: type[T]) -> Mapping[str, T]:
        """Return an object whose values are all of `kind`."""
        values = self._get(name, dict)
        if _plain(values.values(), kind):
            return values
        return {key: self._typed(value, kind, name) for key, value in values.items()}

    def _get(self, name: str, kind: type[T]) -> T:
        if name not in self._value:
            raise self._bad(f"has no {name}")
        return self._typed(self._value[name], kind, name)

    def _typed(self, value: Any, kind: type[T], name: str) -> T:  # noqa: ANN401 - JSON is any of its types
        if type(value) is int and not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise self._bad(f"has a number in {name} that is too large")
        if kind is float and type(value) is int:
            value = float(value)
        # isinstance would let True pass as 1
        if (kind is not object and type(value) is not kind) or (kind is float and not math.isfinite(value)):
            raise self._bad(f"has a {name} that is not {_WORDS.get(kind, kind.__name__)}")
        return value  # type: ignore[no-any-return]

    def _bad(self, trouble: str) -> IntegrityError:
        return IntegrityError(f"{self._what} {trouble}", "get the file again from where it came")


def _plain(values: Collection[Any], kind: type) -> bool:
    """Return whether all values are of `kind` as they are, and need no closer look, which takes ten times as long."""
    if set(map(type, values)) - {kind}:
        return False
    if kind is float:
        return all(map(math.isfinite, values))
    return kind is str or not values or (kind is int and max(map(abs, values)) <= MAX_INTEGER)
