"""Param: one setting of an extraction method, with its type, default and help, so that a command line can offer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from vectorstore.errors import InvalidInputError

Value = str | int | float | bool


@dataclass(frozen=True)
class Param:
    """A setting that people may change.

    Attributes:
        name: as in `params={"pad_token": …}`; the command line says `--pad-token`.
        default: the value where none is given; its type is the setting's type.
        help: one line.
        choices: the only values allowed; empty where any of the type will do.
        quiet: whether the record of a use leaves it out where it has its default.
    """

    name: str
    default: Value
    help: str
    choices: tuple[Value, ...] = ()
    quiet: bool = False

    @property
    def option(self) -> str:
        """The command line's option, `--pad-token`."""
        return f"--{self.name.replace('_', '-')}"

    def check(self, value: object) -> Value:
        """Return `value` as this setting's type; whole numbers do for decimal ones.

        Raises:
            InvalidInputError: when it is of another type, or not one of the choices.
        """
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise InvalidInputError(f"{self.name} is {value!r}", f"give a {kind.__name__} with {self.option}")
        if self.choices and value not in self.choices:
            raise InvalidInputError(
                f"{self.name} is {value!r}", f"choose {' or '.join(map(str, self.choices))} with {self.option}"
            )
        return value


def fill(params: Sequence[Param], given: Mapping[str, object], what: str) -> dict[str, Value]:
    """Return a value for every one of `params`: the one that is given, or the default (which quiet ones leave out).

    Raises:
        InvalidInputError: for a name that `what` does not have, or a value that does not suit.
    """
    names = [param.name for param in params]
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            known = f"{what} takes {', '.join(names)}" if names else f"{what} takes none"
            raise InvalidInputError(
                f"{what} has no parameter '{name}'", f"did you mean {near[0]}? {known}" if near else known
            )
    values = {param: param.check(given.get(param.name, param.default)) for param in params}
    return {param.name: value for param, value in values.items() if not (param.quiet and value == param.default)}
