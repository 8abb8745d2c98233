"""LAT, linear artificial tomography: the principal axis of differences, each taken the one way or the other by chance.

Chance matters: PCA takes the mean off, and with it what all differences have in common, unless half of them point the
other way. Then that is what varies most.
"""

from __future__ import annotations

import numpy as np

from vectorstore.card import Apply, MethodUse
from vectorstore.extract.axis import beside_mean, centred, differences, principal_axis, towards
from vectorstore.extract.positions import AT_INDEX, LAST_CONTENT, MEAN_ANSWER, MEAN_CONTENT, MEAN_NONSINK
from vectorstore.extract.protocols import ActivationMethod, Direction
from vectorstore.vector import Array


def direction(positive: Array, negative: Array, use: MethodUse) -> Direction:
    """Return the unit axis `[d]`, pointing as most pairs do; the seed decides which differences are turned round."""
    found = differences(positive, negative)
    signs = np.random.default_rng(use.seed).choice((-1.0, 1.0), len(found))
    axis = principal_axis(centred(signs[:, None] * found, LAT.name))
    return beside_mean(towards(axis, found), found)


LAT = ActivationMethod(
    name="lat",
    version="1",
    summary="Pairs: the main axis of their differences, shuffled by the seed; a unit direction",
    source="Zou et al., Representation Engineering, arXiv 2310.01405, section 3.1; PCARepReader of its rep_readers.py",
    apply=Apply("all"),
    reads=(LAST_CONTENT, MEAN_CONTENT, MEAN_NONSINK, MEAN_ANSWER, AT_INDEX),
    order_matters=True,
    direction=direction,
)
