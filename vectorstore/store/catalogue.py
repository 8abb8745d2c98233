"""Catalogue: finding versions. A page costs the same number of queries whatever is on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session, aliased, contains_eager, selectinload

from vectorstore.errors import InvalidInputError
from vectorstore.reference import check_name
from vectorstore.store import search
from vectorstore.store.lookup import artifact, namespace_id
from vectorstore.store.rows import to_version, undamaged
from vectorstore.store.schema import REFERENCE_LENGTH, ArtifactRow, LabelRow, VersionRow
from vectorstore.store.texts import check_text
from vectorstore.store.version import Page, Version

MAX_LIMIT = 1000
MAX_LABELS = 16  # each is a join, and SQLite makes 64 at most


@dataclass(frozen=True)
class Filter:
    """What a list shall show; what is left out is not asked about.

    Attributes:
        namespace: only in this one.
        labels: all of them with these values.
        model: computed on the model that was asked for by this reference.
        method: by this extraction method.
        text: having all these words in name, description, labels, authors, method or model.
        kind: `vector` or `recipe`.
    """

    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    method: str | None = None
    text: str | None = None
    kind: str | None = None


def whole() -> Select[VersionRow]:
    """Return the query for versions with everything that belongs to them."""
    return (
        select(VersionRow)
        .join(VersionRow.artifact)
        .join(ArtifactRow.namespace)
        .options(
            contains_eager(VersionRow.artifact).contains_eager(ArtifactRow.namespace),
            selectinload(VersionRow.blobs),
            selectinload(VersionRow.sites),
            selectinload(VersionRow.aliases),
            selectinload(VersionRow.authors),
            selectinload(VersionRow.labels),
            selectinload(VersionRow.presets),
        )
        .execution_options(populate_existing=True)
    )


def load(session: Session, version_id: int) -> Version:
    """Return one version by its row."""
    with undamaged():
        return to_version(session.scalars(whole().where(VersionRow.id == version_id)).one())


def make_findable(session: Session, version_id: int, version: Version) -> None:
    """Let text search find a version by what is now said about it."""
    model = (version.model.reference, version.model.architecture) if version.model else ()
    labels = (text for label in version.labels.items() for text in label)
    texts = (version.name, version.description, *labels, *version.authors, version.method or "", *model)
    search.index(session, version_id, texts)


def newest_first(session: Session, wanted: Filter, limit: int, after: str | None) -> Page:
    """Return a page of the newest version of each name that is not yanked, newest first.

    Raises:
        InvalidInputError: for a limit or cursor that cannot be.
        NotFoundError: for an unknown namespace.
    """
    statement = _where(session, whole().where(VersionRow.newest), wanted)
    statement, key = _with_labels(statement, wanted.labels)
    if wanted.text:
        narrowed = search.narrow(session, statement, wanted.text)
        if narrowed is None:
            return Page((), None)
        statement, key = narrowed
    with undamaged():
        rows = _page(session, statement, key, limit, after)
        return Page(tuple(map(to_version, rows[:limit])), str(rows[limit - 1].id) if len(rows) > limit else None)


def history(session: Session, namespace: str, name: str, limit: int, after: str | None) -> Page:
    """Return a page of all versions of a name, newest first, also those that are yanked."""
    row = artifact(session, namespace, name)
    statement = whole().where(VersionRow.artifact_id == row.id)
    with undamaged():
        rows = _page(session, statement, VersionRow.number.expression, limit, after)
        return Page(tuple(map(to_version, rows[:limit])), str(rows[limit - 1].number) if len(rows) > limit else None)


def _page(
    session: Session,
    statement: Select[VersionRow],
    key: ColumnElement[int],
    limit: int,
    after: str | None,
) -> list[VersionRow]:
    """Return up to `limit + 1` rows: the last one only says that there are more."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInputError(f"a page of {limit} versions", f"ask for 1 to {MAX_LIMIT}")
    if after is not None:
        if not (after.isascii() and after.isdigit() and len(after) < 19):  # noqa: PLR2004 - what 64 bits hold
            raise InvalidInputError(f"'{after[:40]}' is not a cursor", "give the cursor of the page before")
        statement = statement.where(key < int(after))
    return list(session.scalars(statement.order_by(key.desc()).limit(limit + 1)))


def _where(session: Session, statement: Select[VersionRow], wanted: Filter) -> Select[VersionRow]:
    if wanted.namespace is not None:
        namespace = namespace_id(session, check_name(wanted.namespace, "namespace"))
        statement = statement.where(VersionRow.namespace_id == namespace)
    if wanted.model is not None:
        statement = statement.where(VersionRow.model_reference == check_text("model", wanted.model, REFERENCE_LENGTH))
    if wanted.method is not None:
        statement = statement.where(VersionRow.method == check_text("method", wanted.method))
    if wanted.kind is not None:
        if wanted.kind not in ("vector", "recipe"):
            raise InvalidInputError(f"there is no kind '{wanted.kind[:40]}'", "kinds: vector, recipe")
        # Recipes have no method, and the index on methods serves both questions.
        is_recipe = VersionRow.method.is_(None)
        statement = statement.where(is_recipe if wanted.kind == "recipe" else ~is_recipe)
    return statement


def _with_labels(
    statement: Select[VersionRow], labels: Mapping[str, str]
) -> tuple[Select[VersionRow], ColumnElement[int]]:
    """Keep the versions with all labels; also return the column to order and page by.

    That is the last label's, where there is one: its index has the versions in order, so nothing need be sorted.
    """
    column: ColumnElement[int] = VersionRow.id.expression
    if len(labels) > MAX_LABELS:
        raise InvalidInputError(f"{len(labels)} labels to look for", f"{MAX_LABELS} are allowed")
    for key, value in labels.items():
        label = aliased(LabelRow)
        statement = statement.join(label, label.version_id == VersionRow.id).where(
            label.key == check_text("label", key), label.value == check_text("label", value)
        )
        column = label.version_id.expression
    return statement, column
