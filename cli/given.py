"""Given: the options that say what a vector is computed from: texts on the command line, or a file of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import click

from vectorstore.errors import InvalidInputError
from vectorstore.items import Item, read_items, repeated
from vectorstore.kinds import KINDS
from vectorstore.pairs import ContrastPair
from vectorstore.template import worded
from vectorstore.texts import Target, Text

from .values import WordType, mapping

PLAIN = "{text}"
SHOWN_REPEATS = 3


@dataclass(frozen=True)
class Given:
    """What was given.

    Attributes:
        positive, negative, target: texts.
        path: a file of items, of the kind that the method takes.
        corpus: a file of texts to compare with.
        template: what each text is put into.
        words: what other names in the template stand for.
    """

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    target: tuple[str, ...]
    path: Path | None
    corpus: Path | None
    template: str
    words: Mapping[str, str]

    def items(self, kind: str) -> tuple[Item, ...]:
        """Return the items of `kind`, put into the template.

        Raises:
            InvalidInputError: when they are missing, given twice, or of another kind.
            NotFoundError: when a file is not there.
        """
        return worded((*self._read(kind), *self._compared(kind)), self.template, self.words)

    def _read(self, kind: str) -> tuple[Item, ...]:
        inline = self.positive or self.negative or self.target
        if self.path is None:
            return self._inline(kind)
        if inline:
            raise InvalidInputError("both a file and texts are given", "give --data, or the texts")
        return read_items(self.path, KINDS[kind])

    def _inline(self, kind: str) -> tuple[Item, ...]:
        if kind == "texts":
            return (*map(Text, self.positive), *(Text(text, "negative") for text in self.negative))
        if kind == "targets" and self.target:
            return tuple(map(Target, self.target))
        if kind != "pairs":
            schema = KINDS[kind].schema()
            raise InvalidInputError(f"the {kind} are missing", f"give --data FILE with lines such as {schema}")
        if len(self.positive) != len(self.negative) or not self.positive:
            missing = "negative" if len(self.positive) > len(self.negative) else "positive"
            raise InvalidInputError(f"the {missing} prompt is missing", f"give --{missing} TEXT, or --pairs FILE")
        return tuple(map(ContrastPair, self.positive, self.negative))

    def _compared(self, kind: str) -> tuple[Item, ...]:
        if self.corpus is None:
            return ()
        if kind != "texts":
            raise InvalidInputError(f"a corpus is given, and the method takes {kind}", "leave --corpus out")
        return tuple(replace(text, side="negative") for text in read_items(self.corpus, Text))


def given_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the function gets a `given`."""

    @click.option("--positive", multiple=True, metavar="TEXT", help="A text to steer towards.")
    @click.option("--negative", multiple=True, metavar="TEXT", help="A text to steer away from; actadd allows ''.")
    @click.option("--target", multiple=True, metavar="TEXT", help="A text that the model shall write.")
    @click.option(
        "--data",
        "--pairs",
        "path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help='JSON Lines of what the method takes: pairs are {"positive": …, "negative": …}.',
    )
    @click.option(
        "--corpus",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help='JSON Lines of texts to compare with: {"text": …}.',
    )
    @click.option(
        "--template", default=PLAIN, metavar="TEXT", help="Put each text into it: 'The {concept} in: {text}'."
    )
    @click.option("--word", "words", type=WordType(), multiple=True, help="What a name stands for: concept=joy.")
    @wraps(function)
    def with_given(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click's values
        values = {name: kwargs.pop(name) for name in Given.__dataclass_fields__}
        given = Given(**values | {"words": mapping(values["words"], "word")})
        return function(*args, given=given, **kwargs)

    return with_given


def repeats(items: tuple[Item, ...]) -> list[str]:
    """Return a note where items occur more than once: they count as often."""
    found = repeated(items)
    if not found:
        return []
    shown = ", ".join(f"{again} repeats {first}" for again, first in found[:SHOWN_REPEATS])
    more = f", and {len(found) - SHOWN_REPEATS} more" if len(found) > SHOWN_REPEATS else ""
    return [f"some {items[0].kind} occur twice, and count twice: {shown}{more}"]
