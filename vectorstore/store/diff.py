"""Diff: in what two versions differ: what the computation fixed, what people say about them, and their directions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from vectorstore.canonical import Json, canonical_bytes
from vectorstore.card import Card, Data
from vectorstore.errors import InvalidInputError
from vectorstore.recipe import Recipe, Term
from vectorstore.reference import Reference, parse_reference
from vectorstore.store.difference import Diff, Difference, DirectionPair, Items, differences
from vectorstore.store.store import Store
from vectorstore.store.version import Version
from vectorstore.vector import SteeringVector

_ELSEWHERE = ("sites", "layers", "norms")  # of the card: the directions say it


def diff(store: Store, left: str | Reference, right: str | Reference) -> Diff:
    """Return how two versions differ.

    Args:
        store: the library.
        left: a vector or a recipe; `love[6..12]` compares these layers alone.
        right: what it is compared with.

    Raises:
        InvalidInputError: for a reference with a preset, or layers that are not there.
        NotFoundError: as for `Store.resolve`.
        IntegrityError: when a blob is missing or damaged.
    """
    references = [_without_preset(reference) for reference in (left, right)]
    versions = one, other = store.resolve(references[0]), store.resolve(references[1])
    movable = tuple(differences(_movable(one), _movable(other)))
    kinds = {version.kind for version in versions}
    if kinds == {"vector"}:
        return _vectors(store, references, versions, movable)
    if kinds == {"recipe"}:
        fixed = _recipes(store, store.read_recipe(one), store.read_recipe(other))
        return Diff(one, other, tuple(fixed), movable)
    kind = Difference("kind", one.kind, other.kind)
    return Diff(one, other, (kind,), movable, notes=("a vector and a recipe: only what people say is compared",))


def _without_preset(reference: str | Reference) -> Reference:
    parsed = reference if isinstance(reference, Reference) else parse_reference(reference)
    if parsed.preset is not None:
        raise InvalidInputError(f"'{parsed}' has a preset", "name the versions alone: all their presets are compared")
    return parsed


def _movable(version: Version) -> Json:
    return {
        "description": version.description,
        "license": version.license,
        "authors": list(version.authors),
        "labels": dict(version.labels),
        "presets": {name: preset.to_json() for name, preset in version.presets.items()},
        "aliases": list(version.aliases),
        "yanked": version.yanked,
    }


def _vectors(
    store: Store, references: Sequence[Reference], versions: tuple[Version, Version], movable: tuple[Difference, ...]
) -> Diff:
    (left, left_card), (right, right_card) = (store.read(version) for version in versions)
    fixed = differences(_fixed(left_card), _fixed(right_card))
    left, right = (_selected(vector, ref) for vector, ref in zip((left, right), references, strict=True))
    notes = _notes(left, left_card, right, right_card)
    items = _items(left_card.data, right_card.data)
    return Diff(*versions, tuple(fixed), movable, items, tuple(_pairs(left, right)), tuple(notes))


def _fixed(card: Card) -> Json:
    """Return the card without its items, which are compared one by one, and without what the directions say."""
    values = {part: value for part, value in card.to_json().items() if part not in _ELSEWHERE}
    return values | {"data": {part: value for part, value in values["data"].items() if part != "items"}}


def _selected(vector: SteeringVector, reference: Reference) -> SteeringVector:
    if reference.layers is None:
        return vector
    first, last = reference.layers
    return vector.select(range(first, last + 1))


def _pairs(left: SteeringVector, right: SteeringVector) -> Iterator[DirectionPair]:
    for place in sorted({*left.places, *right.places}, key=lambda place: place.order):
        yield DirectionPair(place, left.directions.get(place), right.directions.get(place))


def _notes(left: SteeringVector, left_card: Card, right: SteeringVector, right_card: Card) -> list[str]:
    notes = []
    if left_card.model.fingerprint != right_card.model.fingerprint:
        models = f"{left_card.model.reference} and {right_card.model.reference}"
        notes.append(f"they were computed on models with other weights ({models}): cosines between these say little")
    if left_card.data.digest != right_card.data.digest:
        notes += [
            f"the items of the {side} one's data are not at hand, so that they cannot be compared"
            for side, card in (("left", left_card), ("right", right_card))
            if card.data.items is None
        ]
    common = set(left.references) & set(right.references)
    if not all(np.array_equal(left.references[place], right.references[place]) for place in common):
        notes.append("their base points differ too")
    return notes


def _items(left: Data, right: Data) -> Items | None:
    if left.digest == right.digest or left.items is None or right.items is None:
        return None
    removed, added = _only(left.items, right.items), _only(right.items, left.items)
    return Items(removed, added, len(left.items) - len(removed))


def _only(items: Sequence[Json], others: Sequence[Json]) -> tuple[Json, ...]:
    """Return the items that `others` have not, or have less often, in their order."""
    left_over = Counter(map(canonical_bytes, others))
    found = []
    for item in items:
        key = canonical_bytes(item)
        if left_over[key]:
            left_over[key] -= 1
        else:
            found.append(item)
    return tuple(found)


def _recipes(store: Store, left: Recipe, right: Recipe) -> list[Difference]:
    """Return whether the texts differ, and which terms: a term that is in both may be pinned elsewhere now."""
    found = [] if left.text == right.text else [Difference("text", left.text, right.text)]
    for one, other in _matched(left.terms, right.terms):
        if one != other:
            name = one.reference if one else other.reference if other else ""
            found.append(Difference(f"terms.{name}", _pin(store, one), _pin(store, other)))
    return found


def _matched(left: Sequence[Term], right: Sequence[Term]) -> Iterator[tuple[Term | None, Term | None]]:
    """Pair terms that are written alike, then those of one name, and then leave the others alone."""
    ones, others = list(dict.fromkeys(left)), list(dict.fromkeys(right))
    for alike in (_written, _named):
        by_key: dict[object, list[Term]] = {}
        for term in reversed(others):
            by_key.setdefault(alike(term), []).append(term)
        met = [(one, by_key[alike(one)].pop() if by_key.get(alike(one)) else None) for one in ones]
        yield from ((one, other) for one, other in met if other)
        ones = [one for one, other in met if not other]
        others = [term for terms in by_key.values() for term in reversed(terms)]
    yield from ((one, None) for one in ones)
    yield from ((None, other) for other in others)


def _written(term: Term) -> object:
    return term.reference


def _named(term: Term) -> object:
    return term.namespace, term.name


def _pin(store: Store, term: Term | None) -> Json | None:
    """Return what a term means: its version, and what its preset meant when it was pinned."""
    if term is None:
        return None
    version = store.resolve(Reference(term.name, term.namespace, digest=term.digest))
    return {
        "reference": term.reference,
        "version": version.reference,
        "digest": term.digest,
        "preset": term.preset.to_json() if term.preset else None,
    }
