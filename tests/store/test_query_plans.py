"""No query goes through a whole table, nor sorts what an index has in order: the plans of both databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from benchmarks.catalogue_data import Catalogue
from tests.builders import make_card, make_vector
from tests.catalogues import loaded
from vectorstore.errors import VectorstoreError
from vectorstore.store import Store
from vectorstore.store.upkeep import gc

SIZE = 3000
LISTS: tuple[dict[str, Any], ...] = (
    {},
    {"after": "newest:2000"},
    {"sort": "oldest", "after": "oldest:2000"},
    {"sort": "name"},
    {"sort": "name", "after": "name:space3/concept-7"},
    {"namespace": "space0"},
    {"method": "actadd"},
    {"model": "org/model-3"},
    {"kind": "recipe"},
    {"kind": "vector"},
    {"layer": 3},
    {"site": "mlp_out"},
    {"site": "mlp_out", "layer": 3, "after": "newest:2000"},
    {"author": "author1"},
    {"labels": {"lang": "en"}},
    {"labels": {"lang": "en", "stage": "draft", "batch": "b7"}, "after": "newest:2900"},
    {"text": "w1"},
    {"text": "w1", "after": "newest:2000"},
    {"text": "rare7"},
    {"text": "w1 rar*", "labels": {"lang": "en"}, "author": "author1"},
)
SORTED: tuple[dict[str, Any], ...] = (
    {"sort": "name", "namespace": "space1"},
    {"sort": "name", "labels": {"batch": "b7"}},
    {"sort": "name", "text": "rare7"},
    {"text": "rare7", "labels": {"lang": "en"}},
)

Steps = Callable[[str, Any], list[str]]
"""Returns the steps of a query's plan."""


@dataclass(frozen=True)
class Library:
    """A store with some thousand versions, and how to look at its plans."""

    store: Store
    catalogue: Catalogue
    steps: Steps


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder, catalogue = tmp_path_factory.mktemp("plans"), Catalogue(SIZE)
    look = _sqlite if request.param == "sqlite" else _postgresql
    with loaded(request, folder, catalogue) as url, look(url) as steps:
        with Store.open(url, blobs=str(folder / "blobs")) as store:
            yield Library(store, catalogue, steps)


@contextmanager
def _sqlite(url: str) -> Iterator[Steps]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        yield lambda query, values: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]


@contextmanager
def _postgresql(url: str) -> Iterator[Steps]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        # What fits on a few pages is sooner read as a whole, and some hundred rows are sooner sorted.
        connection.execute("SET enable_seqscan = off")
        connection.execute("SET enable_sort = off")
        yield lambda query, values: [row[0] for row in connection.execute(f"EXPLAIN {query}", values)]


@contextmanager
def queries() -> Iterator[list[tuple[str, Any]]]:
    seen: list[tuple[str, Any]] = []

    def see(_connection: Connection, _cursor: object, query: str, values: Any, *more: object) -> None:
        if query.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            seen.append((query, values[0] if more[-1] else values))  # the last says whether there are many

    event.listen(Engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", see)


def faults(library: Library, seen: list[tuple[str, Any]], *, may_sort: bool) -> list[str]:
    """Return the steps that go through a whole table, and those that sort."""
    found = []
    for query, values in seen:
        for step in library.steps(query, values):
            through_all = step.startswith("SCAN") and "INDEX" not in step and "CONSTANT" not in step
            sorts = not may_sort and ("TEMP B-TREE" in step or "Sort" in step)
            made_here = any(name in step for name in ("json_each", "anon_", "SCAN ids"))
            if "Seq Scan" in step or sorts or (through_all and not made_here):
                found.append(f"{step.strip()} in {query}")
    return found


@pytest.mark.parametrize("wanted", LISTS, ids=str)
def test_no_list_goes_through_a_table_or_sorts(library: Library, wanted: dict[str, Any]):
    with queries() as seen:
        library.store.list(**wanted)
    lists = [(query, values) for query, values in seen if "ids" not in str(values) and "LIMIT" in query]
    assert lists
    assert faults(library, lists, may_sort=False) == []


@pytest.mark.parametrize("wanted", [*LISTS, *SORTED], ids=str)
def test_no_query_of_a_list_goes_through_a_table(library: Library, wanted: dict[str, Any]):
    with queries() as seen:
        library.store.list(**wanted)
    assert faults(library, seen, may_sort=True) == []


def test_no_look_up_goes_through_a_table(library: Library):
    store, catalogue = library.store, library.catalogue
    aliased = int(catalogue.aliased.argmax())
    name = catalogue.full_name(int(catalogue.name_of[aliased]))
    version = store.resolve(f"{name}@prod")
    with queries() as seen:
        for reference in (name, f"{name}@prod", f"{name}@{version.number}", f"{name}@{version.digest[:20]}"):
            assert store.resolve(reference) == version
        for missing in ("space0/nothing", "nowhere/nothing", f"{name}@99", f"{name}@nothing", f"{name}@sha256:00000"):
            with pytest.raises(VectorstoreError):
                store.resolve(missing)
        store.history(name)
    assert faults(library, seen, may_sort=True) == []


def test_no_change_goes_through_a_table(library: Library):
    store = library.store
    vector = make_vector(seed=1)
    with queries() as seen:
        saved = store.save("space0/new", vector, make_card(vector), labels={"lang": "en"}, description="w1").version
        store.save("space0/new", vector * 2, make_card(vector * 2), parents=[saved.digest])
        store.set_alias("space0/new@2", "prod")
        store.set_label("space0/new@2", "stage", "draft")
        store.yank("space0/new@2")
        store.delete("space0/new@2")
        store.delete(saved.reference)
        gc.collect(store, apply=True, grace=timedelta(0))
    assert len(seen) > 50
    assert faults(library, seen, may_sort=True) == []
