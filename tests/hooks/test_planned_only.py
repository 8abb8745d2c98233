"""Steps that a model does not carry out yet are refused by name, before anything is hooked."""

from __future__ import annotations

import pytest
import torch

from tests.builders import make_vector
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.hooks.steer import steer
from vectorstore.place import Place
from vectorstore.plan import Plan, Step, plan_of

IDS = torch.tensor([[1, 5, 9, 23, 7]])


@pytest.mark.parametrize("operator", ["gate", "no_such_operator"])
def test_a_plan_with_such_a_step_changes_nothing(operator: str):
    model = tiny_model()
    (add,) = plan_of(make_vector(1, width=32)).steps
    inner = add if operator == "gate" else None
    planned = Step(operator, Place("resid_pre", 1), "all", add.direction, {"threshold": 1.0}, inner=inner)
    before = model(IDS).logits
    refused = pytest.raises(InvalidInputError, match=f"operator '{operator}' is not yet supported on a model")
    with refused, steer(model, Plan((add, planned))):
        pytest.fail("it was steered")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(model(IDS).logits, before)
