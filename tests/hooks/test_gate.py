"""A gate reads its condition once for each prompt and row, and opens its step for that generation only."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from tests.hooks.probe import direction_of, witness
from tests.hooks.reference import mean_part
from tests.hooks.test_operators import GREEDY, LEFT, RIGHT, step
from tests.tiny_models import ARCHITECTURES, tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.hooks.record import record
from vectorstore.hooks.steer import steer
from vectorstore.models.layers import site_widths
from vectorstore.place import Place
from vectorstore.plan import Plan, Step

PLACE = Place("resid_pre", 1)
LATER = Place("resid_post", 1)
COLUMNS = {"prompt": ([2, 3, 4], [0, 1, 2, 3, 4]), "last": ([4], [4])}
COLUMNS["all"] = COLUMNS["prompt"]


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


def gate(inner, threshold, place=PLACE, tokens="prompt", *, seed=20):
    """Return `inner` behind a condition on a random direction."""
    direction = direction_of(32, seed=seed).numpy()
    return Step("gate", place, tokens, direction, {"threshold": float(threshold)}, inner=inner)


def readings(model, place=PLACE, tokens="prompt", *, seed=20, inputs=LEFT, columns=None):  # noqa: PLR0913 - as a gate
    """Return the mean part of each row, found without the library's gate."""
    hidden = record(model, inputs, [place])[place]
    direction = direction_of(32, seed=seed).numpy()
    columns = columns or COLUMNS[tokens]
    return [mean_part(hidden[row], direction, columns[row]) for row in range(len(hidden))]


def between(numbers):
    """Return a threshold that the larger of two numbers passes, and the row that does."""
    return sum(numbers) / 2, int(numbers[1] > numbers[0])


def passes(model, plan, place, **options):
    """Return the activations at `place` before and after the steering, `[batch, columns, width]`."""
    seen = witness(model, place, steer(model, plan), lambda: model.generate(**LEFT, **{**GREEDY, **options}))
    return torch.cat(seen.before, dim=1), torch.cat(seen.after, dim=1)


@pytest.mark.parametrize("place", [PLACE, LATER], ids=["same place", "later place"])
@pytest.mark.parametrize("tokens", COLUMNS)
@pytest.mark.parametrize("name", ["add", "ablate", "keepnorm", "piecewise"])
def test_the_open_row_is_steered_as_ungated_and_the_closed_one_not_at_all(model, name, tokens, place):
    inner = step(name, place)
    threshold, opened = between(readings(model, tokens=tokens))
    plan = Plan((gate(inner, threshold, tokens=tokens),))
    before, after = passes(model, plan, place)
    _, ungated = passes(model, Plan((inner,)), place)
    assert torch.equal(after[opened], ungated[opened])
    assert torch.equal(after[1 - opened], before[1 - opened])
    assert not torch.equal(after[opened], before[opened])


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize(("threshold", "steered"), [(-1e6, True), (1e6, False)])
def test_a_gate_open_for_all_is_no_gate_and_one_closed_for_all_is_no_step(model, threshold, steered, use_cache):
    inner = step("add", LATER)
    options = {**GREEDY, "use_cache": use_cache, "output_logits": True, "return_dict_in_generate": True}
    with steer(model, Plan((gate(inner, threshold),))):
        gated = torch.stack(model.generate(**LEFT, **options).logits)
    with steer(model, Plan((inner,) if steered else ())):
        expected = torch.stack(model.generate(**LEFT, **options).logits)
    assert torch.equal(gated, expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_gate_between_two_sites_of_every_architecture(architecture):
    model = tiny_model(architecture)
    place, target = Place("attn_out", 1), Place("head_out", 2)
    threshold, opened = between(readings(model, place, inputs=RIGHT, columns=([0, 1, 2], [0, 1, 2, 3, 4])))
    inner = step("clamp", target, width=site_widths(model)["head_out"])
    seen = witness(model, target, steer(model, Plan((gate(inner, threshold, place),))), lambda: model(**RIGHT))
    touched = (seen.before[0] != seen.after[0]).reshape(2, 5, -1).any(dim=-1)
    expected = torch.zeros(2, 5, dtype=torch.bool)
    expected[opened] = RIGHT["attention_mask"][opened].bool()
    assert torch.equal(touched, expected)


def test_the_rows_that_are_open_stay_so_for_every_token_that_is_generated(model):
    threshold, opened = between(readings(model))
    plan = Plan((gate(step("add", LATER, "generated"), threshold),))
    before, after = passes(model, plan, LATER, max_new_tokens=6, min_new_tokens=6)
    touched = (before != after).any(dim=-1)
    assert touched[opened].nonzero().flatten().tolist() == [4, 5, 6, 7, 8, 9]
    assert not touched[1 - opened].any()


def test_the_condition_is_read_as_the_steps_before_the_gate_left_it(model):
    inner = step("add", LATER)
    raise_it = Step("add", PLACE, "all", 100 * direction_of(32, seed=20).numpy())
    for steps, steered in (([raise_it, gate(inner, 50)], True), ([gate(inner, 50), raise_it], False)):
        before, after = passes(model, Plan(tuple(steps)), LATER)
        assert torch.equal(after, before) is not steered


def test_a_gate_that_opens_several_steps_is_read_before_the_first_of_them(model):
    """The first step takes away what the condition is about; the second is carried out all the same."""
    threshold, opened = between(readings(model))
    ablate = Step("ablate", PLACE, "all", direction_of(32, seed=20).numpy())
    add = step("add", PLACE)
    condition = gate(ablate, threshold)
    both = (condition, Step("gate", PLACE, "prompt", condition.direction, condition.params, inner=add))
    _, after = passes(model, Plan(both), PLACE)
    _, ungated = passes(model, Plan((ablate, add)), PLACE)
    assert torch.equal(after[opened], ungated[opened])


def test_of_nested_gates_all_conditions_have_to_hold(model):
    outer, inner = (sum(readings(model, seed=seed)) / 2 for seed in (20, 21))
    values = [readings(model, seed=seed) for seed in (20, 21)]
    expected = [values[0][row] > outer and values[1][row] > inner for row in range(2)]
    for thresholds, rows in (((outer, inner), expected), ((outer, -1e6), [v > outer for v in values[0]])):
        plan = Plan((gate(gate(step("add", LATER), thresholds[1], seed=21), thresholds[0]),))
        before, after = passes(model, plan, LATER)
        assert [not torch.equal(before[row], after[row]) for row in range(2)] == rows


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"num_return_sequences": 3, "do_sample": True}])
def test_beams_and_returned_sequences_follow_their_prompt(model, options):
    threshold, opened = between(readings(model))
    plan = Plan((gate(step("add", LATER), threshold),))
    before, after = passes(model, plan, LATER, max_new_tokens=5, min_new_tokens=5, **options)
    touched = (before != after).any(dim=-1)[:, 5:]
    assert touched.all(dim=1).tolist() == [opened == 0] * 3 + [opened == 1] * 3
    assert touched.any(dim=1).tolist() == touched.all(dim=1).tolist()


@pytest.mark.parametrize("use_cache", [True, False])
def test_beams_give_each_prompt_what_it_gives_alone(model, use_cache):
    threshold, _ = between(readings(model))
    options = {**GREEDY, "num_beams": 3, "use_cache": use_cache, "max_new_tokens": 5}
    with steer(model, Plan((gate(step("add", LATER, scale=3), threshold),))):
        both = model.generate(**LEFT, **options)[:, 5:]
        alone = [model.generate(LEFT["input_ids"][:1, 2:], **options)[:, 3:]]
        alone.append(model.generate(LEFT["input_ids"][1:], **options)[:, 5:])
    width = max(part.shape[1] for part in (both, *alone))
    padded = [torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in (both, *alone)]
    assert torch.equal(padded[0], torch.cat(padded[1:]))


def test_each_generation_reads_its_own_prompt(model):
    values = readings(model)
    threshold, opened = between(values)
    rows = [LEFT["input_ids"][:1, 2:], LEFT["input_ids"][1:]]
    with steer(model, Plan((gate(step("add", LATER, scale=30), threshold),))):
        for row in (0, 1, 0):
            unsteered = logits(tiny_model("llama"), rows[row])  # the same weights
            assert torch.equal(logits(model, rows[row]), unsteered) is (row != opened)


def logits(model, ids):
    """Return the logits from which each new token was chosen."""
    return torch.stack(model.generate(ids, **GREEDY, output_logits=True, return_dict_in_generate=True).logits)


def test_bare_forwards_are_each_a_prompt_of_their_own(model):
    values = readings(model)
    threshold, opened = between(values)
    plan = Plan((gate(step("add", LATER), threshold),))
    order = [1, 0]

    def run():
        model(**LEFT)
        model(LEFT["input_ids"][order], attention_mask=LEFT["attention_mask"][order])

    seen = witness(model, LATER, steer(model, plan), run)
    touched = [(a != b).any(dim=-1).any(dim=-1).tolist() for a, b in zip(seen.before, seen.after, strict=True)]
    assert touched == [[opened == 0, opened == 1], [opened == 1, opened == 0]]


def test_a_decode_loop_by_hand_goes_on_with_what_the_prompt_opened(model):
    threshold, opened = between(readings(model))
    plan = Plan((gate(step("add", LATER, "generated"), threshold),))

    def run():
        cache = DynamicCache()
        model(**LEFT, past_key_values=cache)
        for column in (6, 7):
            mask = torch.nn.functional.pad(LEFT["attention_mask"], (0, column - 5), value=1)
            model(torch.tensor([[7], [8]]), attention_mask=mask, past_key_values=cache)

    seen = witness(model, LATER, steer(model, plan, prompt_length=5), run)
    assert seen.steered_columns == [[4, 5, 6] if opened == row else [] for row in range(2)]


def test_a_prompt_in_chunks_is_read_to_its_end(model):
    ids = LEFT["input_ids"][1:]
    value = readings(model)[1]
    for threshold, columns in ((value - 1e-4, [4, 5, 6]), (value + 1e-4, [])):
        plan = Plan((gate(step("add", LATER, "generated"), threshold),))
        run = lambda: model.generate(ids, **GREEDY, prefill_chunk_size=2)
        assert witness(model, LATER, steer(model, plan), run).steered_columns == [columns]


def test_a_prompt_in_chunks_cannot_be_steered_before_its_condition_is_known(model):
    plan = Plan((gate(step("add", LATER), -1e6),))
    with pytest.raises(
        InvalidInputError, match=r"the gate at resid_pre\.1 is to open tokens of a prompt that comes in"
    ):
        with steer(model, plan):
            model.generate(LEFT["input_ids"][1:], **GREEDY, prefill_chunk_size=2)


def test_what_was_in_the_cache_before_is_not_read(model):
    ids = LEFT["input_ids"][1:]
    cache = DynamicCache()
    with torch.no_grad():
        model(ids[:, :3], past_key_values=cache)
    value = readings(model, columns=([2], [3, 4]))[1]
    for threshold, columns in ((value - 1e-4, [0, 1, 2, 3]), (value + 1e-4, [])):
        run = lambda: model.generate(ids, past_key_values=cache, **GREEDY)
        seen = witness(model, LATER, steer(model, Plan((gate(step("add", LATER), threshold),))), run)
        assert seen.steered_columns == [columns]
        cache.crop(3 - cache.get_seq_length())


@pytest.mark.parametrize("prompt_length", [5, torch.tensor([2, 4])])
def test_the_prompt_that_is_read_ends_where_it_was_told(model, prompt_length):
    ends = torch.as_tensor(prompt_length).expand(2).tolist()
    values = readings(model, inputs=RIGHT, columns=[list(range(min(ends[0], 3))), list(range(ends[1]))])
    threshold, opened = between(values)
    steering = steer(model, Plan((gate(step("add", LATER), threshold),)), prompt_length=prompt_length)
    seen = witness(model, LATER, steering, lambda: model(**RIGHT))
    expected = [[0, 1, 2], [0, 1, 2, 3, 4]]
    assert seen.steered_columns == [expected[row] if row == opened else [] for row in range(2)]


def test_a_gate_that_never_saw_the_prompt_says_so(model):
    cache = DynamicCache()
    model(**LEFT, past_key_values=cache)
    mask = torch.nn.functional.pad(LEFT["attention_mask"], (0, 1), value=1)
    plan = Plan((gate(step("add", LATER), 0),))
    with pytest.raises(InvalidInputError, match=r"resid_pre\.1 has not read the prompt"):
        with steer(model, plan, prompt_length=5):
            model(torch.tensor([[7], [8]]), attention_mask=mask, past_key_values=cache)


def test_what_a_gate_opens_has_to_come_after_it(model):
    plan = Plan((gate(step("add", Place("resid_pre", 0)), 0),))
    with pytest.raises(InvalidInputError, match="has to come after its place"), steer(model, plan):
        model(**LEFT)


def test_a_gate_is_read_in_the_prompt_only(model):
    plan = Plan((gate(step("add", LATER), 0, tokens="generated"),))
    with pytest.raises(InvalidInputError, match="not at 'generated' tokens"), steer(model, plan):
        pytest.fail("it was steered")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_row_of_nothing_but_padding_stays_closed(model):
    inputs = {"input_ids": LEFT["input_ids"], "attention_mask": torch.tensor([[0] * 5, [1] * 5])}
    plan = Plan((gate(step("add", LATER), -1e6),))
    seen = witness(model, LATER, steer(model, plan), lambda: model(**inputs))
    assert seen.steered_columns == [[], [0, 1, 2, 3, 4]]


def test_the_condition_of_a_half_precision_model_is_read_in_float32():
    model = tiny_model("llama").to(torch.bfloat16)
    values = readings(model)
    for row, value in enumerate(values):
        for threshold, steered in ((value - 1e-6, True), (value + 1e-6, False)):
            plan = Plan((gate(step("add", LATER), threshold),))
            seen = witness(model, LATER, steer(model, plan), lambda: model(**LEFT))
            assert bool(seen.steered_columns[row]) is steered
