"""Two programs whose steps fall between each other's in the worst way: made to happen, not waited for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from tests.builders import make_card, make_vector
from vectorstore.compose import compose
from vectorstore.errors import IntegrityError, NotFoundError, UnavailableError
from vectorstore.store import Store
from vectorstore.store import save as saving
from vectorstore.store.blobs.local_blobs import LocalBlobs
from vectorstore.store.schema import BlobRow
from vectorstore.store.upkeep import fsck, soundness
from vectorstore.store.upkeep.gc import collect
from vectorstore.store.upkeep.problems import Checked


def save(store: Store, seed: int) -> str:
    vector = make_vector(3, seed=seed)
    return store.save("love", vector, make_card(vector)).version.reference


def delete_and_collect(store: Store, reference: str) -> None:
    store.delete(reference)
    with store.database.write() as session:
        session.execute(update(BlobRow).values(leased_until=datetime.now(UTC) - timedelta(days=2)))
    collect(store, apply=True)


def before_first(monkeypatch: pytest.MonkeyPatch, method: str, other: Callable[[], object]) -> None:
    """Let another program act just before the blobs are asked for the first time."""
    original, waiting = getattr(LocalBlobs, method), [other]

    def late(*args: object, **options: object) -> object:
        while waiting:
            waiting.pop()()
        return original(*args, **options)

    monkeypatch.setattr(LocalBlobs, method, late)


def test_a_version_that_was_collected_before_it_was_read_says_that_it_was_deleted(store: Store):
    save(store, 1)
    version = store.resolve("love@1")
    delete_and_collect(store, "love@1")
    with pytest.raises(NotFoundError, match=r"love@1 was deleted on \d{4}-\d\d-\d\d by "):
        store.read(version)


def test_a_name_whose_newest_version_goes_while_it_is_read_means_the_one_before(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    save(store, 1)
    save(store, 2)
    before_first(monkeypatch, "open", lambda: delete_and_collect(store, "love@2"))
    assert store.read("love")[0] == make_vector(3, seed=1)


def test_composing_what_is_collected_meanwhile_says_that_it_was_deleted(store: Store, monkeypatch: pytest.MonkeyPatch):
    save(store, 1)
    before_first(monkeypatch, "open", lambda: delete_and_collect(store, "love@1"))
    with pytest.raises(NotFoundError, match="love@1 was deleted on"):
        compose(store, "2*love")


def test_a_blob_that_is_missing_from_a_version_that_is_there_is_damage(store: Store):
    save(store, 1)
    store.blobs.delete(store.resolve("love").blobs[0].digest)
    with pytest.raises(IntegrityError, match="is missing; restore it from a backup"):
        store.read("love")


def test_a_save_that_outlived_its_lease_is_not_acknowledged(store: Store, monkeypatch: pytest.MonkeyPatch):
    # Between its two transactions others may have taken the bytes away, and be about to bring them again.
    with monkeypatch.context() as short:
        short.setattr(saving, "LEASE", timedelta(0))
        with pytest.raises(UnavailableError, match="saving took longer than its lease of 0:00:00; save again"):
            save(store, 1)
    assert store.list().versions == ()
    assert save(store, 1) == "love@1"


def test_a_lease_is_never_made_shorter(store: Store, monkeypatch: pytest.MonkeyPatch):
    save(store, 1)
    with store.database.read() as session:
        before = session.scalars(select(BlobRow.leased_until).order_by(BlobRow.digest)).all()
    monkeypatch.setattr(saving, "LEASE", timedelta(minutes=1))
    save(store, 1)
    with store.database.read() as session:
        assert session.scalars(select(BlobRow.leased_until).order_by(BlobRow.digest)).all() == before


def around_first(monkeypatch: pytest.MonkeyPatch, store: Store, method: str, digest: str, reference: str) -> None:
    """Have a version deleted and collected just before a blob of it is looked at, and saved again just after."""
    original, waiting = getattr(LocalBlobs, method), [reference]

    def late(blobs: LocalBlobs, name: str, *args: object, **options: object) -> object:
        if name != digest or not waiting:
            return original(blobs, name, *args, **options)
        delete_and_collect(store, waiting.pop())
        try:
            return original(blobs, name, *args, **options)
        finally:
            save(store, 2)

    monkeypatch.setattr(LocalBlobs, method, late)


def test_bytes_that_go_and_come_back_while_they_are_checked_are_not_missing(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    save(store, 2)
    around_first(monkeypatch, store, "verify", store.resolve("love").blobs[0].digest, "love@1")
    assert list(fsck._bytes(store, Checked(full=True))) == []
    assert store.resolve("love").number == 2


def test_a_version_that_goes_while_it_is_checked_is_not_damaged(store: Store, monkeypatch: pytest.MonkeyPatch):
    save(store, 2)
    around_first(monkeypatch, store, "open", store.resolve("love").digest, "love@1")
    assert list(soundness.of_versions(store, Checked(full=True))) == []
    assert store.resolve("love").number == 2


def test_a_file_that_goes_and_comes_back_while_files_are_listed_is_nobodys_orphan(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    save(store, 2)
    listed = list(store.blobs.all())
    delete_and_collect(store, "love@1")
    monkeypatch.setattr(LocalBlobs, "all", lambda _: iter(listed))
    before_first(monkeypatch, "exists", lambda: save(store, 2))
    assert list(fsck._files(store, Checked(full=True))) == []
    assert store.resolve("love").number == 2
