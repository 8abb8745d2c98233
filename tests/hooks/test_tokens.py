"""Which tokens are steered, exactly: by kind, padding, cache, chunks and beams."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from transformers import DynamicCache

from tests.hooks.probe import add_plan, direction_of, witness
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.hooks.steer import steer
from vectorstore.place import Place
from vectorstore.plan import Plan
from vectorstore.tokens import BY_POSITION, Tokens

PLACE = Place("resid_pre", 1)
LEFT = {
    "input_ids": torch.tensor([[0, 0, 1, 5, 9], [1, 40, 3, 12, 33]]),
    "attention_mask": torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]),
}
RIGHT = {
    "input_ids": torch.tensor([[1, 5, 9, 0, 0], [1, 40, 3, 12, 33]]),
    "attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
}
GREEDY = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False}


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


def plan_for(tokens: str) -> Plan:
    return add_plan(PLACE, direction_of(32, rows=3 if tokens in BY_POSITION else None), tokens)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize(
    ("tokens", "padded", "full"),
    [
        ("prompt", [2, 3, 4], [0, 1, 2, 3, 4]),
        ("generated", [4, 5, 6], [4, 5, 6]),
        ("last", [4], [4]),
        ("prompt_front", [2, 3, 4], [0, 1, 2]),
        ("prompt_middle", [2, 3, 4], [1, 2, 3]),
        ("prompt_back", [2, 3, 4], [2, 3, 4]),
        ("all", [2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_generate_steers_just_these_columns_of_a_left_padded_batch(model, tokens, padded, full, use_cache):
    run = lambda: model.generate(**LEFT, **GREEDY, use_cache=use_cache)
    seen = witness(model, PLACE, steer(model, plan_for(tokens)), run)
    if use_cache:
        assert seen.steered_columns == [padded, full]
    else:
        last_pass = (seen.after[-1] - seen.before[-1]).abs().amax(dim=-1) > 0
        assert [row.nonzero().flatten().tolist() for row in last_pass] == [padded, full]


@pytest.mark.parametrize(
    ("tokens", "padded", "full"),
    [
        ("prompt", [0, 1, 2], [0, 1, 2, 3, 4]),
        ("generated", [2], [4]),
        ("last", [2], [4]),
        ("prompt_front", [0, 1, 2], [0, 1, 2]),
        ("prompt_middle", [0, 1, 2], [1, 2, 3]),
        ("prompt_back", [0, 1, 2], [2, 3, 4]),
        ("all", [0, 1, 2], [0, 1, 2, 3, 4]),
    ],
)
def test_a_bare_forward_is_all_prompt_and_right_padding_is_never_steered(model, tokens, padded, full):
    seen = witness(model, PLACE, steer(model, plan_for(tokens)), lambda: model(**RIGHT))
    assert seen.steered_columns == [padded, full]


def test_rows_of_a_front_direction_meet_their_own_positions(model):
    rows = direction_of(32, rows=3)
    seen = witness(model, PLACE, steer(model, add_plan(PLACE, rows, "prompt_front")), lambda: model(**LEFT))
    assert torch.equal(seen.after[0][0, 2:5], seen.before[0][0, 2:5] + rows)
    assert torch.equal(seen.after[0][1, 0:3], seen.before[0][1, 0:3] + rows)


@pytest.mark.parametrize(
    ("prompt_length", "padded", "full"),
    [(3, [0, 1, 2], [0, 1, 2]), (torch.tensor([2, 4]), [0, 1], [0, 1, 2, 3])],
)
def test_a_bare_forward_can_be_told_where_the_prompt_ends(model, prompt_length, padded, full):
    steering = steer(model, plan_for("prompt"), prompt_length=prompt_length)
    assert witness(model, PLACE, steering, lambda: model(**RIGHT)).steered_columns == [padded, full]


def test_generated_begins_with_the_last_prompt_position_of_each_row(model):
    steering = steer(model, plan_for("generated"), prompt_length=torch.tensor([2, 4]))
    assert witness(model, PLACE, steering, lambda: model(**RIGHT)).steered_columns == [[1, 2], [3, 4]]


def test_a_left_padded_batch_generates_what_each_row_generates_alone(model):
    for tokens in get_args(Tokens):
        with steer(model, plan_for(tokens)):
            batch = model.generate(**LEFT, **GREEDY)[:, 5:]
            short = model.generate(LEFT["input_ids"][:1, 2:], **GREEDY)[:, 3:]
            full = model.generate(LEFT["input_ids"][1:], **GREEDY)[:, 5:]
        assert torch.equal(batch, torch.cat([short, full]))


def test_steering_changes_what_is_generated_and_sampling_obeys_the_seed(model):
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": True}
    plan = add_plan(PLACE, 20 * direction_of(32))

    def sample():
        torch.manual_seed(3)
        return model.generate(**LEFT, **options)

    unsteered = sample()
    with steer(model, plan):
        steered = sample()
        assert torch.equal(sample(), steered)
    assert not torch.equal(steered, unsteered)
    assert torch.equal(sample(), unsteered)


@pytest.mark.parametrize("options", [{"num_beams": 2}, {"num_return_sequences": 3, "do_sample": True}])
def test_beams_and_returned_sequences_keep_the_padding_of_their_row(model, options):
    run = lambda: model.generate(**LEFT, **{**GREEDY, **options})
    seen = witness(model, PLACE, steer(model, plan_for("prompt_front")), run)
    copies = len(seen.after[0]) // 2
    first = (seen.after[0] - seen.before[0]).abs().amax(dim=-1) > 0
    columns = [row.nonzero().flatten().tolist() for row in first]
    assert columns == [[2, 3, 4]] * copies + [[0, 1, 2]] * copies
    assert all(torch.equal(a, b) for a, b in zip(seen.after[1:], seen.before[1:], strict=True))


def test_prompts_without_a_mask_take_their_padding_from_the_pad_token(model):
    run = lambda: model.generate(LEFT["input_ids"], **GREEDY)
    assert witness(model, PLACE, steer(model, plan_for("prompt")), run).steered_columns[0] == [2, 3, 4]


def test_a_prefill_in_chunks_steers_the_same_columns(model):
    for tokens, columns in (
        ("last", [4]),
        ("prompt_front", [0, 1, 2]),
        ("prompt_middle", [1, 2, 3]),
        ("prompt_back", [2, 3, 4]),
        ("generated", [4, 5, 6]),
    ):
        run = lambda: model.generate(LEFT["input_ids"][1:], **GREEDY, prefill_chunk_size=2)
        seen = witness(model, PLACE, steer(model, plan_for(tokens)), run)
        assert [len(part[0]) for part in seen.before] == [2, 2, 1, 1, 1]
        assert seen.steered_columns == [columns]


def test_what_is_in_the_cache_already_is_no_prompt_any_more(model):
    ids = LEFT["input_ids"][1:]
    cache = DynamicCache()
    with torch.no_grad():
        model(ids[:, :3], past_key_values=cache)
    run = lambda: model.generate(ids, past_key_values=cache, **GREEDY)
    seen = witness(model, PLACE, steer(model, plan_for("prompt")), run)
    assert [len(part[0]) for part in seen.before] == [2, 1, 1]
    assert seen.steered_columns == [[0, 1]]


def test_a_static_cache_steers_the_same_columns(model):
    run = lambda: model.generate(**LEFT, **GREEDY, cache_implementation="static", disable_compile=True)
    assert witness(model, PLACE, steer(model, plan_for("all")), run).steered_columns == [[2, 3, 4, 5, 6], [*range(7)]]


def test_a_decode_loop_by_hand_with_a_cache_counts_columns(model):
    ids = LEFT["input_ids"][1:]

    def loop():
        cache = DynamicCache()
        model(ids, past_key_values=cache)
        for token in (7, 8):
            model(torch.tensor([[token]]), past_key_values=cache)

    steering = steer(model, plan_for("generated"), prompt_length=5)
    assert witness(model, PLACE, steering, loop).steered_columns == [[4, 5, 6]]


def test_a_prompt_shorter_than_the_vector_is_an_error_unless_truncated(model):
    plan = add_plan(PLACE, direction_of(32, rows=4), "prompt_front")
    with pytest.raises(InvalidInputError, match="prompt 0 has 3 tokens, but the vector steers the first 4"):
        with steer(model, plan):
            model.generate(**LEFT, **GREEDY)
    seen = witness(model, PLACE, steer(model, plan, truncate=True), lambda: model.generate(**LEFT, **GREEDY))
    assert seen.steered_columns == [[2, 3, 4], [0, 1, 2, 3]]


@pytest.mark.parametrize("tokens", get_args(Tokens))
def test_assisted_decoding_writes_what_greedy_decoding_does(model, tokens):
    """Several generated tokens come in one pass there, and the cache is cut back."""
    ids, options = LEFT["input_ids"][1:], {"max_new_tokens": 12, "do_sample": False}
    plan = add_plan(PLACE, 20 * direction_of(32, rows=3 if tokens in BY_POSITION else None, seed=2), tokens)
    assistant = tiny_model("llama", seed=1)
    with steer(model, plan):
        assisted = model.generate(ids, assistant_model=assistant, **options)
        greedy = model.generate(ids, **options)
    assert torch.equal(assisted, greedy)
    assert not torch.equal(greedy, model.generate(ids, **options))


def test_a_mask_that_is_too_short_is_an_error(model):
    with pytest.raises(InvalidInputError, match="attention mask covers 3 columns of 5"):
        with steer(model, plan_for("all")):
            model(LEFT["input_ids"], attention_mask=LEFT["attention_mask"][:, :3])


def test_running_a_part_of_the_model_alone_is_an_error(model):
    with (
        pytest.raises(InvalidInputError, match="call the model that was given to steer"),
        steer(model, plan_for("all")),
    ):
        model.model(LEFT["input_ids"])


def test_two_directions_on_one_layer_and_on_several_all_arrive(model):
    first, second, third = (direction_of(32, seed=seed) for seed in range(3))
    other = Place("resid_pre", 2)
    steps = (
        *add_plan(PLACE, first).steps,
        *add_plan(PLACE, second, "last").steps,
        *add_plan(other, third).steps,
    )
    seen = witness(model, PLACE, steer(model, Plan(steps)), lambda: model(**RIGHT))
    assert torch.equal(seen.after[0][1, 1], seen.before[0][1, 1] + first)
    assert torch.equal(seen.after[0][1, 4], seen.before[0][1, 4] + first + second)
    above = witness(model, other, steer(model, Plan(steps)), lambda: model(**RIGHT))
    assert torch.equal(above.after[0][1], above.before[0][1] + third)


def test_nested_blocks_steer_by_their_sum(model):
    first, second = direction_of(32), direction_of(32, seed=1)
    outer = witness(
        model,
        PLACE,
        steer(model, add_plan(PLACE, first)),
        lambda: witness(model, PLACE, steer(model, add_plan(PLACE, second)), lambda: model.generate(**LEFT, **GREEDY)),
    )
    assert outer.steered_columns == [[2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]]
    with steer(model, add_plan(PLACE, first)), steer(model, add_plan(PLACE, second)):
        nested = model(**LEFT).logits
    with steer(model, add_plan(PLACE, first + second)):
        summed = model(**LEFT).logits
    torch.testing.assert_close(nested, summed, atol=1e-5, rtol=1e-5)
    assert "generate" not in model.__dict__


def test_a_plan_without_steps_leaves_every_bit(model):
    before = model(**LEFT).logits
    with steer(model, Plan()):
        assert torch.equal(model(**LEFT).logits, before)


def test_gradients_flow_through_steering(model):
    with steer(model, add_plan(PLACE, direction_of(32))):
        model(**LEFT).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad(set_to_none=True)
