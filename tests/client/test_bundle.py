"""Bundles of versions that another store has: they are brought in first, as for any expression that names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.client.made import saved
from tests.client.test_remotes import own  # noqa: F401 - a fixture
from vectorstore.client.remote import Remote
from vectorstore.errors import InvalidInputError
from vectorstore.store import Store
from vectorstore.transfer.bundle import create_bundle, verify_bundle


def test_a_bundle_of_another_stores_version_has_it(store: Store, own: Store, remote: Remote, tmp_path: Path):  # noqa: F811
    there = saved(store, "team/calm")
    made = create_bundle(own, [f"{remote.name}//team/calm"], tmp_path / "x.tar")
    assert [version.digest for version in made.versions] == [there.digest]
    assert verify_bundle(tmp_path / "x.tar").ok


def test_a_library_that_knows_no_remotes_says_how_it_would(mine: Store, tmp_path: Path):
    with pytest.raises(InvalidInputError, match="is in another store; type: steer pull acme//team/calm"):
        create_bundle(mine, ["acme//team/calm"], tmp_path / "x.tar")
    assert not (tmp_path / "x.tar").exists()
