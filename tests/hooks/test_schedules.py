"""A schedule gives each new token a coefficient of its own, however it is generated."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from tests.hooks.probe import add_plan, witness
from tests.hooks.test_live import LATER, LONG, PLACE, V, logits, steered, times
from tests.hooks.test_operators import GREEDY, LEFT, step
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.hooks.steer import steer
from vectorstore.plan import Plan


@pytest.fixture
def model():
    return tiny_model("llama")


def schedule(index):
    """Return a number that tells indices apart and multiplies without rounding."""
    return 2.0 ** (index % 4) if index else -1.0


def columns(first, count, prompt):
    """Return what the columns from `first` on are multiplied by, when the prompt has so many."""
    return torch.tensor([schedule(max(column - prompt + 1, 0)) for column in range(first, first + count)])


RUNS = {
    "cached": {},
    "without a cache": {"use_cache": False},
    "beams": {"num_beams": 3},
    "returned": {"num_return_sequences": 2, "do_sample": True},
    "chunks": {"prefill_chunk_size": 2},
    "static": {"cache_implementation": "static"},
}


@pytest.mark.parametrize("run", list(RUNS))
def test_a_schedule_follows_the_index_of_the_new_token(model, run):
    options = {**LONG, **RUNS[run]}
    # no zeros for padding, which the static cache of transformers 4 does not count
    padded = {**LEFT, "input_ids": LEFT["input_ids"].masked_fill(LEFT["attention_mask"] == 0, 3)}
    inputs = {"input_ids": LEFT["input_ids"][1:]} if run == "chunks" else padded
    steering = steer(model, add_plan(PLACE, V), schedule=schedule)
    seen = witness(model, PLACE, steering, lambda: model.generate(**inputs, **options, disable_compile=True))
    start = 0
    for before, after in zip(seen.before, seen.after, strict=True):
        if run == "without a cache":
            start = 0
        factors = columns(start, before.shape[1], 5)[:, None]
        steered_rows = torch.ones(before.shape[:2], dtype=torch.bool)
        if run != "chunks" and start == 0:
            steered_rows[: len(before) // 2, :2] = False
        assert torch.equal(after, torch.where(steered_rows[..., None], before + factors * V, before))
        start += before.shape[1]


def test_a_continued_cache_is_the_prompt_of_the_next_generation(model):
    ids = LEFT["input_ids"][1:]
    cache = DynamicCache()
    with torch.no_grad():
        model(ids[:, :3], past_key_values=cache)
    steering = steer(model, add_plan(PLACE, V), schedule=schedule)
    seen = witness(model, PLACE, steering, lambda: model.generate(ids, past_key_values=cache, **GREEDY))
    factors = torch.tensor([-1.0, -1.0, 2.0, 4.0])[:, None]
    torch.testing.assert_close(seen.added[0], factors * V, atol=1e-5, rtol=1e-5)


def test_bare_passes_count_from_where_the_prompt_was_said_to_end(model):
    steering = steer(model, add_plan(PLACE, V), schedule=schedule, prompt_length=torch.tensor([2, 4]))
    seen = witness(model, PLACE, steering, lambda: model(LEFT["input_ids"]))
    factors = torch.tensor([[-1.0, -1, 2, 4, 8], [-1, -1, -1, -1, 2]])[..., None]
    assert torch.equal(seen.after[0], seen.before[0] + factors * V)


def test_assisted_decoding_gives_each_candidate_its_own_index(model):
    ids, options = LEFT["input_ids"][1:], {"max_new_tokens": LONG["max_new_tokens"], "do_sample": False}
    with steer(model, add_plan(PLACE, V), schedule=schedule):
        alone = model.generate(ids, **options)
        assisted = model.generate(ids, **options, assistant_model=tiny_model("llama", seed=3))
    assert torch.equal(alone, assisted)


def test_a_schedule_multiplies_the_coefficients_of_rows(model):
    plan = add_plan(PLACE, V)
    unsteered = logits(model)
    with steer(model, [plan, plan], schedule=lambda index: float(index == 0)) as steering:
        steering.coefficient = [2, 0]
        ours = logits(model)
    only_prompt = Plan((step("add", tokens="prompt"),))
    assert torch.equal(ours, steered([times(2, only_prompt), None]))
    assert torch.equal(ours[:, 1], unsteered[:, 1])


def test_nested_blocks_have_schedules_of_their_own(model):
    first, second = Plan((step("add"),)), Plan((step("add", LATER, seed=1),))
    with steer(model, first, schedule=lambda index: float(index == 0)):
        with steer(model, second, schedule=lambda index: float(index > 0)):
            nested = logits(model)
    only_prompt = Plan((step("add", tokens="prompt"),))
    with steer(model, only_prompt), steer(model, second, schedule=lambda index: float(index > 0)):
        assert torch.equal(nested, logits(model))
    assert not torch.equal(nested, steered(only_prompt))


def test_tokens_by_position_have_the_coefficient_of_the_prompt(model):
    plan = Plan((step("add", tokens="prompt_back"),))
    with steer(model, plan, schedule=schedule):
        assert torch.equal(logits(model), steered(times(-1, plan)))
        assert torch.equal(logits(model, use_cache=False), steered(times(-1, plan), use_cache=False))


def test_a_schedule_that_returns_no_number_says_so(model):
    with steer(model, add_plan(PLACE, V), schedule=lambda _: float("nan")):
        with pytest.raises(InvalidInputError, match="the coefficient is nan"):
            model(**LEFT)
