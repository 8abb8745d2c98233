"""ContrastPlan: the recipe of contrast vectors, which exist only while they are used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from vectorstore.canonical import Json
from vectorstore.errors import InvalidInputError
from vectorstore.fields import Fields

At = Literal["end", "front"]
"""Where an instruction stands: at the end of the prompt, or at its front, after BOS."""


@dataclass(frozen=True)
class ContrastPlan:
    """Two instructions whose difference is worked out for each input (RepE, arXiv 2310.01405, section 3.2).

    There is no vector to keep: every input has its own. This is all there is to write down.

    Attributes:
        positive: what the input is told once, " Give a truthful answer.", with its leading space.
        negative: what it is told the other time, " Give an untruthful answer.".
        layers: the layers after which the difference is added; kept in order, as a tuple.
        coefficient: what it is multiplied by: the authors use 0.25, and 0.1 and more.
        tail: so many tokens at the end of the prompt come after the instruction, and are steered as what follows the
            prompt is: those of "[/INST]". With 0 the first new token is chosen from one that is not steered.
        at: where the instruction stands: before the tail, or at the front of the prompt.
    """

    positive: str
    negative: str
    layers: Sequence[int]
    coefficient: float = 0.25
    tail: int = 0
    at: At = "end"

    def __post_init__(self) -> None:
        """Check the parts, and put the layers in order."""
        layers = tuple(sorted(set(self.layers)))
        if self.positive == self.negative:
            raise InvalidInputError(
                "both instructions are the same, so that there is no contrast", "write two that differ"
            )
        if not layers or layers[0] < 0:
            raise InvalidInputError(
                f"these are no layers: {list(self.layers)}", "give layers from 0 on: range(0, 30, 2)"
            )
        if not math.isfinite(self.coefficient):
            raise InvalidInputError(f"the coefficient is {self.coefficient}", "give a finite number: 0.25")
        if self.tail < 0:
            raise InvalidInputError(
                f"a tail of {self.tail} tokens", "count the tokens after the instruction, from 0 on"
            )
        if self.at not in get_args(At):
            raise InvalidInputError(f"no instruction stands at '{self.at}'", f"use one of {', '.join(get_args(At))}")
        object.__setattr__(self, "layers", layers)

    def to_json(self) -> Json:
        """Return the parts by name."""
        return {**asdict(self), "layers": list(self.layers)}

    @classmethod
    def from_json(cls, value: object) -> ContrastPlan:
        """Read what `to_json` gives.

        Raises:
            IntegrityError: when a part is missing, unknown or not of its type.
            InvalidInputError: when the parts are no plan.
        """
        fields = Fields(value, "the contrast plan")
        fields.only(set(cls.__dataclass_fields__))
        return cls(
            positive=fields.text("positive"),
            negative=fields.text("negative"),
            layers=fields.sequence("layers", int),
            coefficient=fields.number("coefficient"),
            tail=fields.integer("tail"),
            at=fields.text("at"),  # type: ignore[arg-type]
        )
