"""Method: what every extraction method declares, enough to check its input, offer its options and list it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from vectorstore.card import Apply, MethodUse
from vectorstore.errors import InvalidInputError
from vectorstore.extract.params import Param, fill
from vectorstore.extract.positions import ReadPosition
from vectorstore.extract.prompts import CHAT, POSITIVE_LABEL
from vectorstore.items import Item
from vectorstore.kinds import KINDS, check_kind
from vectorstore.place import SITES


@dataclass(frozen=True, kw_only=True)
class Method:
    """What every extraction method declares.

    Attributes:
        name: as in `method="actadd"`; for an entry point, its name.
        version: changes whenever the same input gives another direction.
        summary: one line.
        source: paper and section, or file, that it follows.
        apply: the default way to use its vectors.
        apply_by: that way, of a method whose settings decide it.
        data: the kind of data it takes, as in the card; `vectorstore.kinds` has them.
        sites: where it works, the default first.
        reads: the read positions it can take, the default first; several make a param `read`.
        own_params: its settings besides those of its read positions and data.
        gradients: whether it needs autograd.
        compares: whether it needs a second model.
        max_items: the most items it takes, or None for any number.
        empty_negative: whether the negative text of a pair may be empty.
        one_sided: whether it does without texts to steer away from.
        order_matters: whether another order of the data gives another direction.
    """

    name: str
    version: str
    summary: str
    source: str
    apply: Apply
    data: str = "pairs"
    sites: tuple[str, ...] = SITES
    reads: tuple[ReadPosition, ...] = ()
    own_params: tuple[Param, ...] = ()
    gradients: bool = False
    compares: bool = False
    max_items: int | None = None
    empty_negative: bool = False
    one_sided: bool = False
    order_matters: bool = False
    apply_by: Callable[[MethodUse], Apply] | None = None

    def __post_init__(self) -> None:
        """Refuse data of an unknown kind."""
        if self.data not in KINDS:
            raise InvalidInputError(f"{self.name} takes data '{self.data}'", f"choose {', '.join(KINDS)}")

    @property
    def params(self) -> tuple[Param, ...]:
        """All its settings: where to read, where there is a choice; those of its read positions and data; its own."""
        names = tuple(position.name for position in self.reads)
        summaries = "; ".join(f"{position.name}: {position.summary}" for position in self.reads)
        read = (Param("read", names[0], f"Where to read: {summaries}.", names),) if len(names) > 1 else ()
        of_reads = dict.fromkeys(param for position in self.reads for param in position.params)
        label = (POSITIVE_LABEL,) if self.data == "labelled" and not self.one_sided else ()
        return (*read, *of_reads, *label, *self.own_params, CHAT)

    def use(self, given: Mapping[str, object], seed: int) -> MethodUse:
        """Return the record of one use, with a value for every param that it needs.

        Quiet params that have their default are left out, and so are those of other read positions.

        Raises:
            InvalidInputError: for an unknown param, one of another read position, or a value that does not suit.
        """
        use = MethodUse(self.name, self.version, fill(self.params, given, self.name), seed)
        needed = self.read_position(use).params if self.reads else ()
        idle = {param.name for position in self.reads for param in position.params if param not in needed}
        if useless := next((name for name in given if name in idle), None):
            raise InvalidInputError(
                f"{useless} is given, and {self.name} does not read there", "choose where to read with --read, or not"
            )
        return replace(use, params={name: value for name, value in use.params.items() if name not in idle})

    def apply_for(self, use: MethodUse) -> Apply:
        """Return the default way to use the vectors of `use`."""
        return self.apply_by(use) if self.apply_by else self.apply

    def read_position(self, use: MethodUse) -> ReadPosition:
        """Return where `use` reads, for a method that declares read positions."""
        name = use.params.get("read", self.reads[0].name)
        return next(position for position in self.reads if position.name == name)

    def check_data(self, items: Sequence[Item], use: MethodUse) -> None:
        """Check the data before any work.

        Raises:
            InvalidInputError: for no items, another kind, too many, or one side only where the method needs both.
        """
        check_kind(items, self.data, self.name)
        noun = KINDS[self.data].noun
        if self.max_items is not None and len(items) > self.max_items:
            raise InvalidInputError(
                f"{self.name} takes {self.max_items} {noun}, and there are {len(items)}",
                "compute a vector from each and compose them with +, or use mean_difference",
            )
        if self.data == "pairs" and not self.empty_negative:
            self._check_negatives(items)
        if self.data in ("texts", "labelled") and not self.one_sided:
            self._check_sides(items, use)

    def _check_negatives(self, pairs: Sequence[Item]) -> None:
        empty = next((number for number, pair in enumerate(pairs, 1) if not getattr(pair, "negative", "")), None)
        if empty is not None:
            raise InvalidInputError(
                f"the negative prompt of pair {empty} is empty, and {self.name} reads both",
                "say what to steer away from, or use actadd, which pads an empty prompt",
            )

    def _check_sides(self, items: Sequence[Item], use: MethodUse) -> None:
        towards = str(use.params.get(POSITIVE_LABEL.name, "positive"))
        roles = {passage.role for item in items for passage in item.passages(1)}
        if towards not in roles:
            raise InvalidInputError(
                f"no text is {towards}, and {self.name} needs some", "label some so, or choose with --positive-label"
            )
        if roles == {towards}:
            raise InvalidInputError(
                f"every text is {towards}, and {self.name} needs others to compare with",
                "add a corpus, or texts to steer away from",
            )
