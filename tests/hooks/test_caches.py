"""Caches of every kind: windows, static ones, chunks, later turns; tokens are those of the text, not of the pass."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from transformers import DynamicCache, StaticCache

from tests.hooks.probe import add_plan, direction_of, witness
from tests.hooks.test_operators import GREEDY, LEFT, step
from tests.hooks.test_rows import BATCH, PROMPTS
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.hooks.steer import steer
from vectorstore.place import Place
from vectorstore.plan import Plan

PLACE = Place("resid_pre", 1)
RESULT = {"output_logits": True, "return_dict_in_generate": True}
PLANS = [
    Plan((step("add", PLACE, "last"), step("clamp", PLACE, "generated", seed=1))),
    None,
    Plan((step("add", PLACE, "prompt_front", seed=2),)),
    Plan((step("ablate", PLACE, "prompt", seed=3),)),
]
WHOLE = {"input_ids": torch.arange(1, 21).reshape(4, 5), "attention_mask": torch.ones(4, 5, dtype=torch.long)}
TOKENS = ["all", "prompt", "generated", "last", "prompt_front", "prompt_middle", "prompt_back"]


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


def plan_of_rows(tokens, rows):
    return add_plan(PLACE, direction_of(32, rows if tokens.startswith("prompt_") else None), tokens)


def logits(model, plan, inputs, **options):
    with steer(model, plan):
        return torch.stack(model.generate(**inputs, **{**GREEDY, **RESULT, **options}).logits)


@pytest.mark.parametrize("tokens", TOKENS)
def test_a_prompt_of_one_token_is_a_whole_prompt(model, tokens):
    plan = plan_of_rows(tokens, 1)
    seen = witness(model, PLACE, steer(model, plan), lambda: model.generate(torch.tensor([[5]]), **GREEDY))
    expected = [0, 1, 2] if tokens in ("all", "generated") else [0]
    assert seen.steered_columns == [expected]


def test_prompts_of_one_token_follow_each_its_own_plan(model):
    plans = [plan_of_rows(tokens, 1) for tokens in TOKENS]
    run = lambda: model.generate(torch.tensor([[5]] * len(TOKENS)), **GREEDY)
    seen = witness(model, PLACE, steer(model, plans), run)
    assert seen.steered_columns == [[0, 1, 2] if tokens in ("all", "generated") else [0] for tokens in TOKENS]


@pytest.mark.parametrize("architecture", ["mistral", "gemma2", "gemma3_text", "gpt_oss", "cohere2"])
def test_a_window_shorter_than_the_prompt_moves_no_steered_token(architecture):
    """Without a cache every pass sees the whole text, so that columns cannot be mistaken."""
    model = tiny_model(architecture, sliding_window=3)
    for plan in (PLANS, plan_of_rows("prompt_middle", 2)):
        cached, whole = (logits(model, plan, BATCH, max_new_tokens=6, use_cache=each) for each in (True, False))
        torch.testing.assert_close(cached, whole, atol=1e-5, rtol=1e-4)
    run = lambda: model.generate(**BATCH, **GREEDY)
    seen = witness(model, PLACE, steer(model, plan_of_rows("prompt_back", 2)), run)
    assert seen.steered_columns == [[4, 5]] * len(PROMPTS)


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_a_static_cache_gives_every_row_what_a_dynamic_one_does(architecture):
    model = tiny_model(architecture)
    static = logits(model, PLANS, BATCH, cache_implementation="static", disable_compile=True)
    torch.testing.assert_close(static, logits(model, PLANS, BATCH), atol=1e-5, rtol=1e-4)


def test_a_static_cache_by_hand_counts_what_is_in_it_and_not_how_long_it_is(model):
    ids = LEFT["input_ids"][1:]

    def loop():
        cache = StaticCache(config=model.config, max_cache_len=16)
        for start, end in ((0, 3), (3, 5)):
            model(ids[:, start:end], past_key_values=cache, cache_position=torch.arange(start, end))
        model(torch.tensor([[7]]), past_key_values=cache, cache_position=torch.tensor([5]))

    steering = steer(model, plan_of_rows("generated", 1), prompt_length=5)
    assert witness(model, PLACE, steering, loop).steered_columns == [[4, 5]]


@pytest.mark.parametrize("inputs", [BATCH, WHOLE], ids=["padded", "unpadded"])
def test_a_prefill_in_chunks_gives_every_row_what_it_gets_in_one(model, inputs):
    chunks, once = (partial(logits, model, inputs=inputs, **options) for options in ({"prefill_chunk_size": 2}, {}))
    if not torch.allclose(chunks(Plan()), once(Plan()), atol=1e-5):
        assert inputs is BATCH
        pytest.skip("this version of transformers counts padding as positions when a prompt comes in chunks")
    torch.testing.assert_close(chunks(PLANS), once(PLANS), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("tokens", TOKENS)
def test_in_a_chat_only_the_last_turn_is_steered(model, tokens):
    """The first turn and its answer are in the cache, which is unsteered; the second turn has two tokens of its own."""
    first = torch.tensor([[1, 5, 9, 23], [1, 40, 3, 12]])
    answered = model.generate(first, **GREEDY, return_dict_in_generate=True)
    ids = torch.cat((answered.sequences, torch.tensor([[7, 8], [9, 4]])), dim=1)  # 9 columns, 6 of them cached
    plan = plan_of_rows(tokens, 2)
    run = lambda: model.generate(ids, past_key_values=answered.past_key_values, **GREEDY)
    seen = witness(model, PLACE, steer(model, plan), run)
    assert answered.past_key_values.get_seq_length() == 11
    columns = {"all": [6, 7, 8, 9, 10], "prompt": [6, 7, 8], "generated": [8, 9, 10], "last": [8]}
    by_position = {"prompt_front": [], "prompt_middle": [], "prompt_back": [7, 8]}  # of the whole prompt, cached or not
    expected = {**columns, **by_position}[tokens]
    assert seen.steered_columns == [[column - 6 for column in expected]] * 2


def test_each_row_of_a_chat_has_its_own_plan_for_the_last_turn(model):
    first = torch.tensor([[1, 5, 9, 23], [1, 40, 3, 12]])
    plans = [plan_of_rows("prompt", 1), plan_of_rows("last", 1)]

    def turns(rows, plan):
        answered = model.generate(first[rows], **GREEDY, return_dict_in_generate=True)
        ids = torch.cat((answered.sequences, torch.tensor([[7, 8], [9, 4]])[rows]), dim=1)
        return logits(model, plan, {"input_ids": ids}, past_key_values=answered.past_key_values)

    together = turns([0, 1], plans)
    for row, plan in enumerate(plans):
        torch.testing.assert_close(together[:, row], turns([row], plan)[:, 0], atol=1e-5, rtol=1e-4)


def test_several_generated_tokens_in_one_pass_are_all_generated(model):
    ids = LEFT["input_ids"][1:]

    def loop():
        cache = DynamicCache()
        model(ids, past_key_values=cache)
        model(torch.tensor([[7, 8, 9]]), past_key_values=cache)

    for tokens, columns in (("generated", [4, 5, 6, 7]), ("prompt", [0, 1, 2, 3, 4])):
        steering = steer(model, plan_of_rows(tokens, 1), prompt_length=5)
        assert witness(model, PLACE, steering, loop).steered_columns == [columns]


@pytest.mark.parametrize("extra", ["position_ids", "cache_position"])
def test_it_makes_no_difference_whether_positions_are_told(model, extra):
    inputs = {"input_ids": LEFT["input_ids"][1:]}
    told = torch.arange(5) if extra == "cache_position" else torch.arange(5)[None]
    for tokens in TOKENS:
        with torch.no_grad(), steer(model, plan_of_rows(tokens, 2)):
            assert torch.equal(model(**inputs).logits, model(**inputs, **{extra: told}).logits)


def test_positions_of_another_text_do_not_move_what_is_steered(model):
    inputs = {"input_ids": LEFT["input_ids"][1:], "position_ids": torch.arange(50, 55)[None]}
    seen = witness(model, PLACE, steer(model, plan_of_rows("prompt_front", 2)), lambda: model(**inputs))
    assert seen.steered_columns == [[0, 1]]


def test_several_returned_beams_are_for_each_row_what_they_are_alone(model):
    options = {**GREEDY, "num_beams": 4, "num_return_sequences": 3, "length_penalty": 0.0}
    with steer(model, PLANS):
        together = model.generate(**BATCH, **options)
    for row, (plan, ids) in enumerate(zip(PLANS, PROMPTS, strict=True)):
        with steer(model, plan or Plan()):
            alone = model.generate(torch.tensor([ids]), **options)
        assert together[3 * row : 3 * row + 3, 6:].tolist() == alone[:, len(ids) :].tolist()


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_assisted_decoding_with_a_plan_for_its_one_row_is_greedy_decoding(model, plan):
    ids, options = LEFT["input_ids"][1:], {"max_new_tokens": 12, "do_sample": False}
    with steer(model, [plan]):
        assisted = model.generate(ids, assistant_model=tiny_model("llama", seed=1), **options)
        assert torch.equal(assisted, model.generate(ids, **options))


def test_a_row_shorter_than_its_own_direction_is_an_error_unless_truncated(model):
    plans = [plan_of_rows("prompt_front", rows) for rows in (3, 5, 5, 2)]  # of prompts of 3, 5, 4 and 6 tokens
    with pytest.raises(InvalidInputError, match="prompt 2 has 4 tokens, but the vector steers the first 5"):
        with steer(model, plans):
            model.generate(**BATCH, **GREEDY)
    run = lambda: model.generate(**BATCH, **GREEDY)
    seen = witness(model, PLACE, steer(model, plans, truncate=True), run)
    assert seen.steered_columns == [[3, 4, 5], [1, 2, 3, 4, 5], [2, 3, 4, 5], [0, 1]]
