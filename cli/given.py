"""Given: the options that say what a vector is computed from: texts on the command line, or a file of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import click

from vectorstore.data import read
from vectorstore.errors import InvalidInputError
from vectorstore.items import Item, both_sided, repeated
from vectorstore.kinds import KINDS
from vectorstore.pairs import ContrastPair
from vectorstore.template import PLAIN, TEMPLATES, unfilled, worded
from vectorstore.texts import Target, Text

from .values import WordType, mapping

SHOWN_REPEATS = 3


@dataclass(frozen=True)
class Given:
    """What was given.

    Attributes:
        positive, negative, target: texts.
        path: a file of items, of the kind that the method takes, or the name of a set that comes with the package.
        corpus: the same, of texts to compare with.
        template: what each text is put into, or the name of a template.
        words: what other names in the template stand for.
    """

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    target: tuple[str, ...]
    path: str | None
    corpus: str | None
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
        return read(self.path, KINDS[kind])

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
        return tuple(replace(text, side="negative") for text in read(self.corpus, Text))


def given_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the function gets a `given`."""

    @click.option("--positive", multiple=True, metavar="TEXT", help="A text to steer towards.")
    @click.option("--negative", multiple=True, metavar="TEXT", help="A text to steer away from; actadd allows ''.")
    @click.option("--target", multiple=True, metavar="TEXT", help="A text that the model shall write.")
    @click.option(
        "--data",
        "--pairs",
        "path",
        metavar="FILE",
        help='JSON Lines as the method takes them: {"positive": …, "negative": …} for pairs; or see `steer datasets`.',
    )
    @click.option(
        "--corpus",
        metavar="FILE",
        help='JSON Lines of texts to compare with, {"text": …}; or such a name.',
    )
    @template_options
    @wraps(function)
    def with_given(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click's values
        values = {name: kwargs.pop(name) for name in Given.__dataclass_fields__}
        given = Given(**values | {"words": mapping(values["words"], "word")})
        return function(*args, given=given, **kwargs)

    return with_given


def template_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--template` and `--word`; the function gets a `template`, and the `words` as pairs."""
    named = ", ".join(TEMPLATES)
    put = click.option(
        "--template",
        default=PLAIN,
        metavar="TEXT",
        help=f"Put each text into it: 'The {{concept}} in: {{text}}'; or a name: {named}.",
    )
    words = click.option("--word", "words", type=WordType(), multiple=True, help="What a name stands for: concept=joy.")
    return put(words(function))


def remarks(items: Sequence[Item]) -> list[str]:
    """Return notes where items occur more than once, a text stands on both sides, or a name in it is not filled."""
    said: list[str] = []
    if found := repeated(items):
        shown = ", ".join(f"{again} repeats {first}" for again, first in found[:SHOWN_REPEATS])
        more = f", and {len(found) - SHOWN_REPEATS} more" if len(found) > SHOWN_REPEATS else ""
        said.append(f"some {items[0].kind} occur twice, and count twice: {shown}{more}")
    if both := both_sided(items):
        more = f", and {len(both) - 1} more" if len(both) > 1 else ""
        said.append(f"some texts stand on both sides, and say nothing: {both[0]!r}{more}")
    if names := unfilled(items):
        said.append(f"{{{names[0]}}} stands in a text as it is: no --word says what it stands for")
    return said
