"""Place: where in a model a direction lives."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from vectorstore.errors import InvalidInputError

SITES = ("resid_pre", "resid_post", "attn_out", "mlp_out", "head_out")


class Place(NamedTuple):
    """Where a direction lives: a site and a 0-based decoder layer."""

    site: str
    layer: int

    def __str__(self) -> str:
        """`resid_pre.18`, as in tensor names."""
        return f"{self.site}.{self.layer}"

    @property
    def order(self) -> tuple[int, int]:
        """The key that sorts places: by site, in the order of SITES, and then by layer."""
        return SITES.index(self.site), self.layer

    @classmethod
    @lru_cache(maxsize=4096)
    def parse(cls, text: str) -> Place:
        """Read `resid_pre.18`.

        Raises:
            InvalidInputError: for an unknown site, or a layer that is not a plain number.
        """
        site, _, layer = text.partition(".")
        if site not in SITES or not _is_layer(layer):
            raise InvalidInputError(f"'{text[:80]}' is not a place", f"write SITE.LAYER; sites: {', '.join(SITES)}")
        return cls(site, int(layer))


def layers_text(layers: Iterable[int]) -> str:
    """Return `layer 18`, `layers 6..12` or `layers 3, 6, 9`."""
    numbers = sorted(layers)
    if len(numbers) == 1:
        return f"layer {numbers[0]}"
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"layers {numbers[0]}..{numbers[-1]}"
    return f"layers {', '.join(map(str, numbers))}"


def _is_layer(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6 and str(int(text)) == text  # noqa: PLR2004
