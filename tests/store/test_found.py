"""Many versions at once: as many queries for a hundred names as for two, and the answers of one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.builders import make_card, make_identity, make_vector
from vectorstore.compose import compose, pin
from vectorstore.errors import NotFoundError
from vectorstore.store import Store
from vectorstore.store import found as at_once
from vectorstore.store.found import find_newest, find_pinned
from vectorstore.store.version import Found, Version


@pytest.fixture
def names(store: Store) -> list[str]:
    """Save two versions of each of a dozen names, one of them in another namespace."""
    names = ["acme/love", *(f"v{number}" for number in range(11))]
    for seed, name in enumerate(names):
        for again in (0, 100):
            vector = make_vector(seed=seed + again)
            store.save(name, vector, make_card(vector), presets={"strong": 2})
    return names


def queries(work: Callable[[], object]) -> int:
    """Return how many statements `work` runs."""
    seen: list[str] = []

    def see(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", see)
    try:
        work()
    finally:
        event.remove(Engine, "before_cursor_execute", see)
    return len(seen)


def full(name: str) -> str:
    return name if "/" in name else f"default/{name}"


def test_it_says_of_each_version_what_resolving_it_says(store: Store, names: list[str]):
    with store.database.look() as connection:
        newest = find_newest(connection, map(full, names))
        pinned = find_pinned(connection, [each.digest for each in newest.values()])
    for name in names:
        version = store.resolve(name)
        assert version.number == 2
        for found in (newest[full(name)], pinned[full(name), version.digest]):
            assert not isinstance(found, Version)
            assert found == Found(**{field: getattr(version, field) for field in Found.__dataclass_fields__})
            assert (str(found), found.reference) == (str(version), version.reference)


def test_a_hundred_names_take_as_many_queries_as_two(store: Store, names: list[str]):
    two, all_names = " + ".join(names[:2]), " + ".join(names)
    compose(store, two)
    assert queries(lambda: compose(store, all_names)) == queries(lambda: compose(store, two))
    few, many = pin(store, two), pin(store, all_names)
    assert queries(lambda: compose(store, many)) == queries(lambda: compose(store, few))


def test_more_names_than_one_query_takes_are_all_found(store: Store, names: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(at_once, "AT_ONCE", 5)
    with store.database.look() as connection:
        assert set(find_newest(connection, map(full, names))) == set(map(full, names))


def test_what_is_yanked_or_not_there_is_not_among_them(store: Store, names: list[str]):
    store.yank("v1@2")
    for number in (1, 2):
        store.yank(f"v2@{number}")
    with store.database.look() as connection:
        newest = find_newest(connection, ["default/v1", "default/v2", "default/nobody", "nobody/v1"])
        assert find_pinned(connection, [f"sha256:{'0' * 64}"]) == {}
    assert {name: found.number for name, found in newest.items()} == {"default/v1": 1}
    assert names


def test_with_a_model_the_older_version_that_fits_is_meant(store: Store):
    mine, other = make_identity(width=8), make_identity(width=4)
    for width, model in ((8, mine), (4, other)):
        for name in ("a", "b"):
            vector = make_vector(width=width)
            store.save(name, vector, make_card(vector, model=model))
    with store.database.look() as connection:
        assert find_newest(connection, ["default/a", "default/b"], mine) == {}
        assert set(find_newest(connection, ["default/a", "default/b"], other)) == {"default/a", "default/b"}
    plan = compose(store, "a + b", model=mine)
    assert [each.label for each in plan.ingredients] == ["default/a@1", "default/b@1"]


def test_a_name_with_and_without_preset_is_one_version(store: Store, names: list[str]):
    plan = compose(store, f"{names[1]}:strong + {names[1]} + {names[2]}")
    assert [each.label for each in plan.ingredients] == ["default/v0@2", "default/v1@2"]


def test_a_name_that_is_not_there_is_named_among_others(store: Store, names: list[str]):
    with pytest.raises(NotFoundError, match="column 6 of 'v0 \\+ v99 \\+ v1': there is no 'v99'"):
        compose(store, "v0 + v99 + v1")
    assert names
