"""Lists of many versions: every filter, order and page size gives what going through all of them by hand gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from benchmarks.catalogue_data import COMMON_LABELS, METHODS, Catalogue
from tests.catalogues import loaded
from vectorstore.errors import InvalidInputError
from vectorstore.store import Store, tables
from vectorstore.store.assembly import assemble
from vectorstore.store.lists import by_age, by_name
from vectorstore.store.reading import read_versions
from vectorstore.store.schema import Base, VersionRow
from vectorstore.store.version import Version

SIZE = 700


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("listing")
    with loaded(request, folder, Catalogue(SIZE)) as url, Store.open(url, blobs=str(folder / "blobs")) as store:
        yield store


@pytest.fixture(params=["few steps", "many steps"])
def _steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a small library be large: whatever a list decides after some hundred versions, it decides after some."""
    if request.param == "few steps":
        monkeypatch.setattr(by_age, "AHEAD", 5)
        monkeypatch.setattr(by_age, "WORDS_AHEAD", 30)
        monkeypatch.setattr(by_age, "COMMON", 2)
        monkeypatch.setattr(by_age, "WORDS_COMMON", 3)
        monkeypatch.setattr(by_name, "FEW", 20)
        monkeypatch.setattr(by_name, "COMMON", 100)


LABELS = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from(values) for key, values, *_ in COMMON_LABELS} | {"batch": st.just("b1")}
)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "namespace": st.sampled_from(["space0", "space1", "space7"]),
        "labels": LABELS,
        "model": st.sampled_from(["org/model-0", "org/model-1"]),
        "method": st.sampled_from(METHODS[:3]),
        "layer": st.integers(0, 6),
        "site": st.sampled_from(["resid_pre", "mlp_out"]),
        "author": st.sampled_from(["author0", "author3", "guest1"]),
        "text": st.sampled_from(["w0", "w3", "w0 w1", "rare1", "w9 concept"]),
        "kind": st.sampled_from(["vector", "recipe"]),
    },
)


def fits(version: Version, wanted: dict[str, Any]) -> bool:
    """Return whether a version is what a list asks for."""
    places = version.directions
    words = {*version.description.split(), "concept"}
    return (
        all(
            getattr(version, "model_reference" if name == "model" else name) == wanted[name]
            for name in ("namespace", "model", "method", "kind")
            if name in wanted
        )
        and all(version.labels.get(key) == value for key, value in wanted.get("labels", {}).items())
        and ("author" not in wanted or wanted["author"] in version.authors)
        and any(
            place.layer == wanted.get("layer", place.layer) and place.site == wanted.get("site", place.site)
            for place in places
        )
        and set(wanted.get("text", "").split()) <= words
    )


@pytest.mark.usefixtures("_steps")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=FILTERS, sort=st.sampled_from(["newest", "oldest", "name"]), limit=st.integers(1, 60))
def test_a_list_is_what_going_through_all_versions_finds(library: Store, wanted: dict, sort: str, limit: int):
    everything = list(library.list(sort="oldest", limit=1000))
    expected = [version for version in everything if fits(version, wanted)]
    if sort == "newest":
        expected.reverse()
    elif sort == "name":
        expected.sort(key=lambda version: f"{version.namespace}/{version.name}")
    found: list[Version] = []
    cursor = None
    for _ in range(len(expected) // limit + 1):
        page = library.list(**wanted, sort=sort, limit=limit, after=cursor)
        assert len(page) <= limit
        found += page
        cursor = page.cursor
        if cursor is None:
            break
    assert found == expected


@pytest.mark.parametrize(
    "asked",
    [
        {"sort": "size"},
        {"sort": "name", "after": "newest:5"},
        {"sort": "newest", "after": "name:space0/concept-1"},
        {"sort": "name", "after": "name:"},
        {"sort": "name", "after": "name:\x00/x"},
        {"site": "nowhere"},
        {"site": ""},
        {"layer": -1},
        {"layer": 2**70},
        {"author": "\x00"},
    ],
    ids=str,
)
def test_what_no_list_can_be_asked_for_is_refused(library: Store, asked: dict):
    with pytest.raises(InvalidInputError):
        library.list(**asked)


def test_a_cursor_of_another_list_in_the_same_order_is_harmless(library: Store):
    cursor = library.list("space0", limit=3).cursor
    assert cursor is not None
    after = list(library.list("space1", after=cursor, limit=1000))
    assert after == [version for version in library.list("space1", limit=1000) if version in after]


def test_lists_know_the_tables_as_they_are():
    light = [value for value in vars(tables).values() if hasattr(value, "c") and hasattr(value, "name")]
    assert len(light) >= 8
    for table in light:
        real = Base.metadata.tables[table.name].c
        assert {column.name for column in table.c} <= set(real.keys())


def test_the_summaries_of_a_catalogue_made_up_say_what_its_rows_say(library: Store):
    with library.database.read() as session:
        ids = list(session.scalars(select(VersionRow.id)))
        assert read_versions(session, ids) == assemble(session, ids)
