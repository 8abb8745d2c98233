"""What tests of bundles and registries share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.transfer.oci_registry import Registry


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Run a registry that nobody kills."""
    registry = Registry(tmp_path_factory.mktemp("registry") / "data")
    yield registry
    registry.kill()
