"""Other: the second model of methods that compare two, such as a model before and after fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vectorstore.canonical import Json
from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.extract.method import Method
from vectorstore.identity import ModelIdentity

OTHER = "other"
"""The param under which a card says which the second model was."""


def check_other(method: Method, given: bool) -> None:  # noqa: FBT001 - is there one
    """Check that a second model is given where `method` needs one, and only there.

    Raises:
        InvalidInputError: when it is not so.
    """
    if method.compares and not given:
        raise InvalidInputError(
            f"{method.name} compares two models, and one is given", "give the second with --other REF (Python: other=…)"
        )
    if given and not method.compares:
        raise InvalidInputError(f"{method.name} takes one model, and two are given", "leave --other out")


def told_of_other(first: ModelIdentity, second: ModelIdentity) -> Json:
    """Return what the card says of the second model.

    Raises:
        MisfitError: when it has another shape or vocabulary.
    """
    if first.fit(second) == "mismatch":
        raise MisfitError(
            f"{first.describe()} and {second.describe()} have another architecture, shape or vocabulary",
            "compare a model with a fine-tune of it",
        )
    told = {"reference": second.reference, "revision": second.revision, "fingerprint": second.fingerprint}
    return {OTHER: told}


def require_other(params: Mapping[str, Any], second: ModelIdentity | None) -> None:
    """Check that `second` is the model that a card tells of.

    Raises:
        InvalidInputError: when it is needed and not given.
        MisfitError: when its weights are others.
    """
    told = params.get(OTHER)
    if told is None:
        return
    if second is None:
        raise InvalidInputError(
            f"it compares two models, the second of which was {told['reference']}", "give it with --other REF"
        )
    if told["fingerprint"] != second.fingerprint:
        raise MisfitError(
            f"the second model was {told['reference']}, and {second.reference} has other weights", "give that one"
        )
