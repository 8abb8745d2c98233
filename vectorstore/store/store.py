"""Store: a library of steering vectors and recipes, and everything that can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self, TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from vectorstore.card import Card
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.identity import ModelIdentity
from vectorstore.preset import Preset
from vectorstore.recipe import Recipe
from vectorstore.reference import Reference, check_name, parse_reference
from vectorstore.settings import Settings
from vectorstore.store import catalogue, changes, contents, deletion, events, lookup
from vectorstore.store.assembly import assemble
from vectorstore.store.blobs.backends import open_blobs
from vectorstore.store.blobs.protocol import Blobs
from vectorstore.store.changes import Change
from vectorstore.store.database import Database
from vectorstore.store.draft import About, draft_recipe, draft_vector
from vectorstore.store.engine import CONNECTIONS
from vectorstore.store.lists.filter import Filter
from vectorstore.store.lists.listing import LIMIT, Sort, list_versions
from vectorstore.store.newest import changed
from vectorstore.store.remotes import Remotes
from vectorstore.store.save import commit
from vectorstore.store.schema import VersionRow
from vectorstore.store.texts import check_text
from vectorstore.store.version import Found, Page, Saved, Version
from vectorstore.vector import SteeringVector

Presets = Mapping[str, Preset] | Mapping[str, str] | Mapping[str, float] | Mapping[str, Preset | str | float]
ChangeVersion = Callable[[Session, VersionRow, Version], Change | None]
Content = TypeVar("Content")
_NONE: Mapping[str, str] = MappingProxyType({})


class Store:
    """A library: a database and the blobs it answers for. Open it with `Store.open()`.

    Attributes:
        database: its transactions.
        blobs: its bytes.
        cache: folder for what can be made again from the two.
        remotes: what brings in versions of other stores; None where references to these are refused.
    """

    def __init__(self, database: Database, blobs: Blobs, cache: Path, remotes: Remotes | None = None) -> None:
        """Join the two halves; `open` is the way to get them."""
        self.database = database
        self.blobs = blobs
        self.cache = cache
        self.remotes = remotes

    @classmethod
    def open(
        cls,
        url: str | None = None,
        *,
        blobs: str | None = None,
        create: bool = True,
        remotes: Remotes | None = None,
        connections: int = CONNECTIONS,
    ) -> Self:
        """Open the library at `url`, or the one of the settings; an empty database becomes a library.

        Args:
            url: SQLAlchemy URL of the database.
            blobs: folder of the blobs, or the URL of an object store.
            create: make a library where there is none.
            remotes: `vectorstore.client.remotes.Remotes()`, for references to other stores such as `acme//team/love`.
            connections: at most so many to the database at once; each thread that works on it needs one.

        Raises:
            NotFoundError: when there is none and `create` is false.
            SchemaError: when the library is older or newer than this program; says what to type.
            UnavailableError: when database or disk cannot be used.
        """
        settings = Settings.load(url, blobs)
        opened = open_blobs(settings.blobs_url, settings.cache)
        database = Database.open(settings.database_url, create=create, connections=connections)
        return cls(database, opened, settings.cache, remotes)

    def close(self) -> None:
        """Close the database's connections, and those to other stores; vectors that were read stay usable."""
        self.database.close()
        if self.remotes is not None:
            self.remotes.close()

    def __enter__(self) -> Self:
        """Close it at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def save(  # noqa: PLR0913 - the first three are the vector, the others are optional words about it
        self,
        name: str,
        vector: SteeringVector,
        card: Card,
        *,
        presets: Presets = _NONE,
        labels: Mapping[str, str] = _NONE,
        description: str = "",
        license: str = "",  # noqa: A002 - the field's word
        authors: Sequence[str] = (),
        parents: Sequence[str] = (),
    ) -> Saved:
        """Save a vector as the next version of `name`; once this returns, it survives a power cut.

        Args:
            name: `love`, or `acme/love` in another namespace.
            vector: the directions.
            card: what their computation fixed, from `compute`.
            presets: named coefficients: `{"mild": 1, "strong": "0.15r"}`.
            labels: `{"topic": "weddings"}`.
            description: for readers.
            license: an SPDX expression.
            authors: who made it.
            parents: digests of the versions it was made from.

        Raises:
            InvalidInputError: for a name, label, preset or value that cannot be kept.
            ConflictError: when the name belongs to a recipe.
            UnavailableError: when database or disk cannot take it; nothing half saved is left.
        """
        about = About(labels, _parsed(presets), description, license, authors, parents)
        return commit(self.database, self.blobs, draft_vector(name, vector, card, about))

    def save_recipe(  # noqa: PLR0913 - as above
        self,
        name: str,
        recipe: Recipe,
        *,
        presets: Presets = _NONE,
        labels: Mapping[str, str] = _NONE,
        description: str = "",
        license: str = "",  # noqa: A002 - as above
        authors: Sequence[str] = (),
        parents: Sequence[str] = (),
    ) -> Saved:
        """Save a recipe as the next version of `name`; what it pins cannot be deleted while it is there.

        Raises:
            NotFoundError: when it pins a version that is not in this library.
            InvalidInputError, ConflictError, UnavailableError: as for `save`.
        """
        about = About(labels, _parsed(presets), description, license, authors, parents)
        return commit(self.database, self.blobs, draft_recipe(name, recipe, about))

    def resolve(self, reference: str | Reference, *, model: ModelIdentity | None = None) -> Version:
        """Return the version that `reference` means now.

        A bare name means its newest version that is not yanked; with `model`, the newest of these that fits it. A
        version that is named by number, alias or digest is returned whatever the model.

        Raises:
            NotFoundError: when there is none; says what there is.
            ConflictError: when a digest's beginning means several versions; lists them.
            MisfitError: when no version of a bare name fits `model`; lists the models there are versions for.
        """
        parsed = _reference(reference)
        if parsed.remote is not None and self.remotes is not None:
            parsed = self.remotes.bring(self, parsed, model)
        if model is None:
            with self.database.look() as connection:
                if (found := lookup.find_quickly(connection, parsed)) is not None:
                    return catalogue.load(connection, found)
        with self.database.read() as session:
            return catalogue.load(session, lookup.find(session, parsed, model))

    def read(self, version: Found | Reference | str) -> tuple[SteeringVector, Card]:
        """Return a vector, mapped from its file rather than copied, and its card.

        Raises:
            IntegrityError: when its blob is missing or damaged.
            ConflictError: when it is a recipe.
            NotFoundError: as for `resolve`; also for a version that was deleted since.
        """
        return self._contents(version, contents.read_vector)

    def read_recipe(self, version: Found | Reference | str) -> Recipe:
        """Return a recipe.

        Raises:
            IntegrityError: when its blob is missing or damaged.
            ConflictError: when it is a vector.
            NotFoundError: as for `read`.
        """
        return self._contents(version, contents.read_recipe)

    def read_manifest(self, version: Found | Reference | str) -> bytes:
        """Return the bytes of a version's manifest, whose digest is its identity.

        Raises:
            IntegrityError: when they are missing or damaged.
            NotFoundError: as for `resolve`.
        """
        return self._contents(version, partial(contents.read_manifest, self.database))

    def list(  # noqa: PLR0913 - each narrows the list, and none is needed
        self,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] = _NONE,
        model: str | None = None,
        method: str | None = None,
        layer: int | None = None,
        site: str | None = None,
        author: str | None = None,
        text: str | None = None,
        kind: str | None = None,
        sort: Sort = "newest",
        limit: int = LIMIT,
        after: str | None = None,
    ) -> Page:
        """Return a page of the newest version of each name (that is not yanked).

        Args:
            namespace: only this one.
            labels: having all of these.
            model: computed on the model of this reference.
            method: by this extraction method.
            layer: with a direction at this layer; at `site`, where that is given too.
            site: with a direction at this site.
            author: of this author.
            text: having all these words in name, description, labels, authors, method or model; `wed*` for beginnings.
            kind: `vector` or `recipe`.
            sort: `newest` or `oldest` first, or by `name`.
            limit: at most so many, up to 1,000.
            after: the cursor of the page before.

        Raises:
            InvalidInputError: for a filter, order, limit or cursor that cannot be.
            NotFoundError: for an unknown namespace.
        """
        wanted = Filter(namespace, labels, model, method, layer, site, author, text, kind)
        with self.database.look() as connection:
            return list_versions(connection, wanted, sort=sort, limit=limit, after=after)

    def history(self, name: str, *, limit: int = LIMIT, after: str | None = None) -> Page:
        """Return a page of all versions of a name, newest first, yanked ones too.

        Raises:
            NotFoundError: for an unknown name.
        """
        parsed = _name(name)
        with self.database.read() as session:
            return catalogue.history(session, parsed.namespace, parsed.name, limit, after)

    def set_alias(self, reference: str | Reference, alias: str) -> Version:
        """Let `alias` mean this version; it moves here if it meant another one. Returns the version as it is now."""
        return self.change(reference, partial(changes.set_alias, alias=alias))

    def remove_alias(self, reference: str | Reference, alias: str) -> Version:
        """Remove an alias, on whatever version of the name it is; returns the version that had it."""
        of_alias = replace(_name(reference), alias=check_name(alias, "alias"))
        return self.change(of_alias, partial(changes.remove_alias, alias=alias))

    def set_label(self, reference: str | Reference, key: str, value: str) -> Version:
        """Label a version `key=value`."""
        return self.change(reference, partial(changes.set_label, key=key, value=value))

    def remove_label(self, reference: str | Reference, key: str) -> Version:
        """Remove a label."""
        return self.change(reference, partial(changes.remove_label, key=key))

    def set_preset(self, reference: str | Reference, name: str, preset: Preset | str | float) -> Version:
        """Keep a named coefficient with a version.

        Raises:
            InvalidInputError: when it asks for layers that are not there, or tokens that do not suit the directions.
        """
        return self.change(reference, partial(changes.set_preset, name=name, preset=Preset.parse(preset)))

    def remove_preset(self, reference: str | Reference, name: str) -> Version:
        """Remove a preset."""
        return self.change(reference, partial(changes.remove_preset, name=name))

    def set_description(self, reference: str | Reference, description: str) -> Version:
        """Describe a version anew."""
        return self.change(reference, partial(changes.set_description, description=description))

    def yank(self, reference: str | Reference, reason: str = "") -> Version:
        """Withdraw a version: a bare name means it no more, while what names or pins it outright still gets it."""
        check_text("reason", reason)
        return self.change(reference, partial(changes.yank, reason=reason))

    def restore(self, reference: str | Reference) -> Version:
        """Take a yank back."""
        return self.change(reference, changes.restore)

    def deprecate(self, reference: str | Reference, reason: str) -> Version:
        """Tell whoever uses a version why they should no longer; it goes on working, and a bare name may mean it."""
        check_text("reason", reason)
        return self.change(reference, partial(changes.deprecate, reason=reason))

    def undeprecate(self, reference: str | Reference) -> Version:
        """Take a deprecation back."""
        return self.change(reference, changes.undeprecate)

    def change(
        self, reference: str | Reference, *wanted: ChangeVersion, expect: Callable[[Version], object] | None = None
    ) -> Version:
        """Change a version in one transaction, under the lock of its name: all of it or nothing, an event for each.

        Args:
            reference: the version.
            wanted: functions of `vectorstore.store.changes`, in order.
            expect: sees the version as it is, and raises if nothing shall change.
        """
        parsed = _reference(reference).plain()
        with self.database.write() as session:
            row = changes.locked(session, parsed)
            (version,) = assemble(session, [row.id])
            if expect is not None:
                expect(version)
            made: list[Change] = []
            for change in wanted:
                if (done := change(session, row, version)) is not None:
                    made.append(done)
                    version = changed(session, row)
            for done in made:
                subject = str(version)
                events.record(session, row.namespace_id, done.action, subject, before=done.before, after=done.after)
            return version

    def delete(
        self,
        reference: str | Reference,
        reason: str = "",
        *,
        guards: Sequence[ChangeVersion] = (),
        seen: ColumnElement[bool] | None = None,
    ) -> Version:
        """Delete a version for good, and return what it was; its number never means anything else.

        Its bytes go with `vectorstore.store.upkeep.gc.collect`, some time later. `guards` see the version under the
        lock of its name, change nothing, and raise if it shall stay. `seen` is the condition on a NamespaceRow that
        whoever asks may know of it: what is elsewhere is counted, not named.

        Raises:
            InvalidInputError: for a bare name: a version is deleted by its number, an alias or its digest.
            ConflictError: when recipes or other versions need it; lists them.
        """
        check_text("reason", reason)
        parsed = _reference(reference).plain()
        if not parsed.is_one_version:
            raise InvalidInputError(f"'{parsed}' is a name with all its versions", "name one version: NAME@NUMBER")
        with self.database.write() as session:
            row = changes.locked(session, parsed)
            version, namespace_id = assemble(session, [row.id])[0], row.namespace_id
            for guard in guards:
                guard(session, row, version)
            done = deletion.remove(session, row, version, reason, seen=seen)
            events.record(session, namespace_id, done.action, str(version), before=done.before, after=done.after)
            return version

    def _contents(self, version: Found | Reference | str, read: Callable[[Blobs, Found], Content]) -> Content:
        """Read what a version holds. Where the bytes are gone, ask anew: it may be deleted since, and collected."""
        found: Found = version if isinstance(version, Found) else self.resolve(version)
        while True:
            try:
                return read(self.blobs, found)
            except IntegrityError:
                again = self.resolve(str(version) if isinstance(version, Found) else version)
                if str(again) == str(found):
                    raise
                found = again


def _reference(reference: str | Reference) -> Reference:
    return reference if isinstance(reference, Reference) else parse_reference(reference)


def _name(reference: str | Reference) -> Reference:
    """Return a reference to a name of this library, with all its versions."""
    parsed = _reference(reference).plain()
    lookup.require_local(parsed)
    name = replace(parsed, version=None, alias=None, digest=None)
    if parsed != name:
        raise InvalidInputError(f"'{parsed}' is one version", f"give its name alone: {name}")
    return parsed


def _parsed(presets: Presets) -> dict[str, Preset]:
    return {name: Preset.parse(preset) for name, preset in presets.items()}
