"""Template: one wording round many texts, `Consider the amount of {concept} in: {text}`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from vectorstore.errors import InvalidInputError
from vectorstore.items import Item, with_text

T = TypeVar("T", bound=Item)
PLAIN = "{text}"
TEMPLATES = {
    "concept": "Consider the amount of {concept} in the following text.\n\nText: {text}\n\n"
    "The amount of {concept} in the text is",
    "answer": "Consider the amount of {concept} in the following answer.\n\nQuestion: {prompt}\nAnswer: {text}\n\n"
    "The amount of {concept} in the answer is",
    "scenario": "Consider the {concept} of the following scenario:\nScenario: {text}\nAnswer:",
    "persona": "Pretend you're {text} person making statements about the world. {prompt}",
}
"""Templates by name, after RepE (arXiv 2310.01405, section 3.1, and andyzoujm/representation-engineering, examples).

The first three are for concepts, read at the last token. `persona` is for functions: its texts are two persons, such as
"an honest" and "an untruthful", and its prompts are statements.
"""
_PLACE = re.compile(r"\{(\w+)\}")


def worded(items: Sequence[T], template: str = PLAIN, words: Mapping[str, str] | None = None) -> tuple[T, ...]:
    """Return `items` with every text put into `template`, a text or the name of one of TEMPLATES.

    `{text}` stands for the text, `{prompt}` for its prompt (which then no longer comes before it), and `{concept}` or
    any other name for what `words` has under that name; the items' own texts may have these names too.

    Raises:
        InvalidInputError: for a template without `{text}`, or with a name that `words` has not.
    """
    given, template = dict(words or {}), TEMPLATES.get(template, template)
    _check(template, given)
    return tuple(_worded(item, template, given) for item in items)


def unfilled(items: Sequence[Item]) -> tuple[str, ...]:
    """Return the names in braces that are left in the texts of `items`, each once."""
    texts = (text for item in items for passage in item.passages(1) for text in (passage.prompt, passage.text))
    return tuple(dict.fromkeys(name for text in texts for name in _PLACE.findall(text)))


def _check(template: str, words: Mapping[str, str]) -> None:
    names = _PLACE.findall(template)
    if "text" not in names:
        raise InvalidInputError(
            "the template has no {text}", f"write {{text}} where each text belongs, or a name: {', '.join(TEMPLATES)}"
        )
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
