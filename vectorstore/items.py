"""Items: what vectors are computed from, one JSON object a line. Each kind of data is one small class of them."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import ClassVar, NamedTuple, Self, TypeVar

from vectorstore.canonical import Json, canonical_bytes, check_text, strict_loads
from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError


class Passage(NamedTuple):
    """One text of an item, as a model is to read it.

    Attributes:
        role: what it stands for: `positive`, `negative`, a label, `input`, `output` or `target`.
        prompt: what comes before it, and is not meant itself; may be empty.
        text: the text itself.
        what: how messages call it.
    """

    role: str
    prompt: str
    text: str
    what: str


@dataclass(frozen=True)
class Item:
    """One line of data; all its parts are texts.

    Attributes:
        kind: of data, as in the card: `pairs`.
        noun: what one is called: `contrast pair`.
        texts: the parts that a model reads, without the prompt.
        may_be_empty: those of them that may be empty.
    """

    kind: ClassVar[str]
    noun: ClassVar[str]
    texts: ClassVar[tuple[str, ...]]
    may_be_empty: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Refuse texts that are empty or cannot be written as UTF-8."""
        for name in self.texts:
            if not getattr(self, name) and name not in self.may_be_empty:
                raise InvalidInputError(f"the {self.called(name)} is empty", "write what the model shall read")
        for field in fields(self):
            check_text(getattr(self, field.name), f"the {self.called(field.name)}")

    @classmethod
    def called(cls, name: str) -> str:
        """Return what messages call the part `name`."""
        return name if len(cls.texts) == 1 or name not in cls.texts else f"{name} prompt"

    def role(self, name: str) -> str:
        """Return what the text `name` stands for."""
        return name

    def passages(self, number: int) -> tuple[Passage, ...]:
        """Return what a model reads of this item, the `number`th (from 1)."""
        prompt = getattr(self, "prompt", "")
        noun, one = self.noun.rpartition(" ")[2], len(self.texts) == 1
        return tuple(
            Passage(
                self.role(name),
                prompt,
                getattr(self, name),
                f"{noun} {number}" if one else f"the {self.called(name)} of {noun} {number}",
            )
            for name in self.texts
        )

    def to_json(self) -> Json:
        """Return one line's object; parts that are as they are by default stay out."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    @classmethod
    def from_json(cls, value: object, where: str) -> Self:
        """Read one line's object; `where` names it in messages.

        Raises:
            InvalidInputError: saying what is wrong with it.
        """
        if trouble := cls.trouble(value):
            raise InvalidInputError(f"{where} is not a {cls.noun} ({trouble})", f"write {cls.schema()}")
        try:
            return cls(**value)  # type: ignore[arg-type]
        except InvalidInputError as error:
            raise InvalidInputError(f"{where}: {error.problem}", error.hint) from error

    @classmethod
    def schema(cls) -> str:
        """Return `{"text": "…", "side": "…"}`, and which parts may be left out."""
        parts = ", ".join(f'"{field.name}": "…"' for field in fields(cls))
        optional = [field.name for field in fields(cls) if field.default is not MISSING]
        return f"{{{parts}}}" + (f", where {' and '.join(optional)} may be left out" if optional else "")

    @classmethod
    def trouble(cls, value: object) -> str:
        """Return what keeps one line's value from being of this kind; nothing where its parts are as they should be."""
        if not isinstance(value, dict):
            return "it is no JSON object"
        names = [field.name for field in fields(cls)]
        if unknown := next((name for name in value if name not in names), None):
            return f"it has an unknown part '{unknown[:60]}'"
        required = (field.name for field in fields(cls) if field.default is MISSING)
        if missing := next((name for name in required if name not in value), None):
            return f"it has no '{missing}'"
        other = next((name for name, text in value.items() if not isinstance(text, str)), None)
        return f"its {other} is not text" if other else ""


T = TypeVar("T", bound=Item)


def read_items(path: Path, kind: type[T]) -> tuple[T, ...]:
    """Read JSON Lines, an item a line; blank lines and a BOM are skipped.

    Raises:
        NotFoundError: when there is no such file.
        InvalidInputError: when a line is no such item, or the file has none; names the line.
    """
    found = tuple(
        kind.from_json(_loads(line, where, kind.schema()), where) for where, line in numbered_lines(path, kind.kind)
    )
    if not found:
        raise InvalidInputError(f"{path} has no {kind.kind}", f"write lines such as {kind.schema()}")
    return found


def first_object(path: Path) -> object:
    """Return what the first line of a JSON Lines file says; None where it has none.

    Raises:
        NotFoundError: when there is no such file.
        InvalidInputError: when that line is no JSON.
    """
    for where, line in numbered_lines(path, "data"):
        return _loads(line, where, "one JSON object a line")
    return None


def numbered_lines(path: Path, what: str) -> list[tuple[str, bytes]]:
    """Return every line that is not blank, after how messages call it.

    Raises:
        NotFoundError: when there is no such file.
    """
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    except OSError as error:
        raise NotFoundError(f"cannot read {what} from {path} ({error.strerror})", "give a JSON Lines file") from error
    return [(f"{path.name} line {number}", line) for number, line in enumerate(lines, 1) if line.strip()]


def items_bytes(items: Sequence[Json]) -> bytes:
    """Return any items of data as canonical JSON Lines; their digest is the data's digest."""
    return b"".join(canonical_bytes(item) + b"\n" for item in items)


def repeated(items: Sequence[Item]) -> tuple[tuple[int, int], ...]:
    """Return (number, number of the equal one before it), from 1, for each item that occurred before."""
    first: dict[Item, int] = {}
    return tuple(
        (number, first[item]) for number, item in enumerate(items, 1) if first.setdefault(item, number) < number
    )


def both_sided(items: Sequence[Item]) -> tuple[str, ...]:
    """Return the texts that stand for more than one thing after one prompt: on both sides, or with several labels."""
    roles: dict[tuple[str, str], set[str]] = {}
    for number, item in enumerate(items, 1):
        for passage in item.passages(number):
            roles.setdefault((passage.prompt, passage.text), set()).add(passage.role)
    return tuple(text for (_, text), found in roles.items() if len(found) > 1)


def with_text(item: T, texts: Mapping[str, str]) -> T:
    """Return the item with some of its parts changed."""
    return replace(item, **texts)


def _loads(line: bytes, where: str, schema: str) -> object:
    try:
        return strict_loads(line, where)
    except IntegrityError as error:
        raise InvalidInputError(error.problem, f"write {schema}") from error
