"""Another program for OCI images carries versions as they are: from a bundle to a registry, and back to a bundle."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.transfer.libraries import contents, fill, library
from tests.transfer.oci_registry import NEEDED, Registry
from vectorstore.store import Store
from vectorstore.transfer.bundle import apply_bundle, create_bundle, verify_bundle
from vectorstore.transfer.registry import pull, push

SKOPEO = shutil.which("skopeo")
pytestmark = [NEEDED, pytest.mark.skipif(SKOPEO is None, reason="skopeo is not installed: see scripts/system-packages")]


def copy(source: str, target: str) -> None:
    words = [str(SKOPEO), "--insecure-policy", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"]
    done = subprocess.run([*words, source, target], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    registry = Registry(tmp_path / "registry")
    yield registry
    registry.kill()


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Store]:
    with library(tmp_path / "sender") as opened:
        fill(opened)
        yield opened


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Store]:
    with library(tmp_path / "receiver") as opened:
        yield opened


def docker(registry: Registry, place: str) -> str:
    return registry.url(place).replace("oci://", "docker://")


def test_a_version_goes_from_a_bundle_to_a_registry(sender: Store, receiver: Store, registry: Registry, tmp_path: Path):
    create_bundle(sender, ["acme/love@1"], tmp_path / "one.tar")
    copy(f"oci-archive:{tmp_path}/one.tar", docker(registry, "copied/one:v1"))
    assert pull(receiver, registry.url("copied/one:v1")).new == ["acme/love@1"]
    assert receiver.resolve("acme/love").digest == sender.resolve("acme/love@1").digest


def test_several_go_from_a_registry_to_another_place_and_to_a_bundle(
    sender: Store, receiver: Store, registry: Registry, tmp_path: Path
):
    push(sender, ["mixed", "made"], registry.url("team/all:v1"))
    copy(docker(registry, "team/all:v1"), docker(registry, "copied/all:v2"))
    copy(docker(registry, "copied/all:v2"), f"oci-archive:{tmp_path}/copied.tar")
    assert verify_bundle(tmp_path / "copied.tar").ok
    assert len(apply_bundle(receiver, tmp_path / "copied.tar").new) == 5
    assert contents(receiver) == contents(sender)
    assert pull(receiver, registry.url("copied/all:v2")).new == []
