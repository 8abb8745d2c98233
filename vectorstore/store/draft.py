"""Draft: a version before it is saved, with everything about it checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from vectorstore.canonical import Json, canonical_bytes, is_digest
from vectorstore.card import Card
from vectorstore.codec import pack, unpack
from vectorstore.errors import InvalidInputError
from vectorstore.manifest import (
    ITEMS_BLOB,
    NAME_ANNOTATION,
    RECIPE_BLOB,
    VECTOR_BLOB,
    BlobEntry,
    Manifest,
)
from vectorstore.place import Place
from vectorstore.preset import Preset
from vectorstore.recipe import Recipe, Term
from vectorstore.store.blobs.protocol import Check
from vectorstore.store.presets import check_preset
from vectorstore.store.rows import directions
from vectorstore.store.schema import DIGEST_LENGTH, NAME_LENGTH
from vectorstore.store.tables import REFERENCE_LENGTH
from vectorstore.store.texts import MAX_AUTHORS, MAX_DESCRIPTION, check_label, check_text, split_name
from vectorstore.store.version import Direction
from vectorstore.vector import SteeringVector

DESCRIPTION_ANNOTATION = "org.opencontainers.image.description"
LICENSE_ANNOTATION = "org.opencontainers.image.licenses"
AUTHORS_ANNOTATION = "vnd.steering-vectorstore.authors"  # OCI's own is one text, in which names with commas would merge
LABELS_ANNOTATION = "vnd.steering-vectorstore.labels"
PRESETS_ANNOTATION = "vnd.steering-vectorstore.presets"
PARENTS_ANNOTATION = "vnd.steering-vectorstore.parents"


@dataclass(frozen=True)
class About:
    """What people say about a version when they save it, and may change later (all but the parents).

    Attributes:
        labels: `key=value`.
        presets: named coefficients.
        description, license, authors: for readers; the license as an SPDX expression.
        parents: digests of the versions that this one was made from.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    presets: Mapping[str, Preset] = field(default_factory=dict)
    description: str = ""
    license: str = ""
    authors: Sequence[str] = ()
    parents: Sequence[str] = ()


@dataclass(frozen=True)
class Draft:
    """A version before it is saved.

    Attributes:
        namespace, name: what it will be called.
        about: what people say about it.
        manifest: its identity.
        contents: the bytes of the manifest's blobs in its order, each with what checks them once they are on disk.
        card: of a vector; None for recipes.
        directions: of a vector; empty for recipes.
        terms: of a recipe.
        among: the rows of the namespaces whose versions it may be made of; None for all.
        number: the one that the version shall have; None for the next one of its name.
        guard: asked in the transaction that adds the version, and raises if it shall not; None where nothing is asked.
    """

    namespace: str
    name: str
    about: About
    manifest: Manifest
    contents: tuple[tuple[bytes, Check | None], ...]
    card: Card | None = None
    directions: Mapping[Place, Direction] = field(default_factory=dict)
    terms: tuple[Term, ...] = ()
    number: int | None = None
    among: frozenset[int] | None = None
    guard: Callable[[Connection], None] | None = None


def draft_vector(name: str, vector: SteeringVector, card: Card, about: About) -> Draft:
    """Return the draft of a vector; items above 64 KiB become a blob of their own.

    Raises:
        InvalidInputError: for anything that cannot be kept.
    """
    namespace, short = split_name(name)
    check_card(card)
    measured = directions(vector, card)
    check_about(about, measured)
    contents: list[tuple[bytes, Check | None]] = [(pack(vector, card), unpack)]
    blobs = [BlobEntry.of(VECTOR_BLOB, contents[0][0])]
    if (items := card.data.detached()) is not None:
        contents.append((items, None))
        blobs.append(BlobEntry.of(ITEMS_BLOB, items))
    manifest = Manifest("vector", tuple(blobs), _annotations(namespace, short, about))
    return Draft(namespace, short, about, manifest, tuple(contents), card, measured)


def draft_recipe(name: str, recipe: Recipe, about: About) -> Draft:
    """Return the draft of a recipe.

    Raises:
        InvalidInputError: for anything that cannot be kept.
    """
    namespace, short = split_name(name)
    check_about(about, {})
    body = recipe.to_bytes()
    manifest = Manifest("recipe", (BlobEntry.of(RECIPE_BLOB, body),), _annotations(namespace, short, about))
    return Draft(namespace, short, about, manifest, ((body, _check_recipe),), terms=recipe.terms)


def _check_recipe(data: memoryview) -> None:
    Recipe.from_bytes(bytes(data))


def check_about(about: About, measured: Mapping[Place, Direction]) -> None:
    """Refuse what cannot be kept of what people say.

    Raises:
        InvalidInputError: for such a text, label, preset or parent.
    """
    check_text("description", about.description, MAX_DESCRIPTION, lines=True)
    check_text("license", about.license)
    if isinstance(about.authors, str):
        raise InvalidInputError("the authors are one text", "give a list of names")
    if len(about.authors) > MAX_AUTHORS:
        raise InvalidInputError(f"{len(about.authors)} authors", f"name {MAX_AUTHORS} at most")
    for author in about.authors:
        check_text("author", author)
    for key, value in about.labels.items():
        check_label(key, value)
    for name, preset in about.presets.items():
        check_preset(name, preset, measured)
    for parent in about.parents:
        if not is_digest(parent):
            raise InvalidInputError(f"the parent '{parent[:80]}' is not a digest", "give the digests of versions")


def check_card(card: Card) -> None:
    """Refuse texts of the card that no row can hold.

    Raises:
        InvalidInputError: for such a text.
    """
    check_text("model's reference", card.model.reference, REFERENCE_LENGTH)
    check_text("model's architecture", card.model.architecture)
    check_text("model's fingerprint", card.model.fingerprint, DIGEST_LENGTH)
    check_text("tokenizer's digest", card.model.tokenizer_digest, DIGEST_LENGTH)
    check_text("method", card.method.name, NAME_LENGTH)


def _annotations(namespace: str, name: str, about: About) -> dict[str, str]:
    """Return what the manifest says of the version's beginning; what is empty is left out."""
    presets = {key: preset.to_json() for key, preset in about.presets.items()}
    # The default namespace is written too: the manifest alone shall tell where the version belongs.
    annotations = {
        NAME_ANNOTATION: f"{namespace}/{name}",
        DESCRIPTION_ANNOTATION: about.description,
        LICENSE_ANNOTATION: about.license,
        AUTHORS_ANNOTATION: _json(list(about.authors)),
        LABELS_ANNOTATION: _json(dict(about.labels)),
        PRESETS_ANNOTATION: _json(presets),
        PARENTS_ANNOTATION: _json(list(about.parents)),
    }
    return {key: value for key, value in annotations.items() if value}


def _json(value: Json | Sequence[str]) -> str:
    return canonical_bytes(value).decode() if value else ""
