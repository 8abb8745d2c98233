"""A preset: a named coefficient, with its unit, layers and tokens, kept with a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from vectorstore.canonical import Json
from vectorstore.coefficient import Coefficient
from vectorstore.errors import InvalidInputError
from vectorstore.tokens import Tokens


@dataclass(frozen=True)
class Preset:
    """How strong, on which layers and tokens, to use a version.

    Attributes:
        coefficient: the number and its unit.
        layers: inclusive range of layers, or None for all of the vector's.
        tokens: which tokens are steered, or None for what the card says.
    """

    coefficient: Coefficient
    layers: tuple[int, int] | None = None
    tokens: Tokens | None = None

    @classmethod
    def parse(cls, value: Preset | Coefficient | str | float) -> Preset:
        """Read a bare coefficient: `2`, `-0.5` or `0.15r`."""
        return value if isinstance(value, Preset) else cls(Coefficient.parse(value))

    def to_json(self) -> Json:
        """Return the canonical form, as in manifests and recipes."""
        return {
            "coefficient": str(self.coefficient),
            "layers": list(self.layers) if self.layers else None,
            "tokens": self.tokens,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Preset:
        """Read the canonical form.

        Raises:
            InvalidInputError: when a part is missing or not of its type.
        """
        layers, tokens = value.get("layers"), value.get("tokens")
        if not isinstance(value.get("coefficient"), str) or tokens not in (None, *get_args(Tokens)):
            raise InvalidInputError("a preset without a coefficient", "give coefficient, layers and tokens")
        if layers is not None and not (isinstance(layers, list) and len(layers) == 2):  # noqa: PLR2004
            raise InvalidInputError(f"preset layers {layers!r}", "give the first and the last layer, or null")
        first_last = (int(layers[0]), int(layers[1])) if layers else None
        return cls(Coefficient.parse(str(value["coefficient"])), first_last, tokens)  # type: ignore[arg-type]
