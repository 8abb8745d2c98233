"""The exception family. Every error says what went wrong with the values in it, and what to try next.

One table gives each class the exit code of the command line; classes that are not in it take their parent's.
"""

from __future__ import annotations


class VectorstoreError(Exception):
    """Anything this package raises on purpose.

    Attributes:
        problem: what went wrong, with the values in it; one line, no full stop at the end.
        hint: what to try next; may be empty.
    """

    def __init__(self, problem: str, hint: str = "") -> None:
        """Keep both halves; `str()` joins them into the one line that people see."""
        super().__init__(problem, hint)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        """One line that is safe to print: line breaks become spaces, other control characters their escapes."""
        text = f"{self.problem}; {self.hint}" if self.hint else self.problem
        line = " ".join(part.strip() for part in text.splitlines())
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)


class InvalidInputError(VectorstoreError):
    """A value that cannot be used: an unknown method, a layer out of range, an empty prompt."""


class ExpressionError(InvalidInputError):
    """An expression or reference that does not parse, or whose types do not fit.

    Attributes:
        column: 1-based column of the text where the trouble starts.
        text: the expression as it was written.
    """

    def __init__(self, problem: str, hint: str = "", *, column: int = 1, text: str = "") -> None:
        """Point at `column` of `text`; of a long text the line shows what is around it."""
        super().__init__(f"{pointer(text, column)}: {problem}" if text else problem, hint)
        self.column = column
        self.text = text


def pointer(text: str, column: int, width: int = 40) -> str:
    """Return `column 3 of 'a + b'`, with what is around the column where the text is long."""
    start, stop = max(column - 1 - width, 0), column - 1 + width
    return f"column {column} of '{'…' if start else ''}{text[start:stop]}{'…' if stop < len(text) else ''}'"


class NotFoundError(VectorstoreError):
    """A name, version, alias, preset, file or model that is not there."""


class NotAllowedError(VectorstoreError):
    """The right to do this is missing."""


class NotAuthenticatedError(NotAllowedError):
    """Nobody is signed in, or the token is not good."""


class ConflictError(VectorstoreError):
    """The request contradicts what is there."""


class MisfitError(ConflictError):
    """A vector that does not fit this model: another width, another depth, other weights."""


class IntegrityError(VectorstoreError):
    """Bytes that are not what they should be: truncated, altered or hostile."""


class UnavailableError(VectorstoreError):
    """Database, disk or network cannot be used at the moment."""


class SchemaError(UnavailableError):
    """The database's schema is older or newer than this program."""


EXIT_CODES: dict[type[VectorstoreError], int] = {
    VectorstoreError: 1,
    InvalidInputError: 2,
    NotFoundError: 3,
    NotAllowedError: 4,
    ConflictError: 5,
    IntegrityError: 6,
    UnavailableError: 7,
}


def exit_code(error: VectorstoreError) -> int:
    """Return the exit code of the nearest class in the table."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)
