"""A coefficient: the signed number on a vector, with its unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Literal

from vectorstore.errors import InvalidInputError

Unit = Literal["raw", "r"]
MAX_DIGITS = 200
_TEXT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?)(r?)\s*", re.ASCII)


@dataclass(frozen=True)
class Coefficient:
    """`2` is raw: it multiplies the direction. `0.15r` gives each direction the norm 0.15·R of its layer.

    Attributes:
        number: exact, so that `0.1 + 0.2 - 0.3` is nothing at all.
        unit: `raw`, or `r` for multiples of the residual norm R.
    """

    number: Fraction
    unit: Unit = "raw"

    @classmethod
    def parse(cls, text: str | float | Coefficient) -> Coefficient:
        """Read `2`, `-0.5`, `1e-2` or `0.15r`.

        Raises:
            InvalidInputError: for anything else.
        """
        if isinstance(text, Coefficient):
            return text
        match = _TEXT.fullmatch(str(text)[: MAX_DIGITS + 2])
        coefficient = cls(Fraction(match[1]), "r" if match[2] else "raw") if match else None
        if coefficient is None or len(str(text)) > MAX_DIGITS or not coefficient.is_short:
            raise InvalidInputError(
                f"'{str(text)[:60]}' is not a coefficient", "write a number such as 2 or -0.5, or 0.15r"
            )
        return coefficient

    @property
    def is_short(self) -> bool:
        """Whether its decimal text is exact and short enough to read back."""
        text = number_text(self.number)
        return len(text) < MAX_DIGITS and Fraction(text) == self.number

    def __str__(self) -> str:
        """As people write it: `2`, `0.15r`."""
        return f"{number_text(self.number)}{'r' if self.unit == 'r' else ''}"

    def factor(self, norm: float, residual_norm: float | None, where: str) -> Fraction:
        """Return the raw number that a direction of `norm` is multiplied by, exactly.

        Args:
            norm: of the direction; of the largest row for `[t, d]`.
            residual_norm: R at its place, or None where there is none.
            where: what the direction is called in messages.

        Raises:
            InvalidInputError: for the unit `r` where there is no R, or where the direction is zero.
        """
        if self.unit == "raw":
            return self.number
        if residual_norm is None:
            raise InvalidInputError(
                f"{where} has no residual norm R, so {self} has no meaning", "use a raw coefficient"
            )
        if norm == 0:
            raise InvalidInputError(
                f"the direction at {where} is zero, so {self} has no meaning", "leave this layer out"
            )
        return self.number * Fraction(residual_norm) / Fraction(norm)

    def __mul__(self, factor: Fraction | int) -> Coefficient:
        """Scale the number; the unit stays."""
        return Coefficient(self.number * factor, self.unit)


def number_text(number: Fraction) -> str:
    """Return the decimal text that reads back as exactly this number.

    Sums and products of decimals have one; of any other fraction it gives 200 digits.
    """
    with localcontext(prec=MAX_DIGITS):
        return f"{(Decimal(number.numerator) / Decimal(number.denominator)).normalize():f}"
