"""Every row of a batch follows a plan of its own, as if it were alone; no row touches another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.hooks.probe import add_plan, direction_of, witness
from tests.hooks.reference import carried_out
from tests.hooks.test_fit import plan_for
from tests.hooks.test_gate import gate
from tests.hooks.test_operators import GREEDY, NAMES, STEERED, step
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.hooks.arrangement import actions_by_place
from vectorstore.hooks.rows import Rows
from vectorstore.hooks.steer import steer
from vectorstore.models.layers import site_widths
from vectorstore.place import SITES, Place
from vectorstore.plan import Plan

PLACE = Place("resid_pre", 1)
LATER = Place("resid_post", 1)
PROMPTS = [[1, 5, 9], [1, 40, 3, 12, 33], [1, 7, 7, 20], [1, 11, 2, 50, 3, 8]]
BATCH = {
    "input_ids": torch.tensor([[0] * (6 - len(ids)) + ids for ids in PROMPTS]),
    "attention_mask": torch.tensor([[0] * (6 - len(ids)) + [1] * len(ids) for ids in PROMPTS]),
}
COLUMNS = {  # of BATCH, without a generated token
    "prompt": [list(range(6 - len(ids), 6)) for ids in PROMPTS],
    "generated": [[5]] * 4,
    "last": [[5]] * 4,
    "prompt_front": [list(range(6 - len(ids), 9 - len(ids))) for ids in PROMPTS],
    "prompt_middle": [[3, 4, 5], [2, 3, 4], [3, 4, 5], [2, 3, 4]],
    "prompt_back": [[3, 4, 5]] * 4,
}
COLUMNS["all"] = COLUMNS["prompt"]


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


def plans_at(site="resid_pre", width=32):
    """Return plans that have operators, tokens, order and number of steps apart, and one row without."""
    place, low = Place(site, 1), Place(site, 0)
    return [
        Plan((step("ablate", place, width=width), step("add", place, seed=1, width=width))),
        None,
        Plan((step("add", place, "prompt_front", seed=2, width=width), step("affine", low, seed=3, width=width))),
        Plan(
            (
                step("add", place, "generated", seed=4, width=width),
                gate(step("keepnorm", place, seed=5, width=width), -1e6, Place("resid_pre", 0)),
                step("clamp", place, "last", seed=6, width=width),
                step("piecewise", place, "prompt", seed=7, width=width),
            )
        ),
    ]


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("architecture", ["gpt2", "opt", "bloom", "falcon", "mpt", "llama", "qwen3_moe", "gemma2"])
def test_each_row_is_what_it_is_alone(architecture, site):
    model = tiny_model(architecture)
    plans = plans_at(site, site_widths(model)[site])
    options = {**GREEDY, "output_logits": True, "return_dict_in_generate": True}
    with steer(model, plans):
        together = model.generate(**BATCH, **options)
    for row, (plan, ids) in enumerate(zip(plans, PROMPTS, strict=True)):
        with steer(model, plan or Plan()):
            alone = model.generate(torch.tensor([ids]), **options)
        assert together.sequences[row, 6:].tolist() == alone.sequences[0, len(ids) :].tolist()
        for one, other in zip(together.logits, alone.logits, strict=True):
            torch.testing.assert_close(one[row], other[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_plan_of_one_row_changes_no_bit_of_another(dtype):
    model = tiny_model("llama").to(dtype)
    plans = plans_at()

    def logits(*chosen):
        options = {"output_logits": True, "return_dict_in_generate": True}
        with torch.no_grad(), steer(model, [*chosen]):
            return torch.stack(model.generate(**BATCH, **GREEDY, **options).logits)[0]  # the tokens after it differ

    unsteered = logits(None, None, None, None)
    for row, plan in enumerate(plans):
        alone = logits(*[plan if row == other else None for other in range(4)])
        others = [other for other in range(4) if other != row]
        assert torch.equal(alone[others], unsteered[others])
        assert torch.equal(alone[row], unsteered[row]) is (plan is None)
        assert torch.equal(alone[row], logits(*plans)[row])


@pytest.mark.parametrize("seed", range(6))
def test_any_plans_in_one_batch_run_as_written(model, seed):
    random = np.random.default_rng(seed)
    plans = [
        Plan(
            tuple(
                step(NAMES[random.integers(len(NAMES))], PLACE, list(STEERED)[random.integers(7)], seed=int(number))
                for number in random.integers(1000, size=random.integers(6))
            )
        )
        for _ in range(4)
    ]
    seen = witness(model, PLACE, steer(model, plans), lambda: model(**BATCH))
    before, after = seen.before[0], seen.after[0]
    for row, plan in enumerate(plans):
        columns = {kind: [each[row]] for kind, each in COLUMNS.items()}
        expected = carried_out(before[row : row + 1], list(plan.steps), columns)
        torch.testing.assert_close(after[row : row + 1].double(), expected, atol=5e-6, rtol=5e-6)
        padding = 6 - len(PROMPTS[row])
        assert torch.equal(after[row, :padding], before[row, :padding])


def test_rows_with_directions_of_different_lengths_meet_their_own_positions(model):
    plans = [Plan(add_plan(PLACE, direction_of(32, rows), "prompt_front").steps) for rows in (1, 4, 2)]
    seen = witness(model, PLACE, steer(model, [*plans, None]), lambda: model.generate(**BATCH, **GREEDY))
    assert seen.steered_columns == [[3], [1, 2, 3, 4], [2, 3], []]


@pytest.mark.parametrize("options", [{"num_beams": 2}, {"num_return_sequences": 2, "do_sample": True}])
def test_beams_and_returned_sequences_follow_the_plan_of_their_prompt(model, options):
    plans = [add_plan(PLACE, direction_of(32)), None, add_plan(PLACE, direction_of(32), "last"), None]
    run = lambda: model.generate(**BATCH, **{**GREEDY, **options})
    seen = witness(model, PLACE, steer(model, plans), run)
    everything = [3, 4, 5, 6, 7]
    assert seen.steered_columns == [everything, everything, [], [], [5], [5], [], []]


def test_beams_give_each_row_what_it_gives_alone(model):
    plans = plans_at()
    options = {**GREEDY, "num_beams": 3, "length_penalty": 0.0}
    with steer(model, plans):
        together = model.generate(**BATCH, **options)
    for row, (plan, ids) in enumerate(zip(plans, PROMPTS, strict=True)):
        with steer(model, plan or Plan()):
            assert together[row, 6:].tolist() == model.generate(torch.tensor([ids]), **options)[0, len(ids) :].tolist()


def test_one_plan_for_several_rows_is_one_plan():
    plan, other = add_plan(PLACE, direction_of(32)), add_plan(PLACE, direction_of(32, seed=1))
    model = tiny_model("llama")
    seen = witness(model, PLACE, steer(model, [plan, other, plan, plan]), lambda: model(**BATCH))
    for row, direction in enumerate((plan, other, plan, plan)):
        expected = seen.before[0][row, 5] + torch.from_numpy(direction.steps[0].direction)
        assert torch.equal(seen.after[0][row, 5], expected)


def test_what_many_plans_add_at_one_place_is_one_operation():
    plans = [add_plan(PLACE, direction_of(32, seed=seed)) for seed in range(16)]
    assert {place: len(actions) for place, actions in actions_by_place(plans, Rows(range(16))).items()} == {PLACE: 1}
    mixed = [Plan((step("add"), step("clamp"))), Plan((step("ablate"), step("add"))), Plan((step("affine"),))]
    assert len(actions_by_place(mixed, Rows(range(3)))[PLACE]) == 3, "add, then ablate with affine and clamp, then add"


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_batch_of_another_size_is_an_error(model, count):
    plans = [add_plan(PLACE, direction_of(32))] * count
    expected = rf"the batch has 4 rows, but {count} plans? (was|were) given"
    with pytest.raises(InvalidInputError, match=expected), steer(model, plans):
        model(**BATCH)
    with pytest.raises(InvalidInputError, match=expected), steer(model, plans):
        model.generate(**BATCH, **GREEDY)


def test_no_plans_at_all_is_an_error_and_none_for_any_row_leaves_every_bit(model):
    with pytest.raises(InvalidInputError, match="no plan for any row"), steer(model, []):
        pytest.fail("it was steered")
    before = model(**BATCH).logits
    with steer(model, [None] * 4):
        assert torch.equal(model(**BATCH).logits, before)


def test_a_row_without_a_step_keeps_even_the_sign_of_its_zeros(model):
    plans = [add_plan(PLACE, direction_of(32)), None]
    zeros = torch.full((2, 3, 32), -0.0)
    handle = model.model.layers[0].register_forward_hook(lambda *_: zeros)
    seen = witness(model, PLACE, steer(model, plans), lambda: model(torch.ones(2, 3, dtype=torch.long)))
    handle.remove()
    assert torch.signbit(seen.after[0][1]).all()


def test_each_row_needs_what_its_own_plan_needs(model):
    long = add_plan(PLACE, direction_of(32, 5), "prompt_front")
    with steer(model, [None, long, None, long]):
        model(**BATCH)
    with pytest.raises(InvalidInputError, match="prompt 2 has 4 tokens, but the vector steers the first 5"):
        with steer(model, [None, None, long, long]):
            model(**BATCH)
    with steer(model, [None, None, long, long], truncate=True):
        model(**BATCH)
    with_bos, without = plan_for(model, bos=1), plan_for(model)
    ids = torch.tensor([[1, 5], [9, 5]])
    with steer(model, [with_bos, without]):
        model(ids)
    with pytest.raises(InvalidInputError, match=r"prompt 1 begins with token 9, .* BOS \(token 1\)"):
        with steer(model, [without, with_bos]):
            model(ids)


def test_a_plan_of_any_row_that_does_not_fit_is_a_misfit(model):
    with pytest.raises(MisfitError, match="width 8"):
        with steer(model, [None, add_plan(PLACE, direction_of(8))]):
            pytest.fail("it was steered")


def test_each_row_has_its_own_gate(model):
    """The same condition with two thresholds, and two conditions, in one batch."""
    plans = [
        Plan((gate(step("add", LATER), threshold, seed=seed),))
        for threshold, seed in ((-1e6, 20), (1e6, 20), (-1e6, 21), (1e6, 21))
    ]
    seen = witness(model, LATER, steer(model, plans), lambda: model.generate(**BATCH, **GREEDY))
    assert [bool(columns) for columns in seen.steered_columns] == [True, False, True, False]
    assert seen.steered_columns[0] == [3, 4, 5, 6, 7]
