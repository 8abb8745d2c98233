"""The two kinds of extraction method, and what each declares about itself.

An `ActivationMethod` is pure: activations of the positive and the negative prompts in, one direction out. It never sees
the model; `compute` reads the activations for it, place by place. A `ModelMethod` gets the model itself, for what the
first kind cannot say: gradients, or a choice among places such as attention heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.card import Apply, MethodUse
from vectorstore.errors import InvalidInputError
from vectorstore.extract.params import Param, fill
from vectorstore.extract.positions import ReadPosition
from vectorstore.pairs import ContrastPair
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
    """

    places: tuple[Place, ...]
    use: MethodUse
    batch_size: int = 8
    progress: Progress | None = None


Direction = Callable[[Array, Array, MethodUse], Array]
"""(positive, negative, use) -> direction `[d]`, or `[t, d]` from a read position by token.

Both activations are float32, row i from pair i: `[pairs, d]`, or `[pairs, t, d]` from a read position by token.
`use.params` has a value for every declared param; `use.seed` is for whatever is drawn.
"""

Run = Callable[[PreTrainedModel, PreTrainedTokenizerBase, Sequence[ContrastPair], Request], SteeringVector]
"""(model, tokenizer, data, request) -> vector with directions at some or all of `request.places`.

The model is in eval mode; whatever hooks the method puts on it, it takes off again. `reading.prepare` and
`reading.read` read activations for it.
"""


@dataclass(frozen=True, kw_only=True)
class Method:
    """What every extraction method declares: enough to check its input, offer its options and list it.

    Attributes:
        name: as in `method="actadd"`; for an entry point, its name.
        version: changes whenever the same input gives another direction.
        summary: one line.
        source: paper and section, or file, that it follows.
        apply: the default way to use its vectors.
        data: the kind of data it takes, as in the card.
        reads: the read positions it can take, the default first; several make a param `read`.
        own_params: its settings besides those of its read positions.
        gradients: whether it needs autograd.
        max_pairs: the most pairs it takes, or None for any number.
        empty_negative: whether a negative prompt may be empty.
    """

    name: str
    version: str
    summary: str
    source: str
    apply: Apply
    data: str = "pairs"
    reads: tuple[ReadPosition, ...] = ()
    own_params: tuple[Param, ...] = ()
    gradients: bool = False
    max_pairs: int | None = None
    empty_negative: bool = False

    @property
    def params(self) -> tuple[Param, ...]:
        """All its settings: `read` where there is a choice, those of its read positions, and its own."""
        names = tuple(position.name for position in self.reads)
        summaries = "; ".join(f"{position.name}: {position.summary}" for position in self.reads)
        read = (Param("read", names[0], f"Where to read: {summaries}.", names),) if len(names) > 1 else ()
        of_reads = dict.fromkeys(param for position in self.reads for param in position.params)
        return (*read, *of_reads, *self.own_params)

    def use(self, given: Mapping[str, object], seed: int) -> MethodUse:
        """Return the record of one use, with a value for every param.

        Raises:
            InvalidInputError: for an unknown param, or a value that does not suit.
        """
        return MethodUse(self.name, self.version, fill(self.params, given, self.name), seed)

    def read_position(self, use: MethodUse) -> ReadPosition:
        """Return where `use` reads, for a method that declares read positions."""
        name = use.params.get("read", self.reads[0].name)
        return next(position for position in self.reads if position.name == name)

    def check_pairs(self, pairs: Sequence[ContrastPair]) -> None:
        """Check the data before any work.

        Raises:
            InvalidInputError: for no pairs, too many, or an empty negative where the method needs both prompts.
        """
        if not pairs:
            raise InvalidInputError("there are no contrast pairs", "give at least one positive and negative prompt")
        if self.max_pairs is not None and len(pairs) > self.max_pairs:
            raise InvalidInputError(
                f"{self.name} takes {self.max_pairs} contrast pair, and there are {len(pairs)}",
                "compute a vector from each and compose them with +, or use mean_difference",
            )
        empty = next((number for number, pair in enumerate(pairs, 1) if not pair.negative), None)
        if empty is not None and not self.empty_negative:
            raise InvalidInputError(
                f"the negative prompt of pair {empty} is empty, and {self.name} reads both",
                "say what to steer away from, or use actadd, which pads an empty prompt",
            )


@dataclass(frozen=True, kw_only=True)
class ActivationMethod(Method):
    """A pure function of activations.

    Attributes:
        direction: called once for each place.

    Raises:
        InvalidInputError: when it declares no read position.
    """

    direction: Direction

    def __post_init__(self) -> None:
        """Refuse a method that does not say where to read."""
        if not self.reads:
            raise InvalidInputError(f"{self.name} declares no read position", "give it reads=(MEAN_CONTENT,)")


@dataclass(frozen=True, kw_only=True)
class ModelMethod(Method):
    """A function of the model itself.

    Attributes:
        run: called once for all places.
    """

    run: Run


AnyMethod = ActivationMethod | ModelMethod
