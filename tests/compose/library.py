"""A small library for composition: vectors of one tiny model, with presets, in a real SQLite file."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np

from tests.blank import blank
from tests.builders import WIDTH, make_card, make_identity, make_vector
from vectorstore.coefficient import Coefficient
from vectorstore.place import SITES, Place
from vectorstore.preset import Preset
from vectorstore.store import Store
from vectorstore.vector import SteeringVector

HEAD_WIDTH = 12
MODEL = make_identity(widths={**dict.fromkeys(SITES, WIDTH), "head_out": HEAD_WIDTH})
R = 10.0

LOVE = make_vector([2, 3, 4], seed=1)
CALM = make_vector([3, 4, 5], seed=2)
FRONT = make_vector(3, positions=3, seed=3)
SHORT = make_vector(3, positions=2, seed=4)
HEAD = make_vector(3, site="head_out", width=HEAD_WIDTH, seed=5)
NARROW = make_vector(3, seed=6, dtype=ml_dtypes.bfloat16)
ZERO = SteeringVector({Place("resid_pre", 3): np.zeros(WIDTH, np.float32)})
VECTORS = {
    "love": LOVE,
    "calm": CALM,
    "front": FRONT,
    "short": SHORT,
    "head": HEAD,
    "narrow": NARROW,
    "zero": ZERO,
}
PRESETS = {
    "love": {
        "strong": Preset.parse("2"),
        "portable": Preset.parse("0.15r"),
        "early": Preset(Coefficient.parse("1.5"), (2, 3), "last"),
    }
}


def open_library(folder: Path) -> Store:
    """Open, or make, the library in `folder`."""
    return Store.open(blank(folder / "library.db"), blobs=str(folder / "blobs"))


def fill_library(store: Store) -> None:
    """Save everything above once."""
    for name, vector in VECTORS.items():
        card = make_card(vector, model=MODEL, residual_norms={p: R for p in vector.places if p.site != "head_out"})
        store.save(name, vector, card, presets=PRESETS.get(name, {}))
