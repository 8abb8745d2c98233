"""Card: what the computation fixed, and only that. It travels inside the blob."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, get_args

from vectorstore.canonical import Json, digest
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.fields import Fields
from vectorstore.identity import ModelIdentity
from vectorstore.pairs import items_bytes
from vectorstore.tokens import Tokens
from vectorstore.vector import Place

INLINE_ITEMS = 64 * 1024
DATA_KINDS = ("pairs", "texts", "labelled", "targets", "demonstrations", "file")


@dataclass(frozen=True)
class MethodUse:
    """The extraction method, with everything needed to repeat it."""

    name: str
    version: str
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


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
    """

    model: ModelIdentity
    method: MethodUse
    data: Data
    read: ReadPositions
    apply: Apply
    norms: Mapping[Place, float]
    residual_norms: Mapping[Place, float]
    versions: Mapping[str, str]

    def __post_init__(self) -> None:
        """Freeze the mappings."""
        for name in ("norms", "residual_norms", "versions"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the directions are."""
        return tuple(self.norms)

    def with_items(self, items: tuple[Json, ...]) -> Card:
        """Return the card with its data's items at hand again."""
        return replace(self, data=replace(self.data, items=items))

    def to_json(self) -> Json:
        """Return the canonical form; items above 64 KiB stay out (a second blob has them)."""
        inline = self.data.items is not None and self.data.detached() is None
        data = {"kind": self.data.kind, "digest": self.data.digest, "count": self.data.count}
        return {
            "model": self.model.to_json(),
            "sites": sorted({place.site for place in self.norms}),
            "layers": sorted({place.layer for place in self.norms}),
            "method": {**vars(self.method), "params": dict(self.method.params)},
            "data": {**data, "items": list(self.data.items or ())} if inline else data,
            "read": {"positions": self.read.positions, "tokens": [list(text) for text in self.read.tokens]},
            "apply": {"tokens": self.apply.tokens, "operator": self.apply.operator},
            "norms": {str(place): norm for place, norm in self.norms.items()},
            "residual_norms": {str(place): norm for place, norm in self.residual_norms.items()},
            "versions": dict(self.versions),
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
        )
        derived = card.to_json()
        if any(fields.sequence(name, kind) != tuple(derived[name]) for name, kind in (("sites", str), ("layers", int))):
            raise IntegrityError("the card's sites and layers differ from its norms", "get the file again")
        return card


def _method(fields: Fields) -> MethodUse:
    params = fields.mapping("params", object)
    return MethodUse(fields.text("name"), fields.text("version"), params, fields.integer("seed"))


def _data(fields: Fields) -> Data:
    items = fields.sequence("items", dict) if fields.maybe("items", list) is not None else None
    data = Data(fields.text("kind"), fields.text("digest"), fields.integer("count"), items)
    if data.kind not in DATA_KINDS:
        raise IntegrityError(f"the card has data of kind '{data.kind[:60]}'", f"kinds: {', '.join(DATA_KINDS)}")
    if items is not None and Data.of(data.kind, items) != data:
        raise IntegrityError("the card's items do not match their digest and count", "get the file again")
    return data


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


def _by_place(values: Mapping[str, float]) -> dict[Place, float]:
    try:
        return {Place.parse(text): value for text, value in values.items()}
    except InvalidInputError as error:
        raise IntegrityError(f"the card says {error.problem}", "get the file again") from error
