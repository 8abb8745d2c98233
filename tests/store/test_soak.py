"""Writers, readers, deleters, gc and fsck together: what was acknowledged and not deleted is never missing.

For minutes instead of seconds: scripts/soak 300
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.builders import make_vector
from tests.store.soak import NAMES, ROLES, Entry, journals, work
from tests.store.writers import run_all
from vectorstore.errors import NotFoundError
from vectorstore.store import Store
from vectorstore.store.lookup import artifact
from vectorstore.store.schema import BlobRow, TombstoneRow, VersionRow
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.upkeep.gc import collect

DONE = {"saved", "recipe", "alias", "yank", "restore", "label", "deleted", "gc", "read", "fsck"}
MAYBE = {
    "was there",
    "too slow",
    "recipe too late",
    "change too late",
    "meant to delete",
    "deleted by another",
    "pinned",
    "read too late",
}
SECONDS = float(os.environ.get("SOAK_SECONDS", "8"))


def of(entries: list[Entry], *done: str) -> set[str]:
    return {entry["reference"] for entry in entries if entry["done"] in done}


def numbers(store: Store, name: str) -> list[int]:
    """Return the numbers that versions of a name have, or had."""
    namespace, _, short = name.rpartition("/")
    with store.database.read() as session:
        row = artifact(session, namespace or "default", short)
        alive = select(VersionRow.number).where(VersionRow.artifact_id == row.id)
        dead = select(TombstoneRow.number).where(TombstoneRow.artifact_id == row.id)
        return sorted([*session.scalars(alive), *session.scalars(dead)])


@pytest.mark.timeout(SECONDS * 3 + 240)
def test_nothing_is_lost_while_all_work_at_once(
    store: Store, library_url: str, blobs_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shared = (library_url, str(blobs_folder), str(tmp_path))
    assert run_all([(work, (*shared, role, SECONDS)) for role in ROLES]) == [0] * len(ROLES)
    entries = journals(tmp_path)
    acknowledged = {entry["reference"]: entry for entry in entries if "digest" in entry}
    meant, deleted = of(entries, "meant to delete"), of(entries, "deleted")
    assert of(entries, "read too late", "deleted by another") <= meant
    assert deleted <= meant
    assert {entry["done"] for entry in entries} <= DONE | MAYBE
    for reference, entry in acknowledged.items():
        if reference in deleted:
            with pytest.raises(NotFoundError, match="was deleted on"):
                store.resolve(reference)
            continue
        version = store.resolve(reference)
        assert version.digest == entry["digest"]
        if entry["seed"] is not None:
            assert store.read(version)[0] == make_vector(3, seed=entry["seed"])
    for name in (*NAMES, "mix"):
        assert numbers(store, name) == list(range(1, len(numbers(store, name)) + 1))
    leave_only_what_is_needed(store, blobs_folder)
    done = Counter(entry["done"] for entry in entries)
    done["blob taken away"] = sum(entry.get("blobs", 0) for entry in entries)
    assert [what for what in (*DONE, "blob taken away") if not done[what]] == []
    with capsys.disabled():
        if "SOAK_SECONDS" in os.environ:
            print(f"\n{library_url.partition(':')[0]}, {SECONDS:g} s: {dict(sorted(done.items()))}")  # noqa: T201


def leave_only_what_is_needed(store: Store, blobs: Path) -> None:
    """Find everything sound, and no file that no version needs once all leases have ended."""
    assert check(store, full=True).problems == []
    with store.database.write() as session:
        session.execute(update(BlobRow).values(leased_until=datetime.now(UTC) - timedelta(days=1)))
    collect(store, apply=True)
    checked = check(store, full=True)
    assert checked.problems == []
    assert checked.blobs == checked.files == len(list(blobs.glob("sha256/*/*")))
    assert not list(blobs.glob("tmp/*"))
