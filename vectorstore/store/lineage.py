"""Lineage: what a version is made of, and what uses it: the terms of recipes, and the parents of vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from vectorstore.canonical import Json
from vectorstore.reference import Reference, parse_reference, short_name
from vectorstore.store import catalogue, lookup
from vectorstore.store.schema import ArtifactRow, LineageRow, RecipeTermRow, VersionRow
from vectorstore.store.store import Store
from vectorstore.store.version import Version

MAX_DEPTH = 32
MAX_NODES = 1000

Relation = Literal["term", "parent"]
_Label = tuple[str, str, str, bool]


@dataclass(frozen=True)
class Node:
    """A version in the tree.

    Attributes:
        reference: the shortest that always means it.
        digest, kind, yanked: of the version.
        relation: how it belongs to the one above: a `term` of a recipe, or a `parent` of a saved result.
        nodes: what it is made of in turn, or what uses it.
        repeated: whether its own nodes are shown where it first stands, and not here.
    """

    reference: str
    digest: str
    kind: str
    yanked: bool
    relation: Relation
    nodes: tuple[Node, ...] = ()
    repeated: bool = False

    def to_json(self) -> Json:
        """Return the tree, for programs."""
        return {**vars(self), "nodes": [node.to_json() for node in self.nodes]}


@dataclass(frozen=True)
class Lineage:
    """Both directions from one version; `complete` is false where a tree was cut off at MAX_NODES or MAX_DEPTH."""

    version: Version
    made_of: tuple[Node, ...]
    used_by: tuple[Node, ...]
    complete: bool

    def to_json(self) -> Json:
        """Return the trees, for programs."""
        return {
            "reference": self.version.reference,
            "digest": self.version.digest,
            "made_of": [node.to_json() for node in self.made_of],
            "used_by": [node.to_json() for node in self.used_by],
            "complete": self.complete,
        }


def lineage(store: Store, reference: str | Reference) -> Lineage:
    """Return what a version is made of, and what uses it, as far as this library knows.

    Raises:
        NotFoundError: when there is no such version.
    """
    parsed = reference if isinstance(reference, Reference) else parse_reference(reference).plain()
    with store.database.read() as session:
        start = lookup.find(session, parsed)
        down, up = _Tree(session, upward=False), _Tree(session, upward=True)
        made_of, used_by = down.grow(start), up.grow(start)
        return Lineage(catalogue.load(session, start), made_of, used_by, down.complete and up.complete)


class _Tree:
    """One direction: level by level, one query for each level and relation."""

    def __init__(self, session: Session, *, upward: bool) -> None:
        self.session = session
        self.upward = upward
        self.links: dict[int, list[tuple[int, Relation]]] = {}
        self.complete = True
        self.opened: set[int] = set()

    def grow(self, start: int) -> tuple[Node, ...]:
        level = [start]
        for _ in range(MAX_DEPTH):
            found = self._level(level)
            self.links |= found
            level = list({other for links in found.values() for other, _ in links} - set(self.links))
            if not level:
                break
            if len(self.links) + len(level) > MAX_NODES:
                self.complete = False
                break
        else:
            self.complete = False
        labels = self._labels({other for links in self.links.values() for other, _ in links})
        return self._nodes(start, labels, 1)

    def _level(self, ids: list[int]) -> dict[int, list[tuple[int, Relation]]]:
        found: dict[int, list[tuple[int, Relation]]] = {version_id: [] for version_id in ids}
        for near, far, relation in (
            (RecipeTermRow.version_id, RecipeTermRow.pinned_id, "term"),
            (LineageRow.version_id, LineageRow.parent_id, "parent"),
        ):
            here, there = (far, near) if self.upward else (near, far)
            links = select(here, there).where(here.in_(ids)).order_by(here, there).limit(MAX_NODES)
            rows = self.session.execute(links).all()
            self.complete &= len(rows) < MAX_NODES
            for mine, other in dict.fromkeys(map(tuple, rows)):
                found[mine].append((other, relation))  # type: ignore[arg-type]
        return found

    def _labels(self, ids: Iterable[int]) -> dict[int, _Label]:
        chosen = list(ids)
        columns = (VersionRow.id, VersionRow.full_name, VersionRow.number, VersionRow.digest, ArtifactRow.kind)
        rows = self.session.execute(
            select(*columns, VersionRow.yanked_at).join(VersionRow.artifact).where(VersionRow.id.in_(chosen))
        )
        return {
            row.id: (f"{short_name(row.full_name)}@{row.number}", row.digest, row.kind, row.yanked_at is not None)
            for row in rows
        }

    def _nodes(self, version_id: int, labels: Mapping[int, _Label], depth: int) -> tuple[Node, ...]:
        """Return the nodes below a version; each is opened where it first stands, so that the tree stays small."""
        self.opened.add(version_id)
        nodes = []
        for other, relation in self.links.get(version_id, ()):
            if other in self.opened:
                nodes.append(Node(*labels[other], relation, repeated=bool(self.links.get(other))))
            elif depth == MAX_DEPTH:  # there may be a shorter way to it
                self.complete = False
                nodes.append(Node(*labels[other], relation))
            else:
                nodes.append(Node(*labels[other], relation, self._nodes(other, labels, depth + 1)))
        return tuple(nodes)
