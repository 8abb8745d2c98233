"""What a remote says of versions is shown to people: whatever it may not say is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.blank import blank
from tests.client.made import saved
from vectorstore.canonical import Json
from vectorstore.client.browse import read_version
from vectorstore.errors import IntegrityError
from vectorstore.store import Store


@pytest.fixture
def document(tmp_path: Path) -> Json:
    with Store.open(blank(tmp_path / "library.db"), blobs=str(tmp_path / "blobs")) as store:
        about = {"labels": {"topic": "love"}, "presets": {"strong": 2}, "authors": ["ann"], "license": "MIT"}
        return saved(store, "love", description="two\nlines", **about).to_json()


def test_a_document_is_read_as_the_version_that_it_is_of(document: Json):
    assert read_version(document).to_json() == document


@pytest.mark.parametrize(
    ("part", "lie"),
    [
        ("description", "\033[2J"),
        ("description", "a" * 10_001),
        ("description", 3),
        ("yank_reason", "\a"),
        ("deprecation", "\033]0;"),
        ("labels", {"topic": "\033[31m"}),
        ("labels", {"a b": "c"}),
        ("authors", ["\x9b31m"]),
        ("authors", "ann"),
        ("license", "\n"),
        ("aliases", ["../prod"]),
        ("method", "\033"),
        ("created_at", "yesterday"),
        ("directions", {"nowhere.3": {"width": 8, "positions": None, "norm": 1.0, "residual_norm": None}}),
        ("directions", {"resid_pre.3": {"width": 8}}),
        ("directions", {"resid_pre.3": {"width": -8, "positions": None, "norm": 1.0, "residual_norm": None}}),
        ("blobs", [{}]),
        ("number", 0),
        ("namespace", "a/b"),
        ("kind", "model"),
        ("digest", "sha256:1"),
    ],
)
def test_a_lie_is_refused(document: Json, part: str, lie: Any):
    with pytest.raises(IntegrityError):
        read_version(document | {part: lie})
