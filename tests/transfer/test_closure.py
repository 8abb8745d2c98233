"""Versions travel with all that they need, each after what it needs itself."""

from __future__ import annotations

import pytest

from tests.transfer.libraries import fill, save
from vectorstore.compose import pin
from vectorstore.errors import InvalidInputError, NotFoundError
from vectorstore.store import Store
from vectorstore.transfer import closure as closing
from vectorstore.transfer.closure import closure


def named(store: Store, *references: str) -> list[str]:
    return [version.reference for version in closure(store, references)]


def test_what_is_pinned_and_parents_come_first(store: Store):
    fill(store)
    assert named(store, "made") == ["acme/love@1", "mix@1", "made@1"]
    assert named(store, "mixed") == ["acme/love@1", "acme/love@2", "mix@1", "mixed@1"]
    assert named(store, "acme/love@prod") == ["acme/love@1"]


def test_the_order_does_not_depend_on_how_they_are_asked_for(store: Store):
    fill(store)
    assert named(store, "mixed", "made", "mixed@1") == named(store, "made", "mixed")


def test_a_long_chain_of_parents_comes_whole(store: Store):
    digest = save(store, "link", 0).digest
    for seed in range(1, 40):
        digest = save(store, "link", seed, parents=[digest]).digest
    assert named(store, "link") == [f"link@{number}" for number in range(1, 41)]


def test_more_than_can_be_listed_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch):
    fill(store)
    monkeypatch.setattr(closing, "MAX_VERSIONS", 3)
    assert len(closure(store, ["made"])) == 3
    with pytest.raises(InvalidInputError, match="more than 3 versions would travel together; send them in several"):
        closure(store, ["mixed"])


def test_what_is_no_version_is_refused(store: Store):
    fill(store)
    with pytest.raises(InvalidInputError, match="no version is named"):
        closure(store, [])
    with pytest.raises(InvalidInputError, match="has layers or a preset"):
        closure(store, ["acme/love[2]"])
    with pytest.raises(NotFoundError, match="there is no 'gone'"):
        closure(store, ["made", "gone"])


def test_a_recipe_of_what_was_received_under_another_name_finds_it(store: Store):
    fill(store)
    store.save_recipe("acme/own", pin(store, "acme/love@1 + made"))
    assert named(store, "acme/own") == ["acme/love@1", "mix@1", "made@1", "acme/own@1"]
