"""A lost database is made again from manifests and blobs alone."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from tests.builders import make_card, make_vector
from vectorstore.codec import pack
from vectorstore.compose import compose, pin
from vectorstore.manifest import NAME_ANNOTATION, VECTOR_BLOB, BlobEntry, Manifest
from vectorstore.store import Store
from vectorstore.store.draft import (
    AUTHORS_ANNOTATION,
    DESCRIPTION_ANNOTATION,
    LABELS_ANNOTATION,
    LICENSE_ANNOTATION,
    PARENTS_ANNOTATION,
    PRESETS_ANNOTATION,
    Draft,
)
from vectorstore.store.schema import BlobRow
from vectorstore.store.upkeep import rebuild as rebuilding
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.upkeep.gc import collect
from vectorstore.store.upkeep.rebuild import rebuild
from vectorstore.vector import Place

MANY_ITEMS = tuple({"positive": f"{number:0200}", "negative": " "} for number in range(400))


@pytest.fixture
def lost(tmp_path: Path, blobs_folder: Path) -> list[dict]:
    """Leave the blobs of a library whose database is gone; return what its versions were."""
    with Store.open(f"sqlite:///{tmp_path}/lost.db", blobs=str(blobs_folder)) as old:
        for seed in range(3):
            vector = make_vector((2, 3), seed=seed, positions=4)
            about = {"labels": {"seed": str(seed)}, "authors": ["Ann, Dr.", "Bob"], "license": "MIT"}
            old.save("acme/love", vector, make_card(vector, items=MANY_ITEMS), presets={"mild": "0.1r"}, **about)
        old.save_recipe("mix", pin(old, "2*acme/love@1:mild"), description="a mix")
        old.save_recipe("mixed", pin(old, "mix + acme/love[2]"))
        made = make_vector(5, seed=9)
        old.save("made", made, make_card(made), parents=[old.resolve("mix").digest])
        for age, path in enumerate(sorted(blobs_folder.glob("sha256/*/*"), key=lambda path: path.stat().st_mtime_ns)):
            os.utime(path, (1_700_000_000 + age, 1_700_000_000 + age))
        versions = [*old.history("acme/love"), *old.history("mix"), *old.history("mixed"), *old.history("made")]
        return [version.to_json() | {"created_at": ""} for version in versions]


def all_of(store: Store) -> list[dict]:
    names = ("acme/love", "mix", "mixed", "made")
    return [version.to_json() | {"created_at": ""} for name in names for version in store.history(name)]


def test_everything_that_manifests_hold_is_back(store: Store, lost: list[dict]):
    rebuilt = rebuild(store)
    assert sorted(rebuilt.versions) == ["acme/love@1", "acme/love@2", "acme/love@3", "made@1", "mix@1", "mixed@1"]
    assert (rebuilt.present, rebuilt.rejected, rebuilt.unused) == (0, {}, [])
    assert all_of(store) == lost
    assert check(store, full=True).ok
    assert store.read("acme/love@2")[1].data.items == MANY_ITEMS
    assert compose(store, "mixed").places == (Place("resid_pre", 2), Place("resid_pre", 3))
    assert store.list(text="ann").versions == store.list("acme").versions


def test_a_rebuild_is_done_again_without_harm(store: Store, lost: list[dict]):
    rebuild(store)
    again = rebuild(store)
    assert (again.versions, again.present) == ([], 6)
    assert all_of(store) == lost


def test_what_was_deleted_stays_deleted(store: Store, lost: list[dict]):
    assert lost
    rebuild(store)
    store.delete("acme/love@2")
    assert rebuild(store).versions == []
    assert [version.number for version in store.history("acme/love")] == [3, 1]


def test_what_is_damaged_or_incomplete_is_told_and_the_rest_is_back(store: Store, lost: list[dict], blobs_folder: Path):
    vector_blob = lost[0]["blobs"][0]["digest"][7:]  # of acme/love@3, which mixed pins
    path = blobs_folder / "sha256" / vector_blob[:2] / vector_blob
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-4] + b"\xff\xff\xff\x7f")
    rebuilt = rebuild(store)
    assert sorted(rebuilt.versions) == ["acme/love@1", "acme/love@2", "made@1", "mix@1"]
    reasons = {
        version["reference"]: rebuilt.rejected[version["digest"]]
        for version in lost
        if version["digest"] in rebuilt.rejected
    }
    assert set(reasons) == {"acme/love@3", "mixed@1"}
    assert "was altered" in reasons["acme/love@3"]
    assert "which is not in this library" in reasons["mixed@1"]
    assert f"sha256:{vector_blob}" in rebuilt.unused
    assert check(store, full=True).problems[0].kind == "orphan"


HOSTILE = {
    LABELS_ANNOTATION: ('{"\\u001b[2J":"x"}', "is not a label"),
    DESCRIPTION_ANNOTATION: ("d" * 10_001, "the description has 10001 characters"),
    LICENSE_ANNOTATION: ("MIT\0", "has control characters"),
    AUTHORS_ANNOTATION: (f'["{"a" * 256}"]', "the author has 256 characters"),
    PRESETS_ANNOTATION: ('{"far":{"coefficient":"1","layers":[40,41],"unit":"raw"}}', "preset|layer"),
    PARENTS_ANNOTATION: ('["\\u001b[2J"]', "is not a digest"),
}


@pytest.mark.parametrize("annotation", HOSTILE)
def test_what_could_not_be_saved_is_not_rebuilt_either(store: Store, annotation: str):
    said, reason = HOSTILE[annotation]
    vector = make_vector(3)
    blob = pack(vector, make_card(vector))
    annotations = {NAME_ANNOTATION: "other/love", annotation: said}
    manifest = Manifest("vector", (BlobEntry.of(VECTOR_BLOB, blob),), annotations)
    for data in (blob, manifest.to_bytes()):
        store.blobs.stage(data).publish()
    rebuilt = rebuild(store)
    assert (rebuilt.versions, list(rebuilt.rejected)) == ([], [manifest.digest])
    assert re.search(reason, rebuilt.rejected[manifest.digest])


def test_what_is_collected_while_it_is_rebuilt_is_no_version(store: Store, monkeypatch: pytest.MonkeyPatch):
    vector = make_vector(3)
    store.save("love", vector, make_card(vector))
    with store.database.write() as session:  # as a save leaves them that was killed days ago
        for table in ("version_search", "summaries", "version_blobs", "version_sites", "versions"):
            session.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - our own tables
        session.execute(update(BlobRow).values(state="pending", leased_until=datetime.now(UTC) - timedelta(days=3)))
    original = rebuilding.stored_draft

    def late(*args: Any) -> Draft:
        draft = original(*args)
        collect(store, apply=True)
        return draft

    monkeypatch.setattr(rebuilding, "stored_draft", late)
    rebuilt = rebuild(store)
    assert rebuilt.versions == []
    assert "is missing" in next(iter(rebuilt.rejected.values()))
    assert store.list().versions == ()
