"""Links: the versions that a version is made of: what a recipe pins, and a vector's parents."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, select, true
from sqlalchemy.orm import Session

from vectorstore.errors import NotFoundError
from vectorstore.recipe import Term
from vectorstore.store.draft import Draft
from vectorstore.store.schema import ArtifactRow, NamespaceRow, VersionRow


def pinned(session: Connection | Session, draft: Draft) -> list[int]:
    """Return the rows of the versions that a recipe pins.

    Raises:
        NotFoundError: when one is not in the library.
    """
    return [_pinned_version(session, term, draft) for term in draft.terms]


def _pinned_version(session: Connection | Session, term: Term, draft: Draft) -> int:
    """Return the version that a term names; else the same in the recipe's own namespace, where both were received."""
    named = select(VersionRow.id).join(VersionRow.artifact).join(ArtifactRow.namespace)
    alike = named.where(VersionRow.digest == term.digest, _allowed(draft))
    found = session.scalar(alike.where(NamespaceRow.name == term.namespace, ArtifactRow.name == term.name))
    if found is None:
        found = session.scalar(alike.where(NamespaceRow.name == draft.namespace).order_by(VersionRow.id).limit(1))
    if found is None:
        raise NotFoundError(
            f"the recipe pins {term.namespace}/{term.name} at {term.digest[:19]}, which is not in this library",
            "compose it again from what is there",
        )
    return found


def parents(session: Connection | Session, draft: Draft) -> list[int]:
    """Return the rows of the versions that a version was made from.

    Raises:
        NotFoundError: when one is not in the library.
    """
    return [_parent(session, digest, draft) for digest in dict.fromkeys(draft.about.parents)]


def _parent(session: Connection | Session, digest: str, draft: Draft) -> int:
    """Return the oldest version of a digest; one of the draft's own namespace, where there is one."""
    alike = select(VersionRow.id).join(NamespaceRow, NamespaceRow.id == VersionRow.namespace_id)
    mine = alike.where(VersionRow.digest == digest, _allowed(draft))
    oldest = mine.order_by(NamespaceRow.name != draft.namespace, VersionRow.id)
    found = session.scalar(oldest.limit(1))
    if found is None:
        raise NotFoundError(f"the parent {digest[:19]} is not in this library", "save the parent first")
    return found


def _allowed(draft: Draft) -> ColumnElement[bool]:
    return true() if draft.among is None else VersionRow.namespace_id.in_(draft.among)
