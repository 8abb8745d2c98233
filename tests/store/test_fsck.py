"""Fsck: a sound library has no problems, and each kind of damage is told."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, text

from tests.builders import make_card, make_vector
from vectorstore.compose import pin
from vectorstore.store import Store
from vectorstore.store.catalogue import summarise
from vectorstore.store.schema import VersionRow
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.upkeep.problems import Checked

MANY_ITEMS = tuple({"positive": f"{number:0200}", "negative": " "} for number in range(400))


@pytest.fixture
def library(store: Store) -> Store:
    for seed in range(3):
        vector = make_vector((2, 3), seed=seed, positions=4 if seed else None)
        store.save("love", vector, make_card(vector, items=MANY_ITEMS), presets={"mild": 1})
    store.save_recipe("acme/mix", pin(store, "love@1 + 2*love@1"))
    store.yank("love@3")
    store.delete("love@2")
    return store


def change(store: Store, statement: str, **values: object) -> None:
    with store.database.write() as session:
        session.execute(text(statement), values)


def path_of(blobs: Path, name: str) -> Path:
    return blobs / "sha256" / name[7:9] / name[7:]


def kinds(checked: Checked) -> list[str]:
    return [problem.kind for problem in checked.problems]


@pytest.mark.parametrize("full", [False, True])
def test_a_sound_library_has_no_problems(library: Store, *, full: bool):
    checked = check(library, full=full)
    assert checked.problems == []
    assert (checked.blobs, checked.files, checked.versions, checked.events) == (7, 9, 3, 6)
    assert checked.to_json()["ok"] is True


def test_a_full_check_notes_when_each_blob_was_verified(library: Store):
    change(library, "UPDATE blobs SET verified_at = NULL")
    check(library)
    check(library, full=True)
    with library.database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM blobs WHERE verified_at IS NOT NULL")) == 7


def test_missing_and_cut_off_files_are_told(library: Store, blobs_folder: Path):
    first, second = library.resolve("love@1").blobs
    path_of(blobs_folder, first.digest).unlink()
    damaged = path_of(blobs_folder, second.digest)
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    checked = check(library)
    assert sorted((problem.kind, problem.subject) for problem in checked.problems) == [
        ("damaged", second.digest),
        ("missing", first.digest),
    ]
    assert all("restore it from a backup, or save the same vector again" in p.hint for p in checked.problems)


def test_a_flipped_bit_is_found_by_a_full_check_only(library: Store, blobs_folder: Path):
    name = library.resolve("love@1").blobs[0].digest
    path = path_of(blobs_folder, name)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    assert check(library).ok
    checked = check(library, full=True)
    assert kinds(checked) == ["damaged", "version"]
    assert checked.problems[0].subject == name
    assert checked.problems[1].subject == "default/love@1"


def test_a_file_that_nobody_knows_is_told_and_put_aside(library: Store, blobs_folder: Path):
    staged = library.blobs.stage(b"stray")
    staged.publish()
    assert kinds(check(library)) == ["orphan"]
    checked = check(library, quarantine=True)
    assert [Path(path).read_bytes() for path in checked.quarantined] == [b"stray"]
    assert Path(checked.quarantined[0]).parent == blobs_folder / "quarantine"
    assert check(library).ok


def test_damage_that_was_put_aside_is_mended_by_saving_again(library: Store, blobs_folder: Path):
    version = library.resolve("love@1")
    path = path_of(blobs_folder, version.blobs[0].digest)
    path.chmod(0o644)
    path.write_bytes(b"x" * version.blobs[0].size)
    assert len(check(library, full=True, quarantine=True).quarantined) == 1
    assert kinds(check(library)) == ["missing"]
    vector = make_vector((2, 3), seed=0)
    saved = library.save("love", vector, make_card(vector, items=MANY_ITEMS), presets={"mild": 1})
    assert (saved.created, saved.version.number) == (False, 1)
    assert check(library, full=True).ok


@pytest.mark.parametrize(
    ("statement", "kind", "said"),
    [
        ("UPDATE blobs SET state = 'pending' WHERE digest = :manifest", "unmarked", "may be collected"),
        ("UPDATE blobs SET state = 'live'", "unneeded", "no version needs it"),
        ("UPDATE version_blobs SET media_type = 'x'", "version", "not those of its manifest"),
        ("UPDATE version_blobs SET position = position + 7 WHERE position = 0", "version", "not those of its manifest"),
        ("UPDATE versions SET newest = NOT newest WHERE number = 1", "name", "marked as its newest, not 1"),
        ("UPDATE artifacts SET next_version = 3", "name", "its next version would be 3, which was there before"),
        ("UPDATE events SET actor = 'nobody' WHERE seq = 2", "events", "event 2 of default is missing or was altered"),
        ("DELETE FROM events WHERE seq = 5", "events", "events of default after 4 are missing"),
        ("UPDATE versions SET model = '7' WHERE model IS NOT NULL", "version", "the model of a version"),
        ("UPDATE presets SET coefficient = '7'", "version", "lists show something else of it"),
        ("UPDATE summaries SET summary = replace(summary, 'love', 'hate')", "version", "lists show something else"),
        ("UPDATE summaries SET summary = 'love'", "version", "missing or damaged"),
    ],
)
def test_rows_that_were_altered_are_told(library: Store, statement: str, kind: str, said: str):
    change(library, statement, **({"manifest": library.resolve("love@1").digest} if ":manifest" in statement else {}))
    found = [problem for problem in check(library).problems if problem.kind == kind]
    assert any(said in problem.detail for problem in found)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE version_sites SET norm = 1",
        "UPDATE version_sites SET layer = layer + 7",
        "UPDATE versions SET method = 'other' WHERE method IS NOT NULL",
    ],
)
def test_a_full_check_compares_rows_with_the_vector_itself(library: Store, statement: str):
    change(library, statement)
    with library.database.write() as session:
        summarise(session, session.scalars(select(VersionRow.id)).all())
    assert check(library).ok
    problems = check(library, full=True).problems
    assert {problem.kind for problem in problems} == {"version"}
    assert {problem.subject for problem in problems} == {"default/love@1", "default/love@3"}


def test_damage_within_the_database_file_is_told(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/library.db"
    with Store.open(url, blobs=str(tmp_path / "blobs")) as store:
        store.save("love", make_vector(), make_card(make_vector()))
    with closing(sqlite3.connect(tmp_path / "library.db")) as connection, connection:
        connection.execute("PRAGMA writable_schema=ON")
        page = "SELECT rootpage FROM sqlite_schema WHERE name = 'ix_aliases_version_id'"
        connection.execute(f"UPDATE sqlite_schema SET rootpage = ({page}) WHERE name = 'ix_lineage_parent_id'")  # noqa: S608
    with Store.open(url, blobs=str(tmp_path / "blobs")) as store:
        assert "database" in kinds(check(store))


def test_a_row_that_refers_to_nothing_is_told(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/library.db"
    with Store.open(url, blobs=str(tmp_path / "blobs")) as store:
        store.save("love", make_vector(), make_card(make_vector()), labels={"a": "b"})
        with closing(sqlite3.connect(tmp_path / "library.db")) as connection, connection:
            connection.execute("INSERT INTO labels VALUES (77, 'a', 'b')")
        (problem,) = check(store).problems
        assert (problem.kind, problem.detail) == ("database", "it refers to a row of versions that is gone")
