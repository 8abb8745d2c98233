"""Reference: how people name a version: `name[@n|@alias|@sha256:hex][[a..b]][:preset]`.

`ns/name` is in another namespace, `remote//ns/name` on another store. Names, namespaces, aliases, presets and remotes
start with a letter; letters, digits, `-` and `_` follow. A reference has no spaces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from vectorstore.errors import ExpressionError, InvalidInputError

DEFAULT_NAMESPACE = "default"
MAX_NAME = 128
_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9_-]{{0,{MAX_NAME - 1}}}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{4,64}")
_LAYERS = re.compile(r"([0-9]{1,6})(?:\.\.([0-9]{1,6}))?")
_PARTS = re.compile(
    r"""(?:(?P<remote>[^/@\[:]*)//)?
        (?:(?P<namespace>[^/@\[:]*)/)?
        (?P<name>[^/@\[:]*)
        (?:@(?P<pin>sha256:[^\[:]*|[^\[:]*))?
        (?:\[(?P<layers>[^\]]*)\])?
        (?::(?P<preset>.*))?""",
    re.VERBOSE | re.DOTALL,
)
_ORDER = "the order is namespace/name@version[layers]:preset"


def short_name(text: str) -> str:
    """Return `love` for `default/love`: the default namespace is not written."""
    return text.removeprefix(f"{DEFAULT_NAMESPACE}/")


@dataclass(frozen=True)
class Reference:
    """One version, and how to use it, as somebody asks for it.

    Attributes:
        name: the name within its namespace.
        namespace: `default` where none was written.
        remote: the other store's name, or None for this one.
        version: the number after `@`, or None.
        alias: the alias after `@`, or None.
        digest: `sha256:` and 4 to 64 hex digits: a manifest's digest or the beginning of one, or None.
        layers: first and last layer, both included, or None for all.
        preset: the preset's name, or None.
        column: 1-based, where it stands in its text; two references that differ only in it are equal.
    """

    name: str
    namespace: str = DEFAULT_NAMESPACE
    remote: str | None = None
    version: int | None = None
    alias: str | None = None
    digest: str | None = None
    layers: tuple[int, int] | None = None
    preset: str | None = None
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        """Return the shortest text that reads back as this reference."""
        return f"{self.version_text}{self._layers_text}{f':{self.preset}' if self.preset else ''}"

    @cached_property
    def version_text(self) -> str:
        """The part that names a version: without layers and preset."""
        remote = f"{self.remote}//" if self.remote else ""
        namespace = "" if self.namespace == DEFAULT_NAMESPACE else f"{self.namespace}/"
        pin = self.version or self.alias or self.digest
        return f"{remote}{namespace}{self.name}{f'@{pin}' if pin else ''}"

    @property
    def is_one_version(self) -> bool:
        """Whether it has a number, an alias or a digest, and so does not move with the newest version."""
        return bool(self.version or self.alias or self.digest)

    def plain(self) -> Reference:
        """Return this reference where it names a version alone, for what has no use for layers and presets.

        Raises:
            InvalidInputError: when it has layers or a preset.
        """
        if self.layers or self.preset:
            raise InvalidInputError(f"'{self}' has layers or a preset", f"name the version alone: {self.version_text}")
        return self

    @property
    def _layers_text(self) -> str:
        if self.layers is None:
            return ""
        first, last = self.layers
        return f"[{first}]" if first == last else f"[{first}..{last}]"


def parse_reference(text: str, *, column: int = 1, whole: str | None = None) -> Reference:
    """Read one reference.

    Args:
        text: the reference alone.
        column: where it stands in `whole`, 1-based.
        whole: the expression it is part of, for messages.

    Raises:
        ExpressionError: pointing at the column of the part that is wrong.
    """
    match = _PARTS.match(text)
    if match is None or match.end() != len(text):
        end = match.end() if match else 0
        unclosed = text[end] == "[" and "]" not in text[end:]
        trouble = "the '[' is not closed" if unclosed else f"'{text[end:][:40]}' cannot stand here"
        raise ExpressionError(trouble, _ORDER, column=column + end, text=text if whole is None else whole)
    try:
        return _reference(match, column)
    except _PartError as error:
        start = column + max(match.start(error.part), 0)
        raise ExpressionError(error.problem, error.hint, column=start, text=text if whole is None else whole) from None


def check_name(text: str, what: str = "name") -> str:
    """Return `text` where it may be a name, an alias, a namespace or a preset (`what` says which).

    Raises:
        InvalidInputError: for anything else.
    """
    if _NAME.fullmatch(text) is None:
        raise InvalidInputError(
            f"'{text[:60]}' is not {_article(what)} {what}" if text else f"the {what} is missing",
            f"{_article(what)} {what} starts with a letter; letters, digits, - and _ follow, {MAX_NAME} at most",
        )
    return text


def _article(what: str) -> str:
    return "an" if what[0] in "aeiou" else "a"


class _PartError(InvalidInputError):
    """A part of a reference that is wrong; `part` is its group in `_PARTS`."""

    def __init__(self, part: str, problem: str, hint: str) -> None:
        super().__init__(problem, hint)
        self.part = part


def _reference(match: re.Match[str], column: int) -> Reference:
    names = {part: _name(match, part) for part in ("remote", "namespace", "name", "preset")}
    pin = match["pin"]
    return Reference(
        name=names["name"] or "",
        namespace=names["namespace"] or DEFAULT_NAMESPACE,
        remote=names["remote"],
        version=int(pin) if pin and _VERSION.fullmatch(pin) else None,
        alias=pin if pin is not None and _is_alias(pin) else None,
        digest=pin.lower() if pin and _DIGEST.fullmatch(pin) else None,
        layers=_layers(match["layers"]),
        preset=names["preset"],
        column=column,
    )


def _name(match: re.Match[str], part: str) -> str | None:
    text = match[part]
    if text is None:
        return None
    try:
        return check_name(text, part)
    except InvalidInputError as error:
        hint = _ORDER if part == "preset" and set(text) & set("@[:") else error.hint
        if part == "name" and match["namespace"] and text[:1].isdigit():
            hint = "there is no division: write 0.5*love"
        raise _PartError(part, error.problem, hint) from None


def _is_alias(pin: str) -> bool:
    """Say whether the text after `@` is an alias; refuse what is no version and no digest either."""
    if _VERSION.fullmatch(pin) or _DIGEST.fullmatch(pin):
        return False
    if pin.startswith("sha256"):
        raise _PartError("pin", f"'{pin[:80]}' is not a digest", "write sha256: and 4 to 64 hex digits")
    if not _NAME.fullmatch(pin):
        raise _PartError(
            "pin", f"'@{pin[:40]}' is not a version", "write a number from 1 on, an alias, or sha256: and hex digits"
        )
    return True


def _layers(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = _LAYERS.fullmatch(text)
    if match is None:
        raise _PartError("layers", f"'[{text[:40]}]' is not a layer", "write [6], or [6..12] with both ends included")
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise _PartError("layers", f"layers {first}..{last} run backwards", f"write [{last}..{first}]")
    return first, last
