"""Yanking, restoring and deleting: what goes, what stays, and what is never bound again."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from tests.builders import make_card, make_identity, make_vector
from vectorstore.compose import compose, pin
from vectorstore.errors import ConflictError, InvalidInputError, NotFoundError
from vectorstore.store import Store
from vectorstore.store.schema import BlobRow, EventRow, TombstoneRow


def save(store: Store, name: str = "love", seed: int = 0, **about) -> str:
    vector = make_vector(3, seed=seed)
    return store.save(name, vector, make_card(vector), **about).version.reference


def actions(store: Store) -> list[str]:
    with store.database.read() as session:
        return list(session.scalars(select(EventRow.action).order_by(EventRow.seq)))


def blob_states(store: Store) -> dict[str, str]:
    with store.database.read() as session:
        return {row.digest: row.state for row in session.scalars(select(BlobRow))}


def test_a_yanked_version_is_no_longer_meant_by_its_name_but_by_everything_else(store: Store):
    for seed in range(3):
        save(store, seed=seed)
    recipe = pin(store, "2*love")
    store.set_alias("love@3", "prod")
    yanked = store.yank("love", "bad pairs")
    assert (yanked.reference, yanked.yanked) == ("love@3", True)
    assert store.resolve("love").reference == "love@2"
    assert [store.resolve(text).reference for text in ("love@3", "love@prod", f"love@{yanked.digest}")] == [
        "love@3"
    ] * 3
    assert compose(store, recipe).ingredients[0].digest == yanked.digest
    assert [version.reference for version in store.list()] == ["love@2"]
    assert store.list(text="love").versions == store.list().versions
    assert [version.yanked for version in store.history("love")] == [True, False, False]
    assert store.restore("love@3").yanked is False
    assert store.resolve("love").reference == "love@3"
    assert [version.reference for version in store.list(text="love")] == ["love@3"]
    assert actions(store)[3:] == ["alias.set", "version.yank", "version.restore"]


def test_yanking_twice_is_one_event(store: Store):
    save(store)
    store.yank("love@1")
    store.yank("love@1")
    assert actions(store) == ["version.save", "version.yank"]
    with pytest.raises(NotFoundError, match="every version of love is yanked; it has @1"):
        store.resolve("love")
    assert store.list().versions == store.list(text="love").versions == ()
    store.restore("love@1")
    store.restore("love@1")
    assert actions(store)[2:] == ["version.restore"]


def test_a_version_saved_above_a_yanked_one_is_the_newest(store: Store):
    save(store)
    store.yank("love")
    save(store, seed=1)
    assert store.resolve("love").reference == "love@2"
    store.restore("love@1")
    assert store.resolve("love").reference == "love@2"


def test_a_model_chooses_among_what_is_not_yanked(store: Store):
    vectors = [make_vector(3, seed=seed) for seed in range(3)]
    models = [make_identity(seed=1), make_identity(seed=1), make_identity(seed=2, layer_count=9)]
    for vector, model in zip(vectors, models, strict=True):
        store.save("love", vector, make_card(vector, model=model))
    assert store.resolve("love", model=models[0]).reference == "love@2"
    store.yank("love@2")
    assert store.resolve("love", model=models[0]).reference == "love@1"
    assert store.resolve("love", model=models[2]).reference == "love@3"


def test_a_deleted_version_leaves_a_tombstone_and_nothing_else(store: Store):
    save(store)
    save(store, seed=1, labels={"topic": "love"}, presets={"mild": 1}, authors=["Ann"])
    store.set_alias("love@2", "prod")
    deleted = store.delete("love@prod", "wrong pairs")
    assert deleted.reference == "love@2"
    assert store.resolve("love").reference == "love@1"
    for reference in ("love@2", f"love@{deleted.digest[:20]}"):
        with pytest.raises(
            NotFoundError, match=r"love@2 was deleted on 20\d\d-\d\d-\d\d by .+: wrong pairs; it has @1"
        ):
            store.resolve(reference)
    with pytest.raises(NotFoundError, match="no alias 'prod'"):
        store.resolve("love@prod")
    assert [version.reference for version in store.history("love")] == ["love@1"]
    assert [version.reference for version in store.list(text="love")] == ["love@1"]
    assert store.list(labels={"topic": "love"}).versions == ()
    with store.database.read() as session:
        event = session.scalars(select(EventRow).where(EventRow.action == "version.delete")).one()
        assert event.before == {"digest": deleted.digest, "aliases": ["prod"], "labels": {"topic": "love"}}
        assert (event.subject, event.after) == ("default/love@2", {"reason": "wrong pairs"})


def test_a_deleted_number_is_never_bound_again(store: Store):
    save(store)
    first = store.delete("love@1")
    with pytest.raises(NotFoundError, match="every version of love is deleted; it has no versions"):
        store.resolve("love")
    assert save(store) == "love@2"
    assert store.resolve("love@2").digest == first.digest
    with pytest.raises(NotFoundError, match="love@1 was deleted"):
        store.resolve("love@1")
    assert store.resolve(f"love@{first.digest[:16]}").reference == "love@2"
    store.delete("love@2")
    assert save(store, seed=1) == "love@3"
    with store.database.read() as session:
        assert list(session.scalars(select(TombstoneRow.number))) == [1, 2]


def test_what_a_recipe_pins_or_something_was_made_of_cannot_be_deleted(store: Store):
    save(store)
    save(store, "calm", seed=1)
    store.save_recipe("mix", pin(store, "love + calm"))
    store.save_recipe("acme/mix", pin(store, "2*love"))
    vector = make_vector(3, seed=2)
    store.save("made", vector, make_card(vector), parents=[store.resolve("love").digest])
    with pytest.raises(
        ConflictError, match=r"love@1 is needed by mix@1, acme/mix@1, made@1; delete these first, or yank"
    ):
        store.delete("love@1")
    assert store.resolve("love").reference == "love@1"
    for reference in ("mix@1", "acme/mix@1", "made@1", "love@1"):
        store.delete(reference)
    assert [version.reference for version in store.list()] == ["calm@1"]


def test_of_many_users_a_few_are_named(store: Store):
    save(store)
    for number in range(12):
        store.save_recipe(f"mix{number}", pin(store, f"{number + 2}*love"))
    with pytest.raises(ConflictError, match=r"mix0@1, .*mix9@1, and others; delete"):
        store.delete("love@1")


def test_a_bare_name_is_not_deleted(store: Store):
    save(store)
    with pytest.raises(InvalidInputError, match="with all its versions; name one version: NAME@NUMBER"):
        store.delete("love")


def test_blobs_that_another_version_needs_stay_live(store: Store):
    save(store)
    save(store, "also", labels={"a": "b"})  # the same vector, so the same blob; another manifest
    assert sorted(blob_states(store).values()) == ["live"] * 3
    store.delete("also@1")
    assert sorted(blob_states(store).values()) == ["live", "live", "pending"]
    store.delete("love@1")
    assert sorted(blob_states(store).values()) == ["pending"] * 3
    save(store)
    assert sorted(blob_states(store).values()) == ["live", "live", "pending"]


def test_a_deleted_recipe_frees_what_it_pinned(store: Store):
    save(store)
    store.save_recipe("mix", pin(store, "2*love"))
    store.delete("mix@1")
    assert store.delete("love@1").reference == "love@1"
