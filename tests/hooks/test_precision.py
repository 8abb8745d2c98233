"""Every operator at every site in every precision: the float64 result, rounded; vectors cast once, not every step."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.hooks.probe import witness
from tests.hooks.reference import carried_out
from tests.hooks.test_operators import LEFT, NAMES, STEERED_RIGHT, in_batch, step
from tests.hooks.test_operators import RIGHT as INPUTS
from tests.tiny_models import LAYER_COUNT, tiny_model
from vectorstore.hooks.steer import steer
from vectorstore.models.layers import site_widths
from vectorstore.place import SITES, Place
from vectorstore.plan import Plan, Step

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
KINDS = ("all", "last", "prompt_front")


def check(before, after, steps, rows=slice(None)):
    """Compare one place with the reference, in units of the last place of its dtype.

    float32: within 1 unit of the vector's norms before and after together, since dot products and norms are rounded
    there. Half precisions: within 1 unit of each number itself. `add` there adds the direction rounded to the dtype.
    """
    assert after.dtype == before.dtype
    before, after = in_batch(before)[rows], in_batch(after)[rows]
    if before.dtype != torch.float32:
        steps = [rounded(each, before.dtype) for each in steps]
    steered = {kind: columns[rows] for kind, columns in STEERED_RIGHT.items()}
    exact = carried_out(before, steps, steered)
    size = exact.abs()
    if before.dtype == torch.float32:
        size = before.double().norm(dim=-1, keepdim=True) + exact.norm(dim=-1, keepdim=True)
    units = torch.finfo(before.dtype).eps * size.clamp(min=torch.finfo(before.dtype).tiny)
    wrong = (after.double() - exact).abs() > units
    assert not wrong.any()
    assert not torch.equal(after, before)


def rounded(one, dtype):
    """Return the step with its direction in `dtype`, where the operator adds it as it is."""
    if one.operator != "add":
        return one
    direction = torch.from_numpy(one.direction).to(dtype).float().numpy()
    return Step(one.operator, one.place, one.tokens, direction)


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def model(request):
    return tiny_model("qwen3").to(request.param)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", NAMES)
def test_every_operator_at_every_site_is_the_exact_result_rounded(model, name, site):
    place = Place(site, 1)
    for tokens in KINDS:
        steps = [step(name, place, tokens, width=site_widths(model)[site])]
        seen = witness(model, place, steer(model, Plan(tuple(steps))), lambda: model(**INPUTS))
        check(seen.before[0], seen.after[0], steps)


@pytest.mark.parametrize("name", NAMES)
def test_each_row_of_a_batch_is_too(model, name):
    place = Place("resid_post", 1)
    rows = [[step(name, place, seed=seed)] for seed in range(2)]
    plans = [Plan(tuple(steps)) for steps in rows]
    seen = witness(model, place, steer(model, plans), lambda: model(**INPUTS))
    for row, steps in enumerate(rows):
        check(seen.before[0], seen.after[0], steps, slice(row, row + 1))


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", NAMES)
def test_under_autocast_each_site_keeps_the_precision_it_has_there(name, site):
    model = tiny_model("qwen3")
    place = Place(site, 1)
    steps = [step(name, place, width=site_widths(model)[site])]

    def run():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            model(**INPUTS)

    seen = witness(model, place, steer(model, Plan(tuple(steps))), run)
    assert seen.before[0].dtype == (torch.float32 if site in ("resid_pre", "resid_post") else torch.bfloat16)
    check(seen.before[0], seen.after[0], steps)


def test_one_block_may_meet_several_precisions_one_after_another():
    model = tiny_model("qwen3")
    place = Place("mlp_out", 1)
    steps = [step("ablate", place), step("add", place, seed=1)]
    alone = logits_of(model, steps, autocast=False), logits_of(model, steps, autocast=True)
    with torch.no_grad(), steer(model, Plan(tuple(steps))):
        for _ in range(2):
            for autocast, expected in zip((False, True), alone, strict=True):
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                    assert torch.equal(model(**INPUTS).logits, expected)


def logits_of(model, steps, *, autocast):
    with torch.no_grad(), steer(model, Plan(tuple(steps))):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            return model(**INPUTS).logits


class Copies(TorchDispatchMode):
    """Notes what is moved or cast, by its shape."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._to_copy.default:
            self.shapes.append(tuple(args[0].shape))
        return function(*args, **(kwargs or {}))


def copies(model, plan, new_tokens):
    with steer(model, plan), Copies() as seen:
        model.generate(**LEFT, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False)
    return seen.shapes


@pytest.mark.parametrize("rows", [False, True], ids=["one plan", "a plan for each row"])
@pytest.mark.parametrize("name", NAMES)
def test_a_decoding_step_casts_no_vector(model, name, rows):
    """Only the activations of a half-precision model are, for a dot product or a norm: up, and the result down."""
    plans = [Plan(tuple(step(name, Place("resid_post", n), seed=seed) for n in range(LAYER_COUNT))) for seed in (0, 1)]
    plan = plans if rows else plans[0]
    per_step = {
        kind: (len(copies(model, each, 10)) - len(copies(model, each, 4))) / 6
        for kind, each in (("steered", plan), ("unsteered", Plan()))
    }
    activations = 0 if name == "add" or model.dtype == torch.float32 else 2
    assert per_step["steered"] - per_step["unsteered"] == activations * LAYER_COUNT
