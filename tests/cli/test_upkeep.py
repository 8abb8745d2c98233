"""Yank, delete, lineage, the log, gc, fsck, backup and rebuild through the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.blank import blank
from tests.builders import make_card, make_vector
from tests.cli.steering import Steer
from vectorstore.compose import pin
from vectorstore.store import Store


@pytest.fixture
def library(steer: Steer) -> Steer:
    """Have three versions of `love`, and a recipe of the first."""
    with Store.open(blank(steer.home / "library.db"), blobs=str(steer.home / "blobs")) as store:
        for seed in (1, 2, 3):
            vector = make_vector([2, 3, 4], seed=seed)
            store.save("love", vector, make_card(vector))
        store.save_recipe("mix", pin(store, "2*love@1"))
    return steer


def test_a_version_is_yanked_and_restored(library: Steer):
    assert library("yank", "love", "--reason", "wrong layer").out == "love@3 is yanked\n"
    assert library.ok("show", "love")["number"] == 2
    assert library.ok("show", "love@3")["yanked"] is True
    assert library("restore", "love@3").out == "love@3 is yanked no more\n"
    assert library.ok("show", "love")["number"] == 3
    assert "there is no 'hate'" in library.fails(3, "yank", "hate")


def test_who_uses_a_deprecated_or_yanked_version_is_told_why(library: Steer):
    assert library("deprecate", "love@2", "--reason", "use love@3").out == "love@2 is deprecated: use love@3\n"
    library("yank", "love@1", "--reason", "wrong layer")
    done = library("compose", "love@1 + love@2 + love@3")
    assert "note: love@1 is yanked: wrong layer\n" in done.err
    assert "note: love@2 is deprecated: use love@3\n" in done.err
    assert "love@3 is" not in done.err
    assert library.ok("compose", "love@2")["notes"] == ["love@2 is deprecated: use love@3"]
    assert "use love@3" in library("show", "love@2").out
    assert library("deprecate", "love@2", "--undo").out == "love@2 is deprecated no more\n"
    assert library.ok("compose", "love@2")["notes"] == []
    assert "give a reason" in library.fails(2, "deprecate", "love@2")


def test_a_version_is_deleted_once_it_is_sure(library: Steer):
    library.ok("alias", "set", "love@2", "old")
    assert "deleting love@2 cannot be taken back; add --yes" in library.fails(2, "delete", "love@2")
    assert library("delete", "love@2", "--yes", "--reason", "bad pairs").out == "love@2 is deleted, and @old with it\n"
    assert ": bad pairs; it has @1, @3" in library.fails(3, "show", "love@2")
    assert "love@1 is needed by mix@1; delete these first" in library.fails(5, "delete", "love@1", "--yes")
    assert "is a name with all its versions" in library.fails(2, "delete", "love", "--yes")


def test_the_lineage_is_shown_both_ways(library: Steer):
    assert library("lineage", "mix").out == ("mix@1 is made of\n  love@1  vector\nmix@1 is used by nothing\n")
    library.ok("yank", "mix")
    assert "love@1 is used by\n  mix@1  recipe, yanked\n" in library("lineage", "love@1").out
    assert library.ok("lineage", "love@1")["used_by"][0]["relation"] == "term"


def test_the_log_is_read_and_followed(library: Steer):
    library.ok("label", "set", "love@1", "topic=joy")
    found = library.ok("audit")
    assert [event["action"] for event in found["events"]] == ["version.save"] * 4 + ["label.set"]
    assert found["last"] == 5
    assert library.ok("audit", "--limit", "1")["events"][0]["after"] == {"topic": "joy"}
    assert [event["seq"] for event in library.ok("audit", "--after", "3")["events"]] == [4, 5]
    assert library.ok("audit", "--after", "5") == {"events": [], "last": 5}
    assert "label.set" in library("audit").out
    assert "there is no namespace 'acme'" in library.fails(3, "audit", "acme")
    assert "ask for 1 to 1000" in library.fails(2, "audit", "--limit", "0")


def test_gc_says_what_would_go_and_takes_it_when_told(library: Steer):
    library.ok("delete", "love@2", "--yes")
    assert library("gc").out == "Would free 0 B in 0 blobs and 0 unfinished files\n"
    with Store.open(blank(library.home / "library.db")) as store, store.database.write() as session:
        session.connection().exec_driver_sql("UPDATE blobs SET leased_until = '2020-01-01 00:00:00'")
    done = library("gc")
    assert done.out.startswith("Would free ")
    assert done.err == "note: nothing was changed; add --apply\n"
    assert len(library.ok("gc", "--apply")["blobs"]) == 2
    assert library.ok("gc")["blobs"] == []
    assert library.ok("fsck", "--full")["ok"] is True
    assert "give 0 or more" in library.fails(2, "gc", "--grace", "-1")


def test_fsck_lists_what_is_wrong_and_ends_with_6(library: Steer):
    assert library("fsck").out == "4 versions, 8 blobs, 8 files and 4 events looked at: no problems\n"
    blob = library.ok("show", "love@2")["blobs"][0]["digest"][7:]
    (library.home / "blobs" / "sha256" / blob[:2] / blob).unlink()
    done = library("fsck")
    assert done.code == 6
    assert ": 1 problem\n" in done.out
    assert "is missing; needed by love@2" in " ".join(done.out.split())
    found = library("fsck", "--json")
    assert found.code == 6
    assert found.json["problems"][0]["subject"] == f"sha256:{blob}"
    assert found.err == ""


def test_a_library_is_backed_up_and_restored(library: Steer, tmp_path: Path):
    assert library("db", "backup", str(tmp_path / "copy")).out.startswith(
        f"{tmp_path}/copy has 4 versions and 8 blobs, 8 copied now ("
    )
    assert "already; move it away" in library.fails(5, "db", "restore", str(tmp_path / "copy"))
    shutil.rmtree(library.home)
    assert library.ok("db", "restore", str(tmp_path / "copy"))["versions"] == 4
    assert library.ok("fsck", "--full")["ok"] is True


def test_a_backup_that_cannot_be_written_names_its_folder_and_not_the_library(library: Steer, tmp_path: Path):
    (tmp_path / "file").write_text("a file")
    for folder in ("/proc/x", str(tmp_path / "file" / "copy")):
        said = library.fails(7, "db", "backup", folder)
        assert f"no backup can be written to {folder}" in said
        assert "STEER_HOME" not in said
    (tmp_path / "older" / "blobs").mkdir(parents=True)
    (tmp_path / "older" / "library.db.new").touch()
    (tmp_path / "older" / "blobs" / "tmp").write_text("in the way")
    said = library.fails(7, "db", "backup", str(tmp_path / "older"))
    assert f"no backup can be written to {tmp_path / 'older'}" in said
    assert "STEER_HOME" not in said


def test_a_lost_database_is_rebuilt(library: Steer):
    for path in library.home.glob("library.db*"):
        path.unlink()
    done = library("db", "rebuild")
    assert done.out == "Added 4 versions; 0 were there already\n"
    assert "aliases, yanks" in done.err
    assert library.ok("db", "rebuild")["present"] == 4
    assert library.ok("show", "mix")["kind"] == "recipe"


@pytest.mark.parametrize("command", ["show", "lineage", "yank"])
@pytest.mark.parametrize("reference", ["love[3]", "love@2:strong"])
def test_what_is_about_a_version_takes_no_layers_and_no_preset(library: Steer, command: str, reference: str):
    assert "has layers or a preset; name the version alone: love" in library.fails(2, command, reference)


def test_a_version_is_described(library: Steer):
    assert library("describe", "love@1", "from a dream").out == "love@1 is described\n"
    assert library.ok("show", "love@1")["description"] == "from a dream"
    assert library.ok("describe", "love@1", "")["description"] == ""


@pytest.mark.parametrize("hours", ["nan", "inf", "-inf", "-1", "1e9", "1e300"])
def test_a_grace_that_cannot_be_is_one_line(library: Steer, hours: str):
    assert "error: a grace of " in library.fails(2, "gc", "--grace", hours)
