"""Bundles, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.blank import blank
from tests.cli.steering import Steer
from tests.transfer.libraries import fill
from vectorstore.store import Store


@pytest.fixture
def full(steer: Steer) -> Steer:
    """Fill the library."""
    blank(steer.home / "library.db")
    with Store.open() as store:
        fill(store)
    return steer


@pytest.fixture
def other(tmp_path: Path) -> list[str]:
    """Give the options of another library."""
    return ["--database", f"sqlite:///{tmp_path}/other.db", "--blobs", str(tmp_path / "other")]


def test_versions_travel_from_one_library_to_another(full: Steer, other: list[str], tmp_path: Path):
    file = str(tmp_path / "all.tar")
    made = full("bundle", "create", "mixed", "made", "--to", file, "--aliases")
    assert made.code == 0
    assert "Wrote 5 versions to" in made.out
    size = made.out.splitlines()[-1].rpartition("(")[2]
    assert full("bundle", "verify", file).out.splitlines()[-1].endswith(f"all.tar is sound ({size}")
    dry = full("bundle", "apply", file, "--dry-run", *other)
    assert "would come in" in dry.out
    came = full.ok("bundle", "apply", file, "--json", *other)
    assert came == {
        "new": ["acme/love@1", "acme/love@2", "mix@1", "made@1", "mixed@1"],
        "present": [],
        "aliases": ["acme/love@prod"],
        "kept": [],
        "dry": False,
    }
    again = full("bundle", "apply", file, *other)
    assert again.out.splitlines()[0] == "acme/love@1 is here"
    assert "came in" not in again.out


def test_a_bundle_that_is_not_sound_ends_with_6_and_a_list(full: Steer, tmp_path: Path):
    file = tmp_path / "all.tar"
    full.ok("bundle", "create", "made", "--to", str(file))
    data = file.read_bytes()
    at = data.index(b'"positive"')
    file.write_bytes(data[:at] + b"#" + data[at + 1 :])
    done = full("bundle", "verify", str(file))
    assert done.code == 6
    assert "is not sound" in done.out
    assert "was altered" in done.out
    listed = full("bundle", "verify", str(file), "--json")
    assert listed.code == 6
    assert listed.json["problems"][0]["detail"].endswith("was altered")
    applied = full("bundle", "apply", str(file), "--as", "team")
    assert (applied.code, applied.out) == (6, "")
    assert "nothing came in" in applied.err


def test_conflicts_end_with_5_and_say_what_to_type(full: Steer, tmp_path: Path):
    file = str(tmp_path / "made.tar")
    full.ok("bundle", "create", "made", "--to", file)
    full.ok("delete", "made@1", "--yes")
    done = full("bundle", "apply", file)
    assert done.code == 5
    assert "made@1 was deleted here" in done.err
    assert "--renumber" in done.err
    assert full.ok("bundle", "apply", file, "--renumber", "--json")["new"] == ["made@2"]


def test_a_file_that_is_there_needs_force(full: Steer, tmp_path: Path):
    file = str(tmp_path / "x.tar")
    full.ok("bundle", "create", "mix", "--to", file)
    assert full("bundle", "create", "mix", "--to", file).code == 5
    assert full("bundle", "create", "mix", "--to", file, "--force").code == 0
    assert full("bundle", "verify", "gone.tar").code == 3
