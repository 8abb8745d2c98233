"""One library for the tests that only read it, and copies of it for those that write."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.flat import fill_flat
from tests.compose.library import fill_library, open_library
from vectorstore.store import Store


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a library that nobody changes."""
    path = tmp_path_factory.mktemp("library")
    with open_library(path) as store:
        fill_library(store)
    return path


@pytest.fixture(scope="session")
def library(folder: Path) -> Iterator[Store]:
    """Return a library that is only read."""
    with open_library(folder) as store:
        yield store


@pytest.fixture
def own_library(folder: Path, tmp_path: Path) -> Iterator[Store]:
    """Return a library of one's own."""
    with open_library(shutil.copytree(folder, tmp_path / "copy")) as store:
        yield store


@pytest.fixture(scope="session")
def flat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a library of width 2 that nobody changes."""
    path = tmp_path_factory.mktemp("flat")
    with open_library(path) as store:
        fill_flat(store)
    return path


@pytest.fixture
def flat(flat_folder: Path, tmp_path: Path) -> Iterator[Store]:
    """Return a library of width 2 of one's own."""
    with open_library(shutil.copytree(flat_folder, tmp_path / "flat")) as store:
        yield store
