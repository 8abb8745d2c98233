"""Recompute: a version once more from its card, and whether the result agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.canonical import Json
from vectorstore.card import Card
from vectorstore.errors import ConflictError, NotFoundError
from vectorstore.extract.compute import ASKED, compute
from vectorstore.extract.other import OTHER, require_other
from vectorstore.extract.protocols import Progress
from vectorstore.extract.registry import get_method, method_names
from vectorstore.identity import Fit
from vectorstore.kinds import KINDS, items_from_json
from vectorstore.models.identity import identify
from vectorstore.place import Place
from vectorstore.reference import Reference
from vectorstore.store import Store
from vectorstore.vector import Array, SteeringVector

TOLERANCES = {"float64": 1e-3, "float32": 1e-3, "float16": 2e-2, "bfloat16": 5e-2}
"""Relative difference up to which a direction agrees, by the coarser dtype of model and vector.

Other machines, threads and batches round otherwise: some 1e-6 in float32, and up to 1e-2 in bfloat16.
"""


@dataclass(frozen=True)
class Agreement:
    """How one direction compares with its repetition.

    Attributes:
        cosine: between both, over all rows of `[t, d]`; 0 where one of them is missing.
        difference: the norm of the difference, as a part of the stored one's norm.
        identical: whether all bits are equal.
        agrees: whether the difference is within the tolerance.
    """

    cosine: float
    difference: float
    identical: bool
    agrees: bool

    def to_json(self) -> Json:
        """Return the parts by name."""
        return dict(vars(self))


@dataclass(frozen=True)
class Repetition:
    """What came of repeating a computation.

    Attributes:
        places: how each direction compares; those of the stored vector and of the new one.
        tolerance: the relative difference that was allowed.
        fit: how well the model fits the one it was computed on.
        vector: the new vector.
    """

    places: Mapping[Place, Agreement]
    tolerance: float
    fit: Fit
    vector: SteeringVector

    @property
    def agrees(self) -> bool:
        """Whether every direction agrees."""
        return all(agreement.agrees for agreement in self.places.values())


def recompute(  # noqa: PLR0913 - what to repeat, with what, and settings by keyword with defaults
    store: Store,
    reference: Reference | str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    other: PreTrainedModel | None = None,
    batch_size: int = 8,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Repetition:
    """Compute a version once more, by its card, and say whether the result agrees.

    Args:
        store: the library.
        reference: the version.
        model: to compute with; `fit` of the result says whether it is that of the card.
        tokenizer: its tokenizer.
        other: the second model, where the method compares two.
        batch_size: texts in one forward pass.
        tolerance: the relative difference that agrees; by dtype (`TOLERANCES`) where it is left out.
        progress: called with the number of texts that are done, and of all.

    Raises:
        NotFoundError: when there is no such version, or its method or data are not at hand.
        ConflictError: when it is a recipe, was not computed from data, or its method has another version now.
        MisfitError: when the model does not fit.
    """
    vector, card = store.read(reference)
    check_repeatable(card, str(reference))
    return repeat(
        vector, card, model, tokenizer, other=other, batch_size=batch_size, tolerance=tolerance, progress=progress
    )


def repeat(  # noqa: PLR0913 - as above
    vector: SteeringVector,
    card: Card,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    other: PreTrainedModel | None = None,
    batch_size: int = 8,
    tolerance: float | None = None,
    progress: Progress | None = None,
) -> Repetition:
    """Do what `recompute` does for a vector and card at hand.

    Raises:
        NotFoundError: as for `recompute`.
        ConflictError: as for `recompute`.
        MisfitError: as for `recompute`.
    """
    check_repeatable(card, "this vector")
    identity = identify(model, tokenizer)
    fit = card.model.require_fit(identity, "this vector")
    require_other(card.method.params, None if other is None else identify(other, tokenizer))
    dtype = str(next(iter(vector.directions.values())).dtype)
    again, _ = compute(
        model,
        tokenizer,
        items_from_json(card.data.kind, card.data.items or ()),
        layer=card.method.params.get(ASKED, card.layers),
        method=card.method.name,
        site=card.sites[0],
        batch_size=batch_size,
        dtype=dtype,
        params={name: value for name, value in card.method.params.items() if name not in (OTHER, ASKED)},
        seed=card.method.seed,
        other=other,
        progress=progress,
    )
    allowed = max(TOLERANCES[dtype], TOLERANCES.get(card.model.dtype, 0)) if tolerance is None else tolerance
    places = dict.fromkeys((*vector.places, *again.places))
    return Repetition({place: _compare(place, vector, again, allowed) for place in places}, allowed, fit, again)


def check_repeatable(card: Card, what: str) -> None:
    """Check that `what` can be computed again, before any model is loaded.

    Raises:
        NotFoundError: when its method or its data are not at hand.
        ConflictError: when it was not computed from data, or its method has another version now.
    """
    method, data = card.method, card.data
    if data.kind not in KINDS:
        raise ConflictError(
            f"{what} was not computed from data, but made by {method.name} of {data.kind}",
            "what was imported or composed cannot be computed again",
        )
    if method.name not in method_names():
        raise NotFoundError(
            f"{what} was computed by {method.name}, which is not installed", "install the package that brings it"
        )
    if (version := get_method(method.name).version) != method.version:
        made = ", ".join(f"{name} {number}" for name, number in card.versions.items())
        raise ConflictError(
            f"{what} was computed by version {method.version} of {method.name}, and this is version {version}",
            f"compute it anew, or install what it was made with: {made}",
        )
    if data.items is None:
        raise NotFoundError(
            f"the {data.count} {data.kind} that {what} was computed from are not at hand",
            "pull or import the version with its data",
        )


def _compare(place: Place, stored: SteeringVector, again: SteeringVector, tolerance: float) -> Agreement:
    one, other = stored.directions.get(place), again.directions.get(place)
    if one is None or other is None or one.shape != other.shape:
        return Agreement(0.0, float("inf"), identical=False, agrees=False)
    references = stored.references.get(place), again.references.get(place)
    identical = one.tobytes() == other.tobytes() and _bits(references[0]) == _bits(references[1])
    difference = max(_difference(one, other), _difference(*references))
    return Agreement(_cosine(one, other), difference, identical, agrees=identical or difference <= tolerance)


def _bits(array: Array | None) -> bytes:
    return b"" if array is None else array.tobytes()


def _difference(one: Array | None, other: Array | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    left, right = one.astype(np.float64), other.astype(np.float64)
    return float(np.linalg.norm(left - right) / max(float(np.linalg.norm(left)), np.finfo(np.float64).tiny))


def _cosine(one: Array, other: Array) -> float:
    left, right = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    lengths = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / lengths if lengths else 0.0
