"""OCI registries, from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blank import blank
from tests.cli.steering import Steer
from tests.transfer.libraries import fill
from tests.transfer.oci_registry import NEEDED, Registry
from vectorstore.store import Store
from vectorstore.transfer.wire import Patience

pytestmark = NEEDED


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    registry = Registry(tmp_path / "registry")
    yield registry
    registry.kill()


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


def test_versions_go_to_a_registry_and_come_from_it(full: Steer, other: list[str], registry: Registry):
    url = registry.url()
    sent = full("push", "made", "mixed", url)
    assert sent.code == 0, sent.err
    assert f"acme/love@1 went to {url}" in sent.out
    assert "7 blobs; 0 were there; it is sha256:" in sent.out
    assert full.ok("push", "made", "mixed", url, "--json")["sent"] == 0
    came = full("pull", url, *other)
    assert came.out.splitlines() == [
        f"{name} came in" for name in ("acme/love@1", "acme/love@2", "mix@1", "made@1", "mixed@1")
    ]
    assert full.ok("pull", url, "--as", "team", "--json", *other)["new"][0] == "team/love@1"
    assert full("pull", url, *other).out.splitlines()[0] == "acme/love@1 is here"


def test_what_cannot_be_is_said(full: Steer, registry: Registry):
    assert full("push", "made", "oci://UPPER").code == 2
    assert full("push", "made", registry.url(), "--alias", "prod").code == 2
    assert full("pull", registry.url(), "acme//x").code == 2
    gone = full("pull", registry.url("no/such:tag"))
    assert gone.code == 3
    assert "has no no/such:tag" in gone.err


def test_a_registry_that_is_not_there_is_told_in_one_document(full: Steer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vectorstore.transfer.wire.Patience", lambda: Patience(attempts=2))
    gone = full("pull", "oci://127.0.0.1:9/x", "--json")
    assert gone.code == 7
    assert gone.json["error"]["kind"] == "UnavailableError"
    assert gone.err.count("\n") == 1
