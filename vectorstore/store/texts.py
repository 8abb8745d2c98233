"""Texts that people give: short enough for a row, and free of characters that a database or a terminal chokes on."""

from __future__ import annotations

import unicodedata

from vectorstore.errors import InvalidInputError
from vectorstore.reference import DEFAULT_NAMESPACE, check_name

MAX_TEXT = 255
MAX_DESCRIPTION = 10_000
MAX_AUTHORS = 100


def check_text(what: str, text: str, limit: int = MAX_TEXT, *, lines: bool = False) -> str:
    """Return `text`, called `what` in messages, where it is at most `limit` characters and has no control characters.

    Args:
        what: the word for it.
        text: the text.
        limit: the most characters allowed.
        lines: allow line breaks and tabs.

    Raises:
        InvalidInputError: for anything else.
    """
    if len(text) > limit:
        raise InvalidInputError(f"the {what} has {len(text)} characters", f"{limit} are allowed")
    allowed = "\n\r\t" if lines else ""
    if any(unicodedata.category(char) in ("Cc", "Cs") and char not in allowed for char in text):
        raise InvalidInputError(f"the {what} '{text[:60]}' has control characters", "write plain text")
    return text


def check_label(key: str, value: str) -> None:
    """Refuse what cannot be a label.

    Raises:
        InvalidInputError: for a key that is no name, or a value that is empty or too long.
    """
    check_name(key, "label")
    if not check_text(f"value of label {key}", value):
        raise InvalidInputError(f"the label {key} has no value", f"write {key}=VALUE")


def split_name(text: str) -> tuple[str, str]:
    """Read `name` or `namespace/name`.

    Raises:
        InvalidInputError: for anything else.
    """
    namespace, separator, name = text.rpartition("/")
    return check_name(namespace, "namespace") if separator else DEFAULT_NAMESPACE, check_name(name)
