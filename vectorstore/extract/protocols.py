"""The kinds of extraction method. All but the last are pure: activations in, directions out; `compute` reads for them.

- `ActivationMethod`: all rows of one place -> its direction.
- `MomentMethod`: mean and count of the rows of one place -> its direction; memory does not grow with the data.
- `PlacesMethod`: all rows of all places -> directions at the places it chooses.
- `ModelMethod`: the model itself: gradients, training, a second model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import MethodUse
from vectorstore.errors import InvalidInputError
from vectorstore.extract.method import Method
from vectorstore.extract.moments import Moments
from vectorstore.place import Place
from vectorstore.vector import Array, SteeringVector

Progress = Callable[[int, int], None]
"""Called with the number of texts that are done, and of all."""


@dataclass(frozen=True)
class Request:
    """What one computation is asked for.

    Attributes:
        places: where directions are wanted.
        use: the method with all its params, and the seed for whatever it draws.
        batch_size: texts in one forward pass.
        progress: told after each batch; None where nobody watches.
        other: the second model, of a method that compares two; it reads with the first one's tokenizer.
    """

    places: tuple[Place, ...]
    use: MethodUse
    batch_size: int = 8
    progress: Progress | None = None
    other: PreTrainedModel | None = None


@dataclass(frozen=True)
class Direction:
    """A direction, with what else a method has to say of its place.

    Attributes:
        direction: `[d]`, or `[t, d]`.
        reference: a base point `[d]`, for operators that need one.
        figures: what was measured, by name: kept in the card.
    """

    direction: Array
    reference: Array | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sides:
    """The activations at one place, float32, a row per text, in the order of the data.

    Of pairs, row i of both sides is of pair i. Of texts and labelled texts the sides may differ in number.

    Attributes:
        positive, negative: `[n, d]`, or `[n, t, d]` from a read position by token.
        positive_groups, negative_groups: a number per row; rows whose items share a prompt have the same. Split data
            by it, so that one question's answers are not on both sides of the split.
        positive_lengths, negative_lengths: how many of the t rows each text has; the others are zero. 1 elsewhere.
        heads: how many heads a row consists of, one after another, at `head_out`; 1 elsewhere.
    """

    positive: Array
    negative: Array
    positive_groups: Array
    negative_groups: Array
    positive_lengths: Array
    negative_lengths: Array
    heads: int = 1


Found = Array | Direction
Directions = Mapping[Place, Found]


@dataclass(frozen=True, kw_only=True)
class _Pure(Method):
    """A pure function of activations."""

    def __post_init__(self) -> None:
        """Refuse a method that does not say where to read."""
        super().__post_init__()
        if not self.reads:
            raise InvalidInputError(f"{self.name} declares no read position", "give it reads=(MEAN_CONTENT,)")


@dataclass(frozen=True, kw_only=True)
class ActivationMethod(_Pure):
    """A pure function of all rows of one place.

    Attributes:
        direction: (positive, negative, use) -> direction `[d]`, or `[t, d]` from a read position by token; called once
            for each place. Both are as in `Sides`. `use.params` has a value for every declared param; `use.seed` is
            for whatever is drawn.
    """

    protocol: ClassVar[str] = "activations"
    direction: Callable[[Array, Array, MethodUse], Found]


@dataclass(frozen=True, kw_only=True)
class MomentMethod(_Pure):
    """A pure function of the moments of one place's rows, which are not kept.

    Attributes:
        direction: (moments of positive, of negative, use) -> direction `[d]`; called once for each place. The negative
            ones have count 0 where the method is `one_sided`.
        scatter: whether it needs covariances.
    """

    protocol: ClassVar[str] = "moments"
    direction: Callable[[Moments, Moments, MethodUse], Found]
    scatter: bool = False

    def __post_init__(self) -> None:
        """Refuse read positions by token, whose rows have no one mean."""
        super().__post_init__()
        if any(position.by_token for position in self.reads):
            raise InvalidInputError(f"{self.name} reads by token, which has no moments", "make it an ActivationMethod")


@dataclass(frozen=True, kw_only=True)
class PlacesMethod(_Pure):
    """A pure function of all rows of all places; it may choose among them.

    Attributes:
        directions: (sides by place, use) -> directions at some or all of these places; called once.
    """

    protocol: ClassVar[str] = "places"
    directions: Callable[[Mapping[Place, Sides], MethodUse], Directions]


@dataclass(frozen=True, kw_only=True)
class ModelMethod(Method):
    """A function of the model itself.

    Attributes:
        run: (model, tokenizer, data, request) -> directions at some or all of `request.places`; called once. The model
            is in eval mode; whatever the method puts on it or changes of it, it puts back. `reading.prepare`,
            `reading.batches` and `prompts.encode_items` read activations and texts for it.
    """

    protocol: ClassVar[str] = "model"
    run: Callable[
        [PreTrainedModel, PreTrainedTokenizerBase, Sequence[Any], Request], SteeringVector | Mapping[Place, Any]
    ]


PureMethod = ActivationMethod | MomentMethod | PlacesMethod
AnyMethod = PureMethod | ModelMethod
METHODS = (ActivationMethod, MomentMethod, PlacesMethod, ModelMethod)
