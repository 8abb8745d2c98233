"""A direction with a row per position goes to the front, middle or back of a prompt as its authors' hooks have it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from tests.hooks.probe import add_plan, direction_of, witness
from tests.hooks.test_rows import BATCH, PROMPTS
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.hooks.steer import steer
from vectorstore.models.layers import decoder_layers
from vectorstore.part import PlanTerm
from vectorstore.place import Place
from vectorstore.plan import Plan, Step, sum_steps
from vectorstore.tokens import BY_POSITION, first_position

PLACE = Place("resid_pre", 1)
GREEDY = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
LOCATIONS = {"front": "prompt_front", "mid": "prompt_middle", "back": "prompt_back"}


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


class Published:
    """`hook_fn_from_activations` of hook_utils.py in montemac/activation_additions, for one text without padding."""

    def __init__(self, model, layer, location, added):
        self.block, self.location, self.added = decoder_layers(model)[layer], location, added

    def __enter__(self):
        self.handle = self.block.register_forward_pre_hook(self.hook, with_kwargs=True)

    def __exit__(self, *_):
        self.handle.remove()

    def hook(self, _block, args, kwargs):
        hidden = (args[0] if args else kwargs["hidden_states"]).clone()
        length, rows = hidden.shape[1], self.added.shape[0]
        if length == 1:
            return None
        middle, half = length // 2, rows // 2
        where = {
            "front": slice(0, rows),
            "mid": slice(middle - half, middle + (rows - half)),
            "back": slice(-rows, None),
        }[self.location]
        hidden[:, where] += self.added
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})


def results(model, ids):
    """Return the logits of a bare forward pass, and what is generated."""
    ids = torch.tensor([ids])
    with torch.no_grad():
        return model(ids).logits[0], model.generate(ids, **GREEDY)[0].tolist()


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("architecture", ["gpt2", "opt", "llama", "gemma2", "gpt_neox"])
def test_it_is_what_the_authors_hooks_do(architecture, location):
    model = tiny_model(architecture)
    for length in range(2, 8):
        ids = [1, *np.random.default_rng(length).integers(4, 50, length - 1).tolist()]
        for rows in range(1, length + 1):
            added = 5 * direction_of(32, rows, seed=rows)
            with Published(model, 1, location, added):
                expected, written = results(model, ids)
            with steer(model, add_plan(PLACE, added, LOCATIONS[location])):
                logits, tokens = results(model, ids)
            torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
            assert tokens == written


@pytest.mark.parametrize("tokens", BY_POSITION)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_row_is_what_the_text_is_alone(model, tokens, side):
    plan = add_plan(PLACE, 5 * direction_of(32, 3), tokens)
    width = max(map(len, PROMPTS))
    padded = [[0] * (width - len(ids)) + ids if side == "left" else ids + [0] * (width - len(ids)) for ids in PROMPTS]
    real = [[int(bool(token)) for token in ids] for ids in padded]
    with torch.no_grad(), steer(model, plan):
        logits = model(torch.tensor(padded), attention_mask=torch.tensor(real)).logits
        for row, ids in enumerate(PROMPTS):
            mine = logits[row, width - len(ids) :] if side == "left" else logits[row, : len(ids)]
            torch.testing.assert_close(mine, model(torch.tensor([ids])).logits[0], atol=1e-5, rtol=1e-4)


def test_each_row_of_a_batch_has_its_own_place_and_number_of_rows(model):
    plans = [
        add_plan(PLACE, direction_of(32, 2), "prompt_back"),
        add_plan(PLACE, direction_of(32, 4), "prompt_middle"),
        add_plan(PLACE, direction_of(32, 1), "prompt_back"),
        add_plan(PLACE, direction_of(32, 3), "prompt_back"),
    ]
    seen = witness(model, PLACE, steer(model, plans), lambda: model.generate(**BATCH, **GREEDY))
    assert seen.steered_columns == [[4, 5], [1, 2, 3, 4], [5], [3, 4, 5]]
    assert torch.equal(seen.after[0][3, 3:6], seen.before[0][3, 3:6] + direction_of(32, 3))


@pytest.mark.parametrize("options", [{"num_beams": 2}, {"num_return_sequences": 2, "do_sample": True}])
@pytest.mark.parametrize(
    ("tokens", "columns"),
    [("prompt_middle", [[3, 4, 5], [2, 3, 4], [3, 4, 5], [2, 3, 4]]), ("prompt_back", [[3, 4, 5]] * 4)],
)
def test_beams_and_returned_sequences_are_steered_where_their_prompt_is(model, options, tokens, columns):
    plan = add_plan(PLACE, direction_of(32, 3), tokens)
    seen = witness(model, PLACE, steer(model, plan), lambda: model.generate(**BATCH, **{**GREEDY, **options}))
    assert seen.steered_columns == [row for row in columns for _ in range(2)]


@pytest.mark.parametrize(("tokens", "columns"), [("prompt_middle", [1, 2, 3]), ("prompt_back", [2, 3, 4])])
def test_a_prompt_that_is_run_in_parts_by_hand_is_steered_as_in_one_pass(model, tokens, columns):
    ids, plan = torch.tensor(PROMPTS[1:2]), add_plan(PLACE, 5 * direction_of(32, 3), tokens)

    def parts(*ends):
        cache, start, logits = DynamicCache(), 0, None
        for end in ends:
            logits, start = model(ids[:, start:end], past_key_values=cache).logits[0, -1], end
        for token in (7, 8):
            model(torch.tensor([[token]]), past_key_values=cache)
        return logits

    seen = witness(model, PLACE, steer(model, plan, prompt_length=5), lambda: parts(2, 3, 5))
    assert seen.steered_columns == [columns]
    with torch.no_grad(), steer(model, plan, prompt_length=5):
        torch.testing.assert_close(parts(1, 4, 5), parts(5), atol=1e-5, rtol=1e-4)


def test_what_is_in_the_cache_counts_as_prompt_and_is_not_steered(model):
    ids, cache = torch.tensor(PROMPTS[1:2]), DynamicCache()
    with torch.no_grad():
        model(ids[:, :3], past_key_values=cache)
    plan = add_plan(PLACE, direction_of(32, 3), "prompt_back")
    seen = witness(model, PLACE, steer(model, plan), lambda: model.generate(ids, past_key_values=cache, **GREEDY))
    assert torch.equal(seen.after[0][0], seen.before[0][0] + direction_of(32, 3)[1:])


@pytest.mark.parametrize(("tokens", "word"), [("prompt_middle", "middle"), ("prompt_back", "last")])
def test_a_prompt_shorter_than_the_vector_is_an_error_unless_truncated(model, tokens, word):
    plan = add_plan(PLACE, direction_of(32, 5), tokens)
    with pytest.raises(InvalidInputError, match=f"prompt 0 has 3 tokens, but the vector steers the {word} 5; use a"):
        with steer(model, plan):
            model.generate(**BATCH, **GREEDY)
    seen = witness(model, PLACE, steer(model, plan, truncate=True), lambda: model(**BATCH))
    first = {"prompt_middle": 1, "prompt_back": 2}[tokens]
    assert torch.equal(seen.after[0][0, 3:], seen.before[0][0, 3:] + direction_of(32, 5)[first : first + 3])


@pytest.mark.parametrize("tokens", BY_POSITION)
def test_a_sum_is_its_parts_one_after_another(model, tokens):
    rows = [direction_of(32, count, seed=count).numpy() for count in (1, 4, 3, 2)]
    apart = Plan(tuple(Step("add", PLACE, tokens, each) for each in rows))
    parts = [PlanTerm(tokens=tokens, factors={PLACE: 1}, directions={PLACE: each}) for each in rows]
    (together,) = sum_steps(parts)
    assert together.direction.shape == (4, 32)
    for ids in PROMPTS[1:]:
        with torch.no_grad():
            with steer(model, apart):
                expected = model(torch.tensor([ids])).logits
            with steer(model, Plan((together,))):
                torch.testing.assert_close(model(torch.tensor([ids])).logits, expected, atol=1e-5, rtol=1e-5)


def test_a_direction_that_just_fits_begins_at_the_first_position():
    for tokens in BY_POSITION:
        for rows in range(1, 9):
            assert first_position(tokens, rows, rows) == 0
            assert all(0 <= first_position(tokens, rows, n) <= n - rows for n in range(rows, 12))
