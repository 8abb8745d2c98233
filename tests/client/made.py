"""Versions to send, and what a library has of a namespace."""

from __future__ import annotations

from typing import Any

from tests.builders import make_card, make_vector
from vectorstore.errors import NotFoundError
from vectorstore.store import Store
from vectorstore.store.version import Version

NAMES = ("love", "calm", "mood", "gone")


def saved(store: Store, name: str = "love", seed: int = 0, *, width: int = 8, **about: Any) -> Version:
    """Save a vector of two layers."""
    vector = make_vector((2, 3), seed=seed, width=width)
    return store.save(name, vector, make_card(vector), **about).version


def contents(store: Store, namespace: str = "team") -> dict[str, Any]:
    """Return all versions of these names, with all that is said of them but when they came."""
    names = {f"{namespace}/{name}" for name in NAMES}
    found = {}
    for name in sorted(names):
        try:
            page = store.history(name, limit=1000)
        except NotFoundError:
            continue
        for version in page:
            document = version.to_json()
            del document["created_at"]
            found[str(version)] = document | {"aliases": sorted(document["aliases"])}
    return found
