"""Pins: what the references of an expression mean, now or as a recipe keeps it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from vectorstore.errors import (
    ConflictError,
    ExpressionError,
    IntegrityError,
    InvalidInputError,
    MisfitError,
    NotFoundError,
    pointer,
)
from vectorstore.expression import Expression, references
from vectorstore.identity import ModelIdentity
from vectorstore.parser import parse
from vectorstore.preset import Preset
from vectorstore.recipe import Recipe, Term
from vectorstore.reference import Reference
from vectorstore.store import Store
from vectorstore.store.found import find_newest, find_pinned
from vectorstore.store.version import Found, Version

if TYPE_CHECKING:
    from types import TracebackType


class Pin(NamedTuple):
    """One reference: the version that it means, and what its preset does, where it has one."""

    version: Found
    preset: Preset | None = None


class Parsed(NamedTuple):
    """An expression: its text, its tree, and the references of the tree in order of appearance."""

    text: str
    tree: Expression
    references: tuple[Reference, ...]


@lru_cache(maxsize=64)
def parsed(text: str) -> Parsed:
    """Return what a text says. Trees never change, and who composes an expression once often does so again.

    Raises:
        ExpressionError: naming the column.
    """
    tree = parse(text)
    return Parsed(text, tree, tuple(references(tree)))


Pins = Mapping[int, Pin]
"""By the reference's column."""
_LOOKED_AT = 100  # versions of a name among which a preset is looked for that the one asked for has not


def pin(store: Store, expression: str | Expression, *, model: ModelIdentity | None = None) -> Recipe:
    """Return the recipe of an expression: every reference pinned to a digest, every preset to what it means now.

    Raises:
        ExpressionError: for what does not parse; names the column.
        NotFoundError: for a name, version, alias or preset that is not there; names the column.
    """
    wanted = parsed(str(expression))
    pins = look_up(store, wanted, model)
    return Recipe(wanted.text, tuple(_term(reference, pins[reference.column]) for reference in wanted.references))


def look_up(store: Store, wanted: Parsed, model: ModelIdentity | None, *, force: bool = False) -> Pins:
    """Return what each reference means now; with `force`, a bare name none of whose versions fits means the newest.

    Raises:
        ExpressionError: for a reference to another store, where the library knows none.
        NotFoundError: for what is not there; names the column.
        MisfitError: for a bare name none of whose versions fits `model`.
    """
    found = _found_at_once(store, wanted.references, model)
    versions: dict[str, Version] = {}
    pins = {}
    for reference in wanted.references:
        name = reference.version_text
        if name in found:
            pins[reference.column] = Pin(found[name])
            continue
        with located(wanted.text, reference.column):
            versions[name] = version = versions.get(name) or _resolve(store, reference, model, force=force)
            pins[reference.column] = Pin(
                version, _preset(store, version, reference.preset) if reference.preset else None
            )
    return pins


def pinned(store: Store, recipe: Recipe, namespace: str | None = None) -> tuple[Parsed, Pins]:
    """Return a recipe's expression, and what its terms mean, whatever has moved since.

    A version that is not here under the name that a term gives it may be here under another: its digest is what counts.
    One in `namespace`, the recipe's own, comes first then.

    Raises:
        IntegrityError: when its terms are not those of its text.
        NotFoundError: when a pinned version is not in this library.
    """
    try:
        kept = parsed(recipe.text)
    except ExpressionError as error:
        raise _broken(error.problem) from error
    written = [(str(reference), reference.preset is not None) for reference in kept.references]
    if written != [(term.reference, term.preset is not None) for term in recipe.terms]:
        raise _broken("its terms are not those of its text")
    for reference, term in zip(kept.references, recipe.terms, strict=True):
        if not _may_mean(reference, term):
            raise _broken(f"it says {reference}, and means {term.namespace}/{term.name} {term.digest[:19]}")
    terms = zip((reference.column for reference in kept.references), recipe.terms, strict=True)
    with store.database.look() as connection:
        found = find_pinned(connection, (term.digest for term in recipe.terms))
    alike = {each.digest: each for each in sorted(found.values(), key=lambda each: each.namespace == namespace)}
    return kept, {column: Pin(_pinned(store, term, found, alike), term.preset) for column, term in terms}


class located:  # noqa: N801 - called as a function is, like contextlib.suppress
    """Say in errors about a reference where it stands. A class: every reference of an expression enters one."""

    __slots__ = ("_column", "_text")

    def __init__(self, text: str, column: int) -> None:
        """Stand at `column` of `text`."""
        self._text = text
        self._column = column

    def __enter__(self) -> None:
        """Do nothing yet."""

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Raise the same error with its place, unless it has one."""
        if error is None or isinstance(error, ExpressionError):
            return
        if isinstance(error, InvalidInputError):
            raise ExpressionError(error.problem, error.hint, column=self._column, text=self._text) from error
        if isinstance(error, NotFoundError | ConflictError):
            raise type(error)(f"{pointer(self._text, self._column)}: {error.problem}", error.hint) from error


def _found_at_once(store: Store, every: Sequence[Reference], model: ModelIdentity | None) -> dict[str, Found]:
    """Return what bare names mean, by these; what has a preset, and what takes a closer look, is not among them."""
    closer = {each.version_text for each in every if each.preset}
    bare = [each for each in every if not (each.version or each.alias or each.digest or each.remote)]
    names = {each.version_text: f"{each.namespace}/{each.name}" for each in bare if each.version_text not in closer}
    with store.database.look() as connection:
        newest = find_newest(connection, names.values(), model)
    return {text: newest[name] for text, name in names.items() if name in newest}


def _resolve(store: Store, reference: Reference, model: ModelIdentity | None, *, force: bool) -> Version:
    try:
        return store.resolve(reference, model=model)
    except MisfitError:
        if not force:
            raise
        return store.resolve(reference)


def _term(reference: Reference, pin: Pin) -> Term:
    version = pin.version
    return Term(str(reference), version.namespace, version.name, version.digest, version.kind, pin.preset)


def _preset(store: Store, version: Version, name: str) -> Preset:
    preset = version.presets.get(name)
    if preset is None:
        others = store.history(version.full_name, limit=_LOOKED_AT).versions
        if other := next((each for each in others if name in each.presets and not each.yanked), None):
            raise NotFoundError(
                f"{version.reference} has no preset '{name}'", f"{other.reference} has it: {other.reference}:{name}"
            )
        near = difflib.get_close_matches(name, version.presets, 1)
        known = f"it has {', '.join(version.presets)}" if version.presets else "it has none; see `steer preset set`"
        hint = f"did you mean {near[0]}?" if near else known
        raise NotFoundError(f"{version.reference} has no preset '{name}'", hint)
    return preset


def _may_mean(reference: Reference, term: Term) -> bool:
    """Return whether a reference could ever have meant what a recipe says it did; one of another store has any name."""
    same = reference.remote is not None or (reference.namespace, reference.name) == (term.namespace, term.name)
    return same and term.digest.startswith(reference.digest or "")


def _pinned(store: Store, term: Term, found: Mapping[tuple[str, str], Found], alike: Mapping[str, Found]) -> Found:
    version = found.get((f"{term.namespace}/{term.name}", term.digest)) or alike.get(term.digest)
    if version is None:  # says what there is
        version = store.resolve(Reference(term.name, term.namespace, digest=term.digest))
    if version.kind != term.kind:
        raise _broken(f"it calls {term.name} a {term.kind}, and it is a {version.kind}")
    return version


def _broken(trouble: str) -> IntegrityError:
    return IntegrityError(f"the recipe contradicts itself: {trouble}", "get it again from where it came")
