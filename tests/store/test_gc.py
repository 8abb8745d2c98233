"""Gc: what no version needs goes, after its grace, and nothing else."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.builders import make_card, make_vector
from vectorstore.compose import pin
from vectorstore.errors import InvalidInputError
from vectorstore.store import Store
from vectorstore.store.draft import About, draft_vector
from vectorstore.store.save import LEASE, lease
from vectorstore.store.schema import BlobRow
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.upkeep.gc import GRACE, collect

NOW = timedelta(0)


def save(store: Store, name: str = "love", seed: int = 0):
    vector = make_vector(3, seed=seed)
    return store.save(name, vector, make_card(vector)).version


def age(store: Store, by: timedelta) -> None:
    """Let the leases of all blobs have ended so long ago."""
    with store.database.write() as session:
        session.execute(update(BlobRow).values(leased_until=datetime.now(UTC) - by))


def files(blobs: Path) -> set[str]:
    return {path.name for path in blobs.glob("sha256/*/*")}


def rows(store: Store) -> set[str]:
    with store.database.read() as session:
        return {digest[7:] for digest in session.scalars(select(BlobRow.digest))}


def half_saved(store: Store, seed: int) -> list[str]:
    """Leave what a save leaves that was killed before its last step: files with names, and pending rows."""
    vector = make_vector(3, seed=seed)
    draft = draft_vector("half", vector, make_card(vector), About())
    staged = [store.blobs.stage(content) for content in (draft.contents[0][0], draft.manifest.to_bytes())]
    with store.database.write() as session:
        lease(session, staged, datetime.now(UTC) + LEASE)
    for blob in staged:
        blob.publish()
    return sorted(blob.digest for blob in staged)


def test_what_a_deleted_version_alone_needed_goes_after_the_grace(store: Store, blobs_folder: Path):
    save(store)
    kept = files(blobs_folder)
    deleted = save(store, seed=1)
    store.delete("love@2")
    assert collect(store, apply=True).blobs == ()
    assert len(files(blobs_folder)) == 4
    planned = collect(store, grace=NOW)
    assert (len(planned.blobs), planned.applied) == (0, False)  # a save's lease of an hour is still running
    age(store, GRACE)
    planned = collect(store)
    assert planned.blobs == tuple(sorted((deleted.digest, deleted.blobs[0].digest)))
    assert planned.size == sum((blobs_folder / "sha256" / d[7:9] / d[7:]).stat().st_size for d in planned.blobs)
    assert len(files(blobs_folder)) == 4
    done = collect(store, apply=True)
    assert (done.blobs, done.size, done.applied) == (planned.blobs, planned.size, True)
    assert files(blobs_folder) == rows(store) == kept
    assert check(store, full=True).ok
    assert store.read("love@1")[0] == make_vector(3, seed=0)


def test_what_is_needed_stays_whatever_its_age(store: Store, blobs_folder: Path):
    save(store)
    save(store, "also", seed=1)
    store.save_recipe("mix", pin(store, "love + also"))
    store.yank("also")
    age(store, 100 * GRACE)
    before = files(blobs_folder)
    assert collect(store, apply=True, grace=NOW).blobs == ()
    assert files(blobs_folder) == before


def test_a_save_that_was_never_finished_goes_after_lease_and_grace(store: Store, blobs_folder: Path):
    digests = half_saved(store, seed=7)
    assert collect(store, apply=True, grace=NOW).blobs == ()
    age(store, timedelta(hours=1))
    assert collect(store, apply=True).blobs == ()
    assert collect(store, apply=True, grace=NOW).blobs == tuple(digests)
    assert files(blobs_folder) == rows(store) == set()


def test_a_row_whose_lease_was_renewed_stays(store: Store, monkeypatch: pytest.MonkeyPatch):
    half_saved(store, seed=7)
    age(store, 2 * GRACE)
    found = collect(store)
    assert len(found.blobs) == 2
    monkeypatch.setattr("vectorstore.store.upkeep.gc._batches", lambda *_: iter([list(found.blobs)]))
    half_saved(store, seed=7)  # between looking and taking
    assert collect(store, apply=True).blobs == ()
    vector = make_vector(3, seed=7)
    assert store.save("half", vector, make_card(vector)).created
    assert store.read("half")[0] == vector


def test_a_gc_that_was_killed_after_the_file_was_gone_is_finished_by_the_next(store: Store, blobs_folder: Path):
    digests = half_saved(store, seed=7)
    age(store, 2 * GRACE)
    store.blobs.delete(digests[0])
    assert collect(store, apply=True).blobs == tuple(digests)
    assert files(blobs_folder) == rows(store) == set()


def test_files_that_were_never_published_go_once_they_are_old(store: Store, blobs_folder: Path):
    for name, days in (("old", 3), ("young", 0)):
        path = blobs_folder / "tmp" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        past = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(path, (past, past))
    assert collect(store, grace=NOW).leftovers == (str(blobs_folder / "tmp" / "old"),)
    assert len(list(blobs_folder.glob("tmp/*"))) == 2
    assert collect(store, grace=NOW, apply=True).leftovers == (str(blobs_folder / "tmp" / "old"),)
    assert [path.name for path in blobs_folder.glob("tmp/*")] == ["young"]


def test_more_than_a_batch_goes(store: Store, blobs_folder: Path):
    for seed in range(25):
        save(store, seed=seed)
    for number in range(1, 25):
        store.delete(f"love@{number}")
    age(store, 2 * GRACE)
    assert len(collect(store).blobs) == len(collect(store, apply=True).blobs) == 48
    assert len(files(blobs_folder)) == 2


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta.min, timedelta.max])
def test_a_grace_that_cannot_be_is_refused(store: Store, grace: timedelta):
    with pytest.raises(InvalidInputError, match=r"a grace of .* hours; give 0 or more, up to 876000"):
        collect(store, grace=grace)
