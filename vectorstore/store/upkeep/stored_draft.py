"""A draft of what is stored already: a version as its manifest and blobs alone tell it, checked as if by a stranger."""

from __future__ import annotations

from collections.abc import Mapping

from vectorstore.canonical import Json, strict_loads
from vectorstore.codec import unpack
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.fields import Fields
from vectorstore.manifest import NAME_ANNOTATION, RECIPE_BLOB, VECTOR_BLOB, BlobEntry, Manifest
from vectorstore.preset import Preset
from vectorstore.recipe import Recipe
from vectorstore.store.contents import OpenBlob, hashed, with_items
from vectorstore.store.draft import (
    AUTHORS_ANNOTATION,
    DESCRIPTION_ANNOTATION,
    LABELS_ANNOTATION,
    LICENSE_ANNOTATION,
    PARENTS_ANNOTATION,
    PRESETS_ANNOTATION,
    About,
    Draft,
    check_about,
    check_card,
)
from vectorstore.store.rows import directions
from vectorstore.store.texts import split_name


def stored_draft(manifest: Manifest, open_blob: OpenBlob) -> Draft:
    """Return the draft that a version was saved from; its contents are where they are, so the draft has none.

    Every blob is hashed, and a vector's every value is checked.

    Raises:
        IntegrityError: when a blob is missing or damaged, or something in it contradicts something else.
    """
    try:
        return _draft(manifest, open_blob)
    except InvalidInputError as error:
        raise IntegrityError(f"what the manifest says is wrong: {error.problem}", error.hint) from error


def _draft(manifest: Manifest, open_blob: OpenBlob) -> Draft:
    namespace, name = split_name(manifest.annotations.get(NAME_ANNOTATION, ""))
    about = about_of(manifest)
    body, *others = ((entry, hashed(open_blob, entry)) for entry in manifest.blobs)
    if manifest.kind == "recipe":
        check_about(about, {})
        recipe = Recipe.from_bytes(bytes(_of_type(body, RECIPE_BLOB)))
        return Draft(namespace, name, about, manifest, (), terms=recipe.terms)
    vector, card = unpack(_of_type(body, VECTOR_BLOB))
    for _, lines in others:
        card = with_items(card, lines)
    check_card(card)
    measured = directions(vector, card)
    check_about(about, measured)
    return Draft(namespace, name, about, manifest, (), card, measured)


def _of_type(body: tuple[BlobEntry, memoryview], media_type: str) -> memoryview:
    entry, view = body
    if entry.media_type != media_type:
        raise IntegrityError(f"the first blob is of type {entry.media_type[:80]}", f"expected {media_type}")
    return view


def about_of(manifest: Manifest) -> About:
    """Return what a manifest says of its version's beginning.

    Raises:
        IntegrityError, InvalidInputError: when that cannot be read.
    """
    values = manifest.annotations
    presets = _json(values, PRESETS_ANNOTATION, {})
    return About(
        labels=_json(values, LABELS_ANNOTATION, {}).mapping("value", str),
        presets={name: Preset.from_json(preset) for name, preset in presets.mapping("value", dict).items()},
        description=values.get(DESCRIPTION_ANNOTATION, ""),
        license=values.get(LICENSE_ANNOTATION, ""),
        authors=_json(values, AUTHORS_ANNOTATION, []).sequence("value", str),
        parents=_json(values, PARENTS_ANNOTATION, []).sequence("value", str),
    )


def _json(values: Mapping[str, str], key: str, empty: Json | list[str]) -> Fields:
    said = values.get(key)
    value = empty if said is None else strict_loads(said.encode(), f"the annotation {key}")
    return Fields({"value": value}, "the annotations")
