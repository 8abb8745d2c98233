"""Baked and hooked models side by side, and the plans that are tried."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.hooks.probe import direction_of
from tests.tiny_models import LAYER_COUNT, tiny_model
from vectorstore.errors import MisfitError
from vectorstore.hooks.baking import bake
from vectorstore.hooks.steer import steer
from vectorstore.models.layers import site_widths
from vectorstore.models.quiet import quiet
from vectorstore.place import Place
from vectorstore.plan import Plan, Step

IDS = torch.tensor([[0, 0, 1, 5, 9], [1, 40, 3, 12, 33]])
MASK = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
ROUNDING = 5e-6
"""Of the largest logit, in float32 and three layers."""

WRITERS = [Place("resid_pre", 0), *(Place(site, n) for n in range(LAYER_COUNT) for site in ("attn_out", "mlp_out"))]
STREAM = [Place("resid_pre", number) for number in range(LAYER_COUNT)] + [Place("resid_post", LAYER_COUNT - 1)]


def stirred(architecture: str, **changes: Any) -> PreTrainedModel:
    """Return a tiny model none of whose biases and norms is 0 or 1, as they are when it is made."""
    model = tiny_model(architecture, **changes)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 or name.endswith("bias"):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def logits(model: PreTrainedModel) -> Tensor:
    """Return the logits of real tokens, `[8, vocabulary]`."""
    with torch.no_grad():
        output: Tensor = model(input_ids=IDS, attention_mask=MASK, use_cache=False).logits
    return output[MASK.bool()]


def apart(one: Tensor, other: Tensor) -> float:
    """Return the largest difference, relative to the largest logit."""
    return float((one - other).abs().max() / other.abs().max())


def hooked(model: PreTrainedModel, plan: Plan) -> Tensor:
    """Return the logits with hooks."""
    with steer(model, plan):
        return logits(model)


def reloaded(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Save and load with nothing but transformers; every weight has to be there."""
    with quiet():
        model.save_pretrained(folder)
        again, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(again) is type(model)
    return again.eval()  # type: ignore[no-any-return]


def step_at(model: PreTrainedModel, operator: str, place: Place, seed: int = 0) -> Step:
    """Return a step with a random direction as wide as the place; other operators than add set to 0.7."""
    direction = direction_of(site_widths(model)[place.site], seed=seed).numpy()
    params = {"value": 0.7} if operator in ("clamp", "affine") else {}
    reference = np.roll(direction, 1) if operator == "affine" else None
    return Step(operator, place, "all", direction, params, reference)


def plan_at(model: PreTrainedModel, operator: str, places: Iterable[Place], seed: int = 0) -> Plan:
    """Return the same step at each of the places."""
    return Plan(tuple(step_at(model, operator, place, seed) for place in places))


def bakes(model: PreTrainedModel, plan: Plan) -> bool:
    """Say whether it is taken up, and if so, check that it is so exactly; if not, that a reason is given."""
    try:
        baked = bake(model, plan)
    except MisfitError as error:
        refusal = error
    else:
        refusal = None
    if refusal:
        assert "cannot be baked: " in refusal.problem
        assert refusal.hint
        return False
    steered = hooked(model, plan)
    assert apart(logits(baked.model), steered) < ROUNDING
    assert apart(logits(model), steered) > 20 * ROUNDING
    return True


def together(plans: Sequence[Plan]) -> Plan:
    """Return their steps, one plan after another."""
    return Plan(tuple(step for plan in plans for step in plan.steps))
