"""Version: one immutable version of a name, with what is movable about it as it was when it was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from vectorstore.canonical import Json
from vectorstore.identity import ModelIdentity
from vectorstore.manifest import BlobEntry
from vectorstore.place import SITES, Place
from vectorstore.preset import Preset
from vectorstore.reference import short_name


@dataclass(frozen=True)
class Direction:
    """What the catalogue knows of one direction.

    Attributes:
        width: its last axis.
        positions: its rows where it is `[t, d]`, None where it is `[d]`.
        norm: of the direction; of the largest row for `[t, d]`.
        residual_norm: R at its place, or None where there is none.
    """

    width: int
    positions: int | None
    norm: float
    residual_norm: float | None

    @property
    def shape(self) -> tuple[int, ...]:
        """`(t, d)` or `(d,)`."""
        return (self.width,) if self.positions is None else (self.positions, self.width)


@dataclass(frozen=True)
class Found:
    """A version, as far as naming and reading it needs: nothing of this ever changes.

    Attributes:
        namespace, name, number: what people call it.
        digest: of its manifest: its identity.
        kind: `vector` or `recipe`.
        blobs: its manifest's blobs, in order.
    """

    namespace: str
    name: str
    number: int
    digest: str
    kind: str
    blobs: tuple[BlobEntry, ...]

    def __str__(self) -> str:
        """`default/love@2`: the reference that always means this version."""
        return f"{self.full_name}@{self.number}"

    @property
    def full_name(self) -> str:
        """`default/love`."""
        return f"{self.namespace}/{self.name}"

    @property
    def reference(self) -> str:
        """The shortest reference that always means this version: `love@2`, `acme/love@2`."""
        return short_name(str(self))


@dataclass(frozen=True)
class Version(Found):
    """One version, with all that the library says of it.

    Attributes:
        created_at: when this library got it.
        model: the model a vector was computed on; None for recipes.
        method: the extraction method; None for recipes.
        directions: by place, in order; empty for recipes.
        labels, aliases, presets, description, license, authors, yanked: what may change, as it was when it was read.
        yank_reason: why it is yanked; may be empty.
        deprecation: why it should no longer be used; None where it may be.
    """

    created_at: datetime
    model: ModelIdentity | None
    method: str | None
    directions: Mapping[Place, Direction]
    labels: Mapping[str, str]
    aliases: tuple[str, ...]
    presets: Mapping[str, Preset]
    description: str
    license: str
    authors: tuple[str, ...]
    yanked: bool
    yank_reason: str = ""
    deprecation: str | None = None

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites, each once, in the order of SITES."""
        return tuple(site for site in SITES if any(place.site == site for place in self.directions))

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers, ascending, each once."""
        return tuple(sorted({place.layer for place in self.directions}))

    @property
    def model_reference(self) -> str | None:
        """How the model was asked for."""
        return self.model.reference if self.model else None

    @property
    def architecture(self) -> str | None:
        """The model's class."""
        return self.model.architecture if self.model else None

    @property
    def d_model(self) -> int | None:
        """The width of the model's residual stream."""
        return self.model.d_model if self.model else None

    @property
    def layer_count(self) -> int | None:
        """The model's number of layers."""
        return self.model.layer_count if self.model else None

    @property
    def fingerprint(self) -> str | None:
        """The digest of samples of the model's parameters."""
        return self.model.fingerprint if self.model else None

    def to_json(self) -> Json:
        """Return everything, for programs."""
        return {
            **{name: getattr(self, name) for name in ("namespace", "name", "number", "digest", "kind", "method")},
            **{
                name: getattr(self, name) for name in ("description", "license", "yanked", "yank_reason", "deprecation")
            },
            "reference": self.reference,
            "created_at": self.created_at.isoformat(),
            "blobs": [blob._asdict() for blob in self.blobs],
            "model": self.model.to_json() if self.model else None,
            "directions": {str(place): dict(vars(direction)) for place, direction in self.directions.items()},
            "labels": dict(self.labels),
            "aliases": list(self.aliases),
            "presets": {name: preset.to_json() for name, preset in self.presets.items()},
            "authors": list(self.authors),
        }


@dataclass(frozen=True)
class Saved:
    """What saving gave: the version, and whether it is new (`created`) or was there already."""

    version: Version
    created: bool


@dataclass(frozen=True)
class Page:
    """A page of the catalogue; `cursor` asks for the next one, and is None on the last."""

    versions: tuple[Version, ...]
    cursor: str | None

    def __iter__(self) -> Iterator[Version]:
        """Yield the versions."""
        return iter(self.versions)

    def __len__(self) -> int:
        """Return how many there are on this page."""
        return len(self.versions)
