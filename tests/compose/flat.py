"""A library of vectors of width 2 whose numbers anybody can work out."""

from __future__ import annotations

import numpy as np

from tests.builders import make_card, make_identity
from vectorstore.place import SITES, Place
from vectorstore.store import Store
from vectorstore.tokens import Tokens
from vectorstore.vector import SteeringVector

HEAD_WIDTH = 3
MODEL = make_identity(widths={**dict.fromkeys(SITES, 2), "head_out": HEAD_WIDTH})
THREE = Place("resid_pre", 3)


def save(  # noqa: PLR0913 - each has a default
    store: Store,
    name: str,
    *rows: list[float],
    place: Place = THREE,
    tokens: Tokens | None = None,
    base: list[float] | None = None,
    seed: int = 0,
) -> None:
    """Save `[d]`, or `[t, d]` where there are several rows; R is 20 but for head_out; a seed is other weights."""
    array = np.array(rows if len(rows) > 1 else rows[0], np.float32)
    references = {} if base is None else {place: np.array(base, np.float32)}
    vector = SteeringVector({place: array}, references)
    model = make_identity(widths=MODEL.widths, seed=seed, reference="tuned" if seed else "tiny")
    store.save(name, vector, make_card(vector, model=model, tokens=tokens, residual_norms=20.0))


def fill_flat(store: Store) -> None:
    """Save east, north, diagonal, up (a layer above), front (two rows), long (three) and head."""
    save(store, "east", [3, 0])
    save(store, "north", [0, 4])
    save(store, "diagonal", [2, 2])
    save(store, "up", [1, 1], place=Place("resid_pre", 4))
    save(store, "front", [3, 0], [0, 4])
    save(store, "long", [1, 0], [0, 0], [0, 2])
    save(store, "head", [3, 0, 0], place=Place("head_out", 3))
