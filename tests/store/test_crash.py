"""Killed in the middle of saving: nothing that was acknowledged is lost, and nothing dangles."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.builders import make_card, make_vector
from tests.store.writers import open_until_killed, run, save_until_killed
from vectorstore.canonical import digest
from vectorstore.store import Store
from vectorstore.store.events import verify


def check_library(store: Store, blobs: Path, acknowledged: set[str], *, newest: int = 1000) -> None:
    """Read the newest versions back, and hash every file."""
    versions = store.history("love", limit=1000).versions
    assert acknowledged <= {version.digest for version in versions}
    assert [version.number for version in reversed(versions)] == list(range(1, len(versions) + 1))
    for version in versions[:newest]:
        vector, card = store.read(version)
        assert set(vector.places) == set(card.places)
        assert card.data.items is not None
    for path in blobs.glob("sha256/*/*"):
        assert digest(path.read_bytes()) == f"sha256:{path.name}"
    with store.database.read() as session:
        assert verify(session, "default") == len(versions)


def test_a_writer_killed_at_any_step_loses_nothing(store: Store, library_url: str, blobs_folder: Path, tmp_path: Path):
    journal = tmp_path / "journal"
    assert run(save_until_killed, library_url, str(blobs_folder), 0, str(journal)) == 0
    first, count = journal.read_text().split()
    steps = int(count)
    assert steps > 25  # 3 blobs, each with its file, its name and its folder; 2 commits; before and after each
    acknowledged = {first}
    for step in range(1, steps + 1):
        journal.unlink(missing_ok=True)
        code = run(save_until_killed, library_url, str(blobs_folder), step, str(journal))
        assert code == -signal.SIGKILL or journal.exists()
        if journal.exists():
            acknowledged.add(journal.read_text().split()[0])
        vector = make_vector(3, seed=step)
        acknowledged.add(store.save("love", vector, make_card(vector)).version.digest)
        check_library(store, blobs_folder, acknowledged, newest=3)
    check_library(store, blobs_folder, acknowledged)


def test_a_killed_save_can_be_done_again(store: Store, library_url: str, blobs_folder: Path, tmp_path: Path):
    for step in (3, 9, 20):
        assert run(save_until_killed, library_url, str(blobs_folder), step, str(tmp_path / "x")) == -signal.SIGKILL
    assert store.list().versions == ()
    vector = make_vector((2, 3), seed=1003)
    assert store.save("love", vector, make_card(vector)).version.number == 1
    assert store.read("love")[0] == vector


def test_a_first_opening_that_is_killed_can_be_done_again(empty_url: str, blobs_folder: Path):
    codes = [run(open_until_killed, empty_url, str(blobs_folder), step) for step in range(1, 5)]
    assert codes.count(-signal.SIGKILL) >= 2
    with Store.open(empty_url, blobs=str(blobs_folder)) as store:
        assert store.save("love", make_vector(), make_card(make_vector())).created
