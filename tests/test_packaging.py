"""Packaging: what is installed is all that is there."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOTS = {"vectorstore": "vectorstore", "cli": "vectorstore.cli", "migrations": "vectorstore.migrations"}


def test_every_package_on_the_disk_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    found = {
        ".".join([package, *marker.parent.relative_to(ROOT / folder).parts])
        for folder, package in ROOTS.items()
        for marker in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(listed) == sorted(found)
