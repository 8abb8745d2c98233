"""Libraries to send from: vectors, recipes of recipes, and a vector made from one, in two namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.blank import blank
from tests.builders import make_card, make_vector
from vectorstore.compose import pin
from vectorstore.store import Store
from vectorstore.store.version import Version

MANY_ITEMS = tuple({"positive": f"{number:0200}", "negative": " "} for number in range(400))
NAMES = ("acme/love", "mix", "mixed", "made")


@contextmanager
def library(folder: Path) -> Iterator[Store]:
    """Open a library in a folder; it is made if it is not there."""
    with Store.open(blank(folder / "library.db"), blobs=str(folder / "blobs")) as store:
        yield store


def save(store: Store, name: str, seed: int = 0, **about) -> Version:
    """Save a vector of two layers."""
    vector = make_vector((2, 3), seed=seed)
    return store.save(name, vector, make_card(vector), **about).version


def fill(store: Store) -> None:
    """Save two versions of acme/love, a recipe of one, a recipe of both, and a vector made from the first recipe."""
    vector = make_vector((2, 3), seed=0, positions=4)
    about = {"labels": {"topic": "love"}, "authors": ["Ann, Dr.", "Bob"], "license": "MIT", "description": "What."}
    store.save("acme/love", vector, make_card(vector, items=MANY_ITEMS), presets={"mild": "0.1r"}, **about)
    other = make_vector((2, 3), seed=1, positions=4)
    store.save("acme/love", other, make_card(other))
    store.save_recipe("mix", pin(store, "2*acme/love@1:mild"))
    store.save_recipe("mixed", pin(store, "mix + acme/love[2]"))
    made = make_vector(5, seed=9)
    store.save("made", made, make_card(made), parents=[store.resolve("mix").digest])
    store.set_alias("acme/love@1", "prod")


def contents(store: Store) -> list[dict]:
    """Return all that is said of all versions, but when they came and their aliases."""
    return [
        version.to_json() | {"created_at": "", "aliases": []}
        for name in NAMES
        for version in reversed(store.history(name).versions)
    ]
