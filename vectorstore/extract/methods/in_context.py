"""In-context vectors: what a task does to the last token, over all layers at once, learned from demonstrations."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise

import numpy as np

from vectorstore.card import Apply, MethodUse
from vectorstore.extract.axis import differences, principal_axis, towards
from vectorstore.extract.params import Param
from vectorstore.extract.positions import LAST_CONTENT, MEAN_CONTENT, MEAN_NONSINK
from vectorstore.extract.protocols import Direction, PlacesMethod, Sides
from vectorstore.place import Place
from vectorstore.vector import Array

VARIANT = Param(
    "variant",
    "paper",
    "paper: the first principal direction; code: the authors' program, the mean difference and the first component.",
    ("paper", "code"),
)
EXPLAINED = "explained"
"""The figure under which a card keeps the part of the differences' squares that lies along the whole vector."""


def directions(sides: Mapping[Place, Sides], use: MethodUse) -> dict[Place, Direction]:
    """Return the pieces, by place, of the one direction of all places after each other."""
    parts = {place: differences(both.positive, both.negative) for place, both in sides.items()}
    rows = np.concatenate(list(parts.values()), axis=1)  # (demonstrations, places * width)
    whole = _by_paper(rows) if use.params[VARIANT.name] == "paper" else _by_code(rows)
    figures = {EXPLAINED: _explained(whole, rows)}
    ends = pairwise((0, *accumulate(part.shape[1] for part in parts.values())))
    return {
        place: Direction(whole[start:end], figures=figures) for place, (start, end) in zip(parts, ends, strict=True)
    }


def _by_paper(rows: Array) -> Array:
    """Return the unit `h` with the largest sum of `(h . row)²` (equation 2), pointing as most rows do."""
    return towards(principal_axis(rows), rows)


def _by_code(rows: Array) -> Array:
    """Return what `obtain_icv` of shengliu66/ICV does with rank 1: the mean plus the first component about the mean.

    The component has the sign that makes its largest part along a row positive (`svd_flip` of `utils/pca.py`); of one
    demonstration there is none.
    """
    mean: Array = rows.mean(axis=0)
    axis = principal_axis(rows - mean)
    along = (rows - mean) @ axis
    return mean + (-axis if along[np.abs(along).argmax()] < 0 else axis)


def _explained(whole: Array, rows: Array) -> float:
    squares = float((rows**2).sum() * (whole @ whole))
    return float(((rows @ whole) ** 2).sum()) / squares if squares else 0.0


IN_CONTEXT = PlacesMethod(
    name="in_context",
    version="1",
    summary="Demonstrations: the first principal direction of output less input, over all layers at once",
    source="Liu et al., In-context Vectors, arXiv 2311.06668, section 3; shengliu66/ICV, tasks/base.py",
    apply=Apply("all", "keepnorm"),
    data="demonstrations",
    sites=("resid_post", "resid_pre", "attn_out", "mlp_out", "head_out"),
    reads=(LAST_CONTENT, MEAN_CONTENT, MEAN_NONSINK),
    own_params=(VARIANT,),
    directions=directions,
)
