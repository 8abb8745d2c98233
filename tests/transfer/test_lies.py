"""Bundles and registries that carry versions which contradict themselves: every digest is right, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lies import BODY, CARD, LIES, VECTOR, card, tell, told
from tests.transfer.libraries import library
from tests.transfer.oci_registry import NEEDED, Registry
from vectorstore.errors import IntegrityError
from vectorstore.store import Store
from vectorstore.store.upkeep.fsck import check
from vectorstore.transfer.bundle import apply_bundle, create_bundle, verify_bundle
from vectorstore.transfer.registry import pull, push

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[Store]:
    with library(tmp_path / "liar") as opened:
        yield opened


def stays_empty(store: Store) -> None:
    assert store.list().versions == ()
    assert list(store.blobs.all()) == []
    assert check(store, full=True).problems == []


def test_what_is_made_alike_and_tells_the_truth_comes_in(store: Store, liar: Store, tmp_path: Path):
    name = tell(liar, told(card(lambda _: None)), "team/lie")
    create_bundle(liar, ["team/lie"], tmp_path / "x.tar")
    assert verify_bundle(tmp_path / "x.tar").ok
    apply_bundle(store, tmp_path / "x.tar")
    assert store.resolve("team/lie@1").digest == name
    assert store.read("team/lie@1") == (VECTOR, CARD)


@pytest.mark.parametrize("lie", LIES)
def test_a_bundle_with_a_lie_is_told_and_not_applied(store: Store, liar: Store, tmp_path: Path, lie: str):
    tell(liar, LIES[lie], "team/lie")
    create_bundle(liar, ["team/lie"], tmp_path / "x.tar")
    verified = verify_bundle(tmp_path / "x.tar")
    assert not verified.ok, verified
    assert "team/lie" in str(verified.problems)
    with pytest.raises(IntegrityError):
        apply_bundle(store, tmp_path / "x.tar")
    stays_empty(store)


@NEEDED
@pytest.mark.parametrize("lie", LIES)
def test_a_registry_with_a_lie_gives_nothing(store: Store, liar: Store, shared: Registry, lie: str):
    tell(liar, LIES[lie], "team/lie")
    url = shared.url(f"team/lies:{list(LIES).index(lie)}")
    push(liar, ["team/lie"], url)
    with pytest.raises(IntegrityError):
        pull(store, url)
    stays_empty(store)


def test_one_lie_among_truths_keeps_all_of_a_bundle_out(store: Store, liar: Store, tmp_path: Path):
    tell(liar, told(BODY), "team/true")
    tell(liar, LIES["a card with another norm"], "team/lie")
    create_bundle(liar, ["team/true", "team/lie"], tmp_path / "x.tar")
    with pytest.raises(IntegrityError, match="norm"):
        apply_bundle(store, tmp_path / "x.tar")
    assert {version.name for version in store.list().versions} <= {"true"}
    assert check(store, full=True).problems == []
