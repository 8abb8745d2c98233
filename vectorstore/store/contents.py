"""Contents: from a version's blobs to the vector and card, or the recipe, that they hold."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select

from vectorstore.canonical import digest, strict_loads
from vectorstore.card import Card
from vectorstore.codec import unpack
from vectorstore.errors import ConflictError, IntegrityError
from vectorstore.fields import Fields
from vectorstore.manifest import ITEMS_BLOB, MANIFEST_TYPE, RECIPE_BLOB, VECTOR_BLOB, BlobEntry
from vectorstore.recipe import Recipe
from vectorstore.store.blobs.protocol import Blobs
from vectorstore.store.database import Database
from vectorstore.store.tables import BLOB_SIZES
from vectorstore.store.version import Found
from vectorstore.vector import SteeringVector

OpenBlob = Callable[[str, int], memoryview]
"""(digest, size) -> the bytes of a blob."""


def read_vector(blobs: Blobs, version: Found) -> tuple[SteeringVector, Card]:
    """Return a vector, mapped from its file, and its card with all its items.

    The bytes were checked when they entered, and are not hashed again.

    Raises:
        ConflictError: when the version is a recipe.
        IntegrityError: when a blob is missing, or is not what it was.
    """
    _require(version, "vector", "read_recipe")
    entry = _entry(version, VECTOR_BLOB)
    vector, card = unpack(blobs.open(entry.digest, entry.size), trusted=True)
    items = _find(version, ITEMS_BLOB)
    return vector, card if items is None else with_items(card, hashed(blobs.open, items))


def read_recipe(blobs: Blobs, version: Found) -> Recipe:
    """Return a recipe.

    Raises:
        ConflictError: when the version is a vector.
        IntegrityError: when its blob is missing, or is not what it was.
    """
    _require(version, "recipe", "read")
    return Recipe.from_bytes(bytes(hashed(blobs.open, _entry(version, RECIPE_BLOB))))


def read_manifest(database: Database, blobs: Blobs, version: Found) -> bytes:
    """Return the bytes of a version's manifest.

    Raises:
        IntegrityError: when the blob is missing, or is not what it was.
    """
    with database.look() as connection:
        size = connection.scalar(select(BLOB_SIZES.c.size).where(BLOB_SIZES.c.digest == version.digest))
    if size is None:
        raise IntegrityError(f"the manifest of {version.reference} is missing", "restore the library from a backup")
    return bytes(hashed(blobs.open, BlobEntry(MANIFEST_TYPE, version.digest, size)))


def _require(version: Found, kind: str, other: str) -> None:
    if version.kind != kind:
        raise ConflictError(f"{version.reference} is a {version.kind}, not a {kind}", f"use {other}() for it")


def _entry(version: Found, media_type: str) -> BlobEntry:
    entry = _find(version, media_type)
    if entry is None:
        raise IntegrityError(
            f"{version.reference} has no blob of type {media_type}", "restore the library from a backup"
        )
    return entry


def _find(version: Found, media_type: str) -> BlobEntry | None:
    for entry in version.blobs:
        if entry.media_type == media_type:
            return entry
    return None


def hashed(open_blob: OpenBlob, entry: BlobEntry) -> memoryview:
    """Return all bytes of a blob, which are hashed first.

    Raises:
        IntegrityError: when it is missing, or is not what it was.
    """
    view = open_blob(entry.digest, entry.size)
    if digest(view) != entry.digest:
        raise IntegrityError(f"the blob {entry.digest} was altered", "restore it from a backup")
    return view


def with_items(card: Card, lines: memoryview) -> Card:
    """Return the card with the items of its data, from their own blob.

    Raises:
        IntegrityError: when they are not the items the card was made with.
    """
    items = Fields({"items": [strict_loads(line, "an item") for line in bytes(lines).splitlines()]}, "the items")
    return card.with_items(items.sequence("items", dict))
