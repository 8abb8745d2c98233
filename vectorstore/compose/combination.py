"""Combination: what a Vector expression comes to, symbolically: an exact amount for each direction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from vectorstore.card import Card
from vectorstore.coefficient import Coefficient
from vectorstore.place import Place
from vectorstore.tokens import Tokens


class Amount(NamedTuple):
    """`raw + r·R/norm`: both parts are exact, so that what cancels is nothing at all."""

    raw: Fraction = Fraction(0)
    r: Fraction = Fraction(0)

    @classmethod
    def of(cls, coefficient: Coefficient) -> Amount:
        """Return the amount of one coefficient."""
        return cls(r=coefficient.number) if coefficient.unit == "r" else cls(raw=coefficient.number)

    def factor(self, card: Card, place: Place) -> Fraction:
        """Return the number that the direction of `card` at `place` is multiplied by.

        Raises:
            InvalidInputError: for a part in `r` where there is no R, or where the direction is zero.
        """
        if not self.r:
            return self.raw
        in_r = Coefficient(self.r, "r").factor(card.norms[place], card.residual_norms.get(place), str(place))
        return self.raw + in_r

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return bool(self.raw) or bool(self.r)

    def plus(self, other: Amount) -> Amount:
        """Add both parts."""
        return Amount(self.raw + other.raw, self.r + other.r)

    def times(self, factor: Fraction) -> Amount:
        """Scale both parts."""
        return Amount(self.raw * factor if self.raw else self.raw, self.r * factor if self.r else self.r)


class Source(NamedTuple):
    """A direction in one use.

    Attributes:
        origin: the digest of its version, or the key of what a function made.
        home: its place there.
        tokens: which tokens it steers.
        place: where it steers: its home, unless `at` put it elsewhere.
    """

    origin: str
    home: Place
    tokens: Tokens
    place: Place


Combination = Mapping[Source, Amount]


def scaled(combination: Combination, factor: Fraction) -> Combination:
    """Multiply every amount; a factor of zero leaves nothing."""
    return {source: amount.times(factor) for source, amount in combination.items()} if factor else {}


def added(combinations: Iterable[Combination]) -> Combination:
    """Add up; amounts that come to zero are left out."""
    total: dict[Source, Amount] = {}
    for combination in combinations:
        for source, amount in combination.items():
            known = total.get(source)
            total[source] = amount if known is None else known.plus(amount)
    return {source: amount for source, amount in total.items() if amount}


def selected(combination: Combination, keep: Callable[[Place], bool]) -> Combination:
    """Return what steers at the places to keep."""
    return {source: amount for source, amount in combination.items() if keep(source.place)}
