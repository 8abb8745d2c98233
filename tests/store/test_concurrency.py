"""Several programs at once: no number twice, no gap, no error, nothing lost."""

from __future__ import annotations

from pathlib import Path

from tests.builders import make_card, make_vector
from tests.store.writers import move_alias, open_and_save, run_together, save_some
from vectorstore.store import Store
from vectorstore.store.events import verify


def test_eight_programs_saving_under_one_name(store: Store, library_url: str, blobs_folder: Path):
    work = [list(range(start, start + 5)) for start in range(0, 40, 5)]
    assert run_together(save_some, library_url, blobs_folder, work) == [0] * 8
    versions = store.history("love", limit=100).versions
    assert [version.number for version in reversed(versions)] == list(range(1, 41))
    assert len({version.digest for version in versions}) == 40
    saved = [store.read(version)[0] for version in versions]
    assert all(make_vector(3, seed=seed) in saved for seed in range(40))
    assert store.resolve("love") == versions[0]
    with store.database.read() as session:
        assert verify(session, "default") == 40


def test_one_vector_saved_by_all_is_one_version(store: Store, library_url: str, blobs_folder: Path):
    assert run_together(save_some, library_url, blobs_folder, [[7, 7]] * 6) == [0] * 6
    assert [version.number for version in store.history("love")] == [1]
    assert len(list(blobs_folder.glob("sha256/*/*"))) == 2  # the vector and the manifest
    assert not list(blobs_folder.glob("tmp/*"))


def test_programs_that_open_an_empty_database_at_once_make_one_library(empty_url: str, blobs_folder: Path):
    assert run_together(open_and_save, empty_url, blobs_folder, [[seed] for seed in range(6)]) == [0] * 6
    with Store.open(empty_url, blobs=str(blobs_folder)) as store:
        assert len(store.list()) == 6


def test_an_alias_that_all_move_means_one_version(store: Store, library_url: str, blobs_folder: Path):
    for seed in range(3):
        store.save("love", make_vector(3, seed=seed), make_card(make_vector(3, seed=seed)))
    assert run_together(move_alias, library_url, blobs_folder, [[1, 2, 3], [3, 1, 2], [2, 3, 1]]) == [0] * 3
    assert sum("prod" in version.aliases for version in store.history("love")) == 1
    with store.database.read() as session:
        assert verify(session, "default") >= 4
