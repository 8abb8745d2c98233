"""Card: what the computation fixed, and only that. It travels inside the blob."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar, get_args

from vectorstore.canonical import Json, digest, is_digest
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.fields import Fields
from vectorstore.identity import ModelIdentity
from vectorstore.items import items_bytes
from vectorstore.place import Place
from vectorstore.tokens import Tokens

T = TypeVar("T")
INLINE_ITEMS = 64 * 1024
DATA_KINDS = ("pairs", "texts", "labelled", "targets", "demonstrations", "file", "versions")


@dataclass(frozen=True)
class MethodUse:
    """The extraction method, with everything needed to repeat it.

    Attributes:
        name: in the registry of methods.
        version: of the method, which changes when the same data gives other directions.
        params: JSON values by name.
        seed: of its random choices.
    """

    name: str
    version: str
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        """Freeze the params."""
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))


@dataclass(frozen=True)
class Data:
    """What the vector was computed from.

    Attributes:
        kind: one of DATA_KINDS.
        digest: of the items as canonical JSON Lines.
        count: number of items.
        items: the items themselves; None where they are not at hand.
    """

    kind: str
    digest: str
    count: int
    items: tuple[Json, ...] | None = None

    @classmethod
    def of(cls, kind: str, items: tuple[Json, ...]) -> Data:
        """Describe `items`."""
        return cls(kind, digest(items_bytes(items)), len(items), items)

    def with_items(self, items: tuple[Json, ...]) -> Data:
        """Return the data with its items at hand.

        Raises:
            IntegrityError: when digest or count are not those of the items.
        """
        data = Data.of(self.kind, items)
        if (data.digest, data.count) != (self.digest, self.count):
            raise IntegrityError("the items of the data do not match their digest and count", "get them again")
        return data

    def detached(self) -> bytes | None:
        """Return the items as JSON Lines where they are too large to travel inside the card, else None."""
        if self.items is None:
            return None
        lines = items_bytes(self.items)
        return lines if len(lines) > INLINE_ITEMS else None


@dataclass(frozen=True)
class ReadPositions:
    """Where activations were read: the rule's name, and the token strings it found in each text (if few enough)."""

    positions: str
    tokens: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Apply:
    """The default way to use the vector."""

    tokens: Tokens
    operator: str = "add"


@dataclass(frozen=True)
class Card:
    """What the computation fixed.

    Attributes:
        model: the model whose activations were read.
        method, data, read: how, from what, and where they were read.
        apply: the default way to use the vector.
        norms: the norm of each direction (largest row for `[t, d]`).
        residual_norms: R at each place: the median norm over the non-sink positions of the neutral text.
        versions: of torch, transformers and vectorstore.
        figures: what the method measured at a place while it worked, by name: a coherence, a threshold, a loss.
    """

    model: ModelIdentity
    method: MethodUse
    data: Data
    read: ReadPositions
    apply: Apply
    norms: Mapping[Place, float]
    residual_norms: Mapping[Place, float]
    versions: Mapping[str, str]
    figures: Mapping[Place, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Freeze the mappings, sorted by place."""
        figures = {place: MappingProxyType(dict(named)) for place, named in self.figures.items() if named}
        object.__setattr__(self, "figures", figures)
        for name in ("norms", "residual_norms", "figures"):
            by_place = dict(sorted(getattr(self, name).items(), key=lambda item: item[0].order))
            object.__setattr__(self, name, MappingProxyType(by_place))
        object.__setattr__(self, "versions", MappingProxyType(dict(self.versions)))

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the directions are, by site and then by layer."""
        return tuple(self.norms)

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites, each once, by alphabet."""
        return tuple(sorted({place.site for place in self.norms}))

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers, each once, ascending."""
        return tuple(sorted({place.layer for place in self.norms}))

    def with_items(self, items: tuple[Json, ...]) -> Card:
        """Return the card with its data's items at hand again.

        Raises:
            IntegrityError: when they are not the items the card was made with.
        """
        return replace(self, data=self.data.with_items(items))

    def to_json(self) -> Json:
        """Return the canonical form; items above 64 KiB stay out (a second blob has them)."""
        inline = self.data.items is not None and self.data.detached() is None
        data = {"kind": self.data.kind, "digest": self.data.digest, "count": self.data.count}
        return {
            "model": self.model.to_json(),
            "sites": list(self.sites),
            "layers": list(self.layers),
            "method": {**vars(self.method), "params": dict(self.method.params)},
            "data": {**data, "items": list(self.data.items or ())} if inline else data,
            "read": {"positions": self.read.positions, "tokens": [list(text) for text in self.read.tokens]},
            "apply": {"tokens": self.apply.tokens, "operator": self.apply.operator},
            "norms": {str(place): norm for place, norm in self.norms.items()},
            "residual_norms": {str(place): norm for place, norm in self.residual_norms.items()},
            "versions": dict(self.versions),
            **({"figures": {str(place): dict(named) for place, named in self.figures.items()}} if self.figures else {}),
        }

    @classmethod
    def from_json(cls, value: object) -> Card:
        """Read the canonical form.

        Raises:
            IntegrityError: when a part is missing, not of its type, or contradicts another.
        """
        fields = Fields(value, "the card")
        card = cls(
            model=ModelIdentity.from_json(fields.child("model")),
            method=_method(fields.child("method")),
            data=_data(fields.child("data")),
            read=_read(fields.child("read")),
            apply=_apply(fields.child("apply")),
            norms=_by_place(fields.mapping("norms", float)),
            residual_norms=_by_place(fields.mapping("residual_norms", float)),
            versions=fields.mapping("versions", str),
            figures=_figures(fields),
        )
        if fields.sequence("sites", str) != card.sites or fields.sequence("layers", int) != card.layers:
            raise IntegrityError("the card's sites and layers differ from its norms", "get the file again")
        if not set(card.residual_norms) <= set(card.norms) or min((0, *card.residual_norms.values())) < 0:
            raise IntegrityError("the card has a residual norm of no direction, or below 0", "get the file again")
        if not set(card.figures) <= set(card.norms):
            raise IntegrityError("the card has figures of no direction", "get the file again")
        return card


def _method(fields: Fields) -> MethodUse:
    params = fields.mapping("params", object)
    return MethodUse(fields.text("name"), fields.text("version"), params, fields.integer("seed"))


def _data(fields: Fields) -> Data:
    data = Data(fields.text("kind"), fields.text("digest"), fields.integer("count"))
    if data.kind not in DATA_KINDS:
        raise IntegrityError(f"the card has data of kind '{data.kind[:60]}'", f"kinds: {', '.join(DATA_KINDS)}")
    if not is_digest(data.digest):
        raise IntegrityError(
            f"the card has a data digest '{data.digest[:80]}'", "digests are sha256: and 64 hex digits"
        )
    return data if fields.maybe("items", list) is None else data.with_items(fields.sequence("items", dict))


def _read(fields: Fields) -> ReadPositions:
    texts = fields.sequence("tokens", list)
    if not all(isinstance(token, str) for text in texts for token in text):
        raise IntegrityError("the card has a read token that is not text", "get the file again")
    return ReadPositions(fields.text("positions"), tuple(tuple(text) for text in texts))


def _apply(fields: Fields) -> Apply:
    tokens = fields.text("tokens")
    if tokens not in get_args(Tokens):
        raise IntegrityError(f"the card applies to '{tokens[:60]}' tokens", f"known: {', '.join(get_args(Tokens))}")
    return Apply(tokens, fields.text("operator"))  # type: ignore[arg-type]


def _figures(fields: Fields) -> dict[Place, Mapping[str, float]]:
    if fields.maybe("figures", dict) is None:
        return {}
    named = fields.child("figures")
    return _by_place({name: named.mapping(name, float) for name in fields.mapping("figures", dict)})


def _by_place(values: Mapping[str, T]) -> dict[Place, T]:
    try:
        return {Place.parse(text): value for text, value in values.items()}
    except InvalidInputError as error:
        raise IntegrityError(f"the card says {error.problem}", "get the file again") from error
