"""Template: one wording round many texts, `Consider the amount of {concept} in: {text}`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from vectorstore.errors import InvalidInputError
from vectorstore.items import Item, with_text

T = TypeVar("T", bound=Item)
_PLACE = re.compile(r"\{(\w+)\}")


def worded(items: Sequence[T], template: str = "{text}", words: Mapping[str, str] | None = None) -> tuple[T, ...]:
    """Return `items` with every text put into `template`.

    `{text}` stands for the text, `{prompt}` for its prompt (which then no longer comes before it), and `{concept}` or
    any other name for what `words` has under that name; the items' own texts may have these names too.

    Raises:
        InvalidInputError: for a template without `{text}`, or with a name that `words` has not.
    """
    given = dict(words or {})
    _check(template, given)
    return tuple(_worded(item, template, given) for item in items)


def _check(template: str, words: Mapping[str, str]) -> None:
    names = _PLACE.findall(template)
    if "text" not in names:
        raise InvalidInputError("the template has no {text}", "write {text} where each text belongs")
    if unknown := next((name for name in names if name not in ("text", "prompt", *words)), None):
        raise InvalidInputError(
            f"the template has {{{unknown}}}, and no word is given for it",
            f"say what it stands for: --word {unknown}=… (Python: words={{'{unknown}': …}})",
        )


def _worded(item: T, template: str, words: Mapping[str, str]) -> T:
    prompt = _filled(getattr(item, "prompt", ""), words)
    parts = {
        name: _filled(template, {**words, "prompt": prompt, "text": _filled(getattr(item, name), words)})
        for name in item.texts
    }
    if hasattr(item, "prompt"):
        parts["prompt"] = "" if "{prompt}" in template else prompt
    return with_text(item, parts)


def _filled(text: str, words: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda match: words.get(match[1], match[0]), text)
