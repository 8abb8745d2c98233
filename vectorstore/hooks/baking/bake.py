"""Bake: a model that does by itself what a plan does to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.hooks.baking.layout import Layout
from vectorstore.hooks.baking.stream import fold
from vectorstore.hooks.baking.weights import check_loadable, shared_copy, write
from vectorstore.hooks.fit import check_fit
from vectorstore.hooks.following import followers
from vectorstore.hooks.steer import steer
from vectorstore.identity import ModelIdentity
from vectorstore.models.identity import identify
from vectorstore.models.layers import text_config
from vectorstore.plan import Plan

_PROBE_TOKENS = 16
_TOLERANCES = {torch.float64: 1e-5, torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.2}
"""How far apart, relative to the largest logit, hooked and baked may be: rounding that many layers hand on."""

_NOISE = 100
"""So many times the dtype's precision is never more than rounding; hooks keep directions in float32 at best."""


@dataclass(frozen=True, eq=False)
class Baked:
    """A model with a plan in its weights.

    Attributes:
        model: what plain transformers can save and load; it shares the parameters that stay with the model it is of.
        plan: what was baked.
        base: the model it is of.
        changed: the parameters that are not as they were, by name.
        zeros: the biases that came with them, because the config gives them to all layers or to none, and are zero.
        config: the fields of the config that are changed, and what they are now.
        difference: the largest difference of a logit between the hooked model and this one on a probe of random
            tokens, relative to the largest logit.
        effect: the same between the hooked model and the model without hooks.
    """

    model: PreTrainedModel
    plan: Plan
    base: ModelIdentity
    changed: tuple[str, ...]
    zeros: tuple[str, ...]
    config: Mapping[str, object]
    difference: float
    effect: float


def bake(model: PreTrainedModel, plan: Plan, *, force: bool = False) -> Baked:
    """Return a model whose weights do what `plan` does by hooks, exactly but for rounding; `model` stays as it is.

    Steps `add` become biases, or part of the embeddings; `ablate`, `clamp` and `affine` become projections of the
    weights that write to the residual stream (weight orthogonalisation: Arditi et al., arXiv 2406.11717, section 4.1),
    beside a bias where their target is not zero. All is computed in float64 and rounded once to the model's dtype. What
    weights cannot do exactly is refused; nothing is approximated. In the end both models read the same random tokens.

    Args:
        model: a causal language model in eval mode.
        plan: from `compose` or `plan_of`, with steps for all tokens.
        force: bake also where the vector was computed on another model of the same shape.

    Raises:
        InvalidInputError: for a step that no weights can do: gates, keepnorm, piecewise, other tokens than all.
        MisfitError: for a plan that does not fit the model, or that this architecture cannot take up; says why.
    """
    if model.training:
        raise InvalidInputError("the model is in training mode", "call model.eval() first")
    if followers(model):
        raise InvalidInputError("the model is being steered", "bake outside of the block")
    check_fit(model, plan, force=force, level=3)
    layout = Layout(model)
    writers = [writer for segment in fold(layout, plan.steps) for writer in segment.writers]
    baked = shared_copy(model)
    changed, zeros = write(baked, writers)
    check_loadable(baked)
    difference, effect = _compared(model, baked, plan)
    before, after = model.config.to_dict(), baked.config.to_dict()
    config = {name: value for name, value in after.items() if before.get(name) != value}
    return Baked(baked, plan, identify(model), changed, zeros, config, difference, effect)


def _compared(model: PreTrainedModel, baked: PreTrainedModel, plan: Plan) -> tuple[float, float]:
    """Return difference and effect, as in Baked.

    Raises:
        MisfitError: when they differ by more than rounding.
    """
    steps = tuple(replace(step, terms=()) for step in plan.steps)  # the probe has no BOS, and fit is checked already
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(int(text_config(model).vocab_size), (1, _PROBE_TOKENS), generator=generator).to(model.device)
    plain = _logits(model, ids)
    with steer(model, Plan(steps)):
        hooked = _logits(model, ids)
    largest = max(float(hooked.abs().max()), torch.finfo(torch.float32).tiny)
    difference = float((_logits(baked, ids) - hooked).abs().max()) / largest
    effect = float((plain - hooked).abs().max()) / largest
    dtype = next(model.parameters()).dtype
    noise = max(
        effect / 2, _NOISE * max(torch.finfo(each).eps for each in (dtype, torch.float32))
    )  # a step that was lost makes them differ by its effect
    if not difference <= min(_TOLERANCES[dtype], noise):
        raise MisfitError(
            f"the baked {type(model).__name__} differs from the hooked one by {difference:.2g} of its largest logit",
            "this variant of the architecture computes in another way than is known; steer with hooks",
        )
    return difference, effect


@torch.no_grad()
def _logits(model: PreTrainedModel, ids: Tensor) -> Tensor:
    logits: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return logits.float().cpu()
