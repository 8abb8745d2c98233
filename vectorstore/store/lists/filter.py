"""Filter: what a list shall show, checked and turned into sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from vectorstore.errors import InvalidInputError
from vectorstore.place import SITES
from vectorstore.reference import check_name
from vectorstore.store.lists.source import (
    Source,
    at_place,
    by_method,
    in_namespace,
    labelled,
    made_by,
    of_kind,
    on_model,
)
from vectorstore.store.names import namespace_id
from vectorstore.store.tables import REFERENCE_LENGTH
from vectorstore.store.texts import check_text

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

MAX_LABELS = 16
MAX_LAYER = 1_000_000


@dataclass(frozen=True)
class Filter:
    """What a list shall show; what is left out is not asked about.

    Attributes:
        namespace: only in this one.
        labels: all of them with these values.
        model: computed on the model that was asked for by this reference.
        method: by this extraction method.
        layer: with a direction at this layer; at `site`, where that is given too.
        site: with a direction at this site.
        author: of this author.
        text: having all these words in name, description, labels, authors, method or model.
        kind: `vector` or `recipe`.
    """

    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    method: str | None = None
    layer: int | None = None
    site: str | None = None
    author: str | None = None
    text: str | None = None
    kind: str | None = None

    def sources(self, connection: Connection | Session) -> Iterator[Source]:
        """Yield the source of each condition but the text.

        Raises:
            InvalidInputError: for what cannot be.
            NotFoundError: for an unknown namespace.
        """
        if self.namespace is not None:
            yield in_namespace(namespace_id(connection, check_name(self.namespace, "namespace")))
        if self.model is not None:
            yield on_model(check_text("model", self.model, REFERENCE_LENGTH))
        if self.method is not None:
            yield by_method(check_text("method", self.method))
        if self.kind is not None:
            yield of_kind(_one_of("kind", self.kind, ("vector", "recipe")))
        if self.author is not None:
            yield made_by(check_text("author", self.author))
        if self.site is not None or self.layer is not None:
            yield at_place(None if self.site is None else _one_of("site", self.site, SITES), _layer(self.layer))
        if len(self.labels) > MAX_LABELS:
            raise InvalidInputError(f"{len(self.labels)} labels to look for", f"{MAX_LABELS} are allowed")
        for key, value in self.labels.items():
            yield labelled(check_text("label", key), check_text("label", value))


def _one_of(what: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise InvalidInputError(f"there is no {what} '{value[:40]}'", f"{what}s: {', '.join(known)}")
    return value


def _layer(layer: int | None) -> int | None:
    if layer is not None and not 0 <= layer < MAX_LAYER:
        raise InvalidInputError(f"there is no layer {layer}", "layers are counted from 0")
    return layer
