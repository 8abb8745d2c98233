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

    def __post_init__(self) -> None:
        """Check that the layers are a range and the tokens are known."""
        if self.layers is not None and not 0 <= self.layers[0] <= self.layers[1]:
            raise InvalidInputError(
                f"layers {self.layers[0]}..{self.layers[1]} are no range",
                "give the first and the last layer, from 0 on",
            )
        if self.tokens not in (None, *get_args(Tokens)):
            raise InvalidInputError(f"there are no '{self.tokens}' tokens", f"known: {', '.join(get_args(Tokens))}")

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
            InvalidInputError: when a part is missing, unknown or not of its type.
        """
        if set(value) != {"coefficient", "layers", "tokens"} or not isinstance(value["coefficient"], str):
            raise InvalidInputError("this is not a preset", "give coefficient, layers and tokens, and nothing else")
        layers = value["layers"]
        if layers is not None and not (isinstance(layers, list) and [type(layer) for layer in layers] == [int, int]):
            raise InvalidInputError(f"preset layers {str(layers)[:40]}", "give the first and the last layer, or null")
        first_last = (layers[0], layers[1]) if layers else None
        return cls(Coefficient.parse(value["coefficient"]), first_last, value["tokens"])  # type: ignore[arg-type]
