"""Does a plan fit a model? Told before anything is hooked."""

from __future__ import annotations

import warnings

from torch import nn

from vectorstore.errors import MisfitError
from vectorstore.models.identity import identify
from vectorstore.models.layers import decoder_layers, site_widths
from vectorstore.plan import Plan, Step


class CompatibleModelWarning(UserWarning):
    """The model has the vector's architecture, size and vocabulary, but other weights: a fine-tune, a quantisation."""


def check_fit(model: nn.Module, plan: Plan, *, force: bool = False, level: int = 5) -> None:
    """Check that every version in `plan` was computed on this model, and every step fits its shape.

    Warns with CompatibleModelWarning where the shape fits but the weights are others, `level` frames up from here.

    Raises:
        MisfitError: naming the version or step that does not fit.
    """
    if plan.ingredients:
        identity = identify(model)
        for ingredient in plan.ingredients:
            made_on = ingredient.card.model
            if made_on.require_fit(identity, ingredient.label, force=force) != "same":
                difference = "another vocabulary" if made_on.fingerprint == identity.fingerprint else "other weights"
                warnings.warn(
                    f"{ingredient.label} was computed on {made_on.reference}, which has {difference} than "
                    f"{identity.reference}; its strength may differ",
                    CompatibleModelWarning,
                    stacklevel=level,
                )
    if plan.steps:
        widths, count = site_widths(model), len(decoder_layers(model))
        for step in plan.steps:
            for part in step:
                _check_step(part, widths, count)


def _check_step(step: Step, widths: dict[str, int], count: int) -> None:
    width = step.direction.shape[-1]
    if step.place.layer >= count or width != widths.get(step.place.site):
        raise MisfitError(
            f"a direction of width {width} at {step.place} does not fit a model with {count} layers of width "
            f"{widths.get(step.place.site)}",
            "use a vector that was computed on this model",
        )
