"""Several programs at once: no number twice, no gap, no error, nothing lost."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from tests.builders import make_card, make_vector
from tests.store.writers import delete_together, move_alias, open_and_save, run_together, save_in_rounds, save_some
from vectorstore.store import Store
from vectorstore.store.events import verify
from vectorstore.store.upkeep.fsck import check


def test_eight_programs_saving_under_one_name(store: Store, library_url: str, blobs_folder: Path):
    work = [list(range(start, start + 5)) for start in range(0, 40, 5)]
    assert run_together(save_in_rounds, library_url, blobs_folder, work) == [0] * 8
    saves = [json.loads(path.read_text()) for path in blobs_folder.parent.glob("*.journal")]
    versions = {version.number: version for version in store.history("love", limit=100)}
    assert sorted(save["number"] for save in saves) == sorted(versions) == list(range(1, 41))
    for save in saves:
        version = versions[save["number"]]
        assert version.digest == save["digest"]
        assert store.read(version)[0] == make_vector(3, seed=save["seed"])
    assert store.resolve("love") == versions[40]
    assert check(store, full=True).problems == []
    with store.database.read() as session:
        assert verify(session, "default") == 40
    assert sum(collides(save, saves) for save in saves) > 30
    writers = [save["writer"] for save in sorted(saves, key=lambda save: save["number"])]
    assert sum(one != other for one, other in pairwise(writers)) > 16


def collides(save: dict, saves: list[dict]) -> bool:
    """Return whether another program was saving at the same time."""
    return any(
        other["writer"] != save["writer"] and other["start"] < save["end"] and save["start"] < other["end"]
        for other in saves
    )


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


def test_a_version_that_all_delete_is_deleted_by_one(store: Store, library_url: str, blobs_folder: Path):
    for seed in range(6):
        store.save("love", make_vector(3, seed=seed), make_card(make_vector(3, seed=seed)))
    codes = run_together(delete_together, library_url, blobs_folder, [[1, 2, 3, 4, 5]] * 4)
    assert codes.count(0) <= 1
    assert set(codes) <= {0, 3}  # not found: it was deleted already
    assert check(store, full=True).problems == []
    with store.database.read() as session:
        assert verify(session, "default") == 6 + 6 - len(store.history("love"))
