"""Contrast vectors are what the authors' three streams make of each input, row by row, with a cache and without."""

from __future__ import annotations

import inspect
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from tests.extract.test_weights import Demo
from tests.extract.tiny_tokenizer import BOS, IDS, ids_of, tiny_tokenizer
from tests.hooks.probe import add_plan, direction_of, witness
from tests.tiny_models import ARCHITECTURES, tiny_model
from vectorstore.errors import InvalidInputError, VectorstoreError
from vectorstore.evaluate.propensity import next_token_mass
from vectorstore.hooks import steer
from vectorstore.hooks.contrast import contrast
from vectorstore.hooks.contrast_plan import ContrastPlan
from vectorstore.models.layers import decoder_layers
from vectorstore.place import Place

DEMO = json.loads((Path(__file__).parents[2] / "cli" / "data" / "demo.json").read_text())
PROMPTS_OF_DEMO, GOOD_WORDS, BAD_WORDS = (
    DEMO[each] for each in ("sentiment_prompts", "positive_words", "negative_words")
)
GOOD, BAD = " so nice", " not nice at all"
PLAN = ContrastPlan(GOOD, BAD, layers=(0, 1, 2), coefficient=0.8, tail=2)
PROMPTS = ["the film was", "a dog", "we went on our way"]
ANSWERS = [" good", " very bad", " ok"]
GREEDY = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
RECORDED = {"output_logits": True, "return_dict_in_generate": True}


def oracle(model, ids, inserted, steered, plan=PLAN):
    """Return the logits of one text `[tokens, vocabulary]`: no padding, no cache, each stream run anew for each layer.

    The instructions stand before the token `inserted`, and so many tokens at the end are `steered`.
    """
    changes = {}
    told = [[*ids[:inserted], *ids_of(text)[1:], *ids[inserted:]] for text in (plan.positive, plan.negative)]
    for layer in plan.layers:
        after = [_pass(model, each, changes)[1][layer] for each in told]
        changes[layer] = plan.coefficient * (after[0][:, -steered:] - after[1][:, -steered:])
    return _pass(model, ids, changes)[0]


def _pass(model, ids, changes):
    seen, handles = {}, []

    def hook(layer):
        def of_layer(_module, _args, output):
            hidden = (output if isinstance(output, torch.Tensor) else output[0]).clone()
            seen[layer] = hidden.clone()
            if layer in changes:
                hidden[:, -changes[layer].shape[1] :] += changes[layer]
            return hidden if isinstance(output, torch.Tensor) else type(output)((hidden, *output[1:]))

        return of_layer

    for layer, module in enumerate(decoder_layers(model)):
        handles.append(module.register_forward_hook(hook(layer)))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    for handle in handles:
        handle.remove()
    return logits, seen


def batch_of(rows, side="left"):
    longest = max(map(len, rows))
    pads = [[0] * (longest - len(row)) for row in rows]
    ids = [[*pad, *row] if side == "left" else [*row, *pad] for row, pad in zip(rows, pads, strict=True)]
    mask = [[0] * len(pad) + [1] * len(row) for row, pad in zip(rows, pads, strict=True)]
    mask = mask if side == "left" else [each[::-1] for each in mask]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def questions_and_answers():
    """Return prompts padded on the left and answers on the right, side by side, and the columns of the prompts."""
    prompts, answers = batch_of([ids_of(text) for text in PROMPTS]), batch_of([ids_of(a)[1:] for a in ANSWERS], "right")
    joined = {name: torch.cat((prompts[name], answers[name]), dim=1) for name in prompts}
    return joined, prompts["input_ids"].shape[1]


def positions(mask):
    return {"position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0)}


def takes_positions(model):
    return "position_ids" in inspect.signature(model.forward).parameters


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


def test_it_is_the_authors_forward(model):
    """Their loop over the layers of a Llama: three streams, each batch padded by itself, in lock-step."""
    inputs, columns = questions_and_answers()
    with torch.no_grad(), contrast(model, tiny_tokenizer(), PLAN, prompt_length=columns):
        steered = model(**inputs).logits
    told = []
    for text in ("", GOOD, BAD):
        tails = [ids_of(prompt)[-2:] for prompt in PROMPTS]
        prompts = batch_of([[*ids_of(p)[:-2], *ids_of(text)[1:], *t] for p, t in zip(PROMPTS, tails, strict=True)])
        answers = batch_of([ids_of(answer)[1:] for answer in ANSWERS], "right")
        told.append({name: torch.cat((prompts[name], answers[name]), dim=1) for name in prompts})
    last = inputs["input_ids"].shape[1] - columns + PLAN.tail
    expected = lock_step(model, told, last, PLAN)
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(steered[real], expected[real], atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        assert (model(**inputs).logits - expected)[real].abs().max() > 0.05


def lock_step(model, told, last, plan):
    """`forward_contrast_vector`: every layer runs each stream; a control layer adds the difference to all three."""
    inner = model.model
    streams = [inner.embed_tokens(each["input_ids"]) for each in told]
    masks, rotations = [], []
    for each, hidden in zip(told, streams, strict=True):
        length = hidden.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool).tril() & each["attention_mask"].bool()[:, None, :]
        seen |= torch.eye(length, dtype=torch.bool)
        masks.append(torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[:, None])
        rotations.append(inner.rotary_emb(hidden, torch.arange(length)[None]))  # padding counted, as theirs is
    with torch.no_grad():
        for number, layer in enumerate(inner.layers):
            streams = [
                layer(hidden, attention_mask=mask, position_embeddings=rotation)
                for hidden, mask, rotation in zip(streams, masks, rotations, strict=True)
            ]
            if number in plan.layers:
                change = plan.coefficient * (streams[1][:, -last:] - streams[2][:, -last:])
                for hidden in streams:
                    hidden[:, -last:] += change
        return model.lm_head(inner.norm(streams[0]))


@pytest.mark.parametrize(
    ("architecture", "at"),
    [*((name, "end") for name in ARCHITECTURES), *((name, "front") for name in ("llama", "mpt"))],
)
def test_a_scored_batch_of_any_architecture_is_what_each_text_is_alone(architecture, at):
    model = tiny_model(architecture)
    plan = ContrastPlan(GOOD, BAD, (0, 2), 0.8, tail=2, at=at)
    inputs, columns = questions_and_answers()
    extra = positions(inputs["attention_mask"]) if takes_positions(model) else {}
    with torch.no_grad(), contrast(model, tiny_tokenizer(), plan, prompt_length=columns):
        steered = model(**inputs, **extra).logits
    for row, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
        ids = [*ids_of(prompt), *ids_of(answer)[1:]]
        inserted = 1 if at == "front" else len(ids_of(prompt)) - 2
        expected = oracle(model, ids, inserted, len(answer) + 2, plan)
        real = inputs["attention_mask"][row].bool()
        torch.testing.assert_close(steered[row][real], expected, atol=2e-5, rtol=1e-3)
        with torch.no_grad():
            assert (model(torch.tensor([ids])).logits[0] - expected).abs().max() > 1e-4


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt", "bloom", "gemma2", "qwen3_moe", "openai-gpt"])
@pytest.mark.parametrize("tail", [0, 3])
def test_generate_goes_on_as_three_streams_that_all_get_the_new_tokens(architecture, use_cache, tail):
    model = tiny_model(architecture)
    if not is_padded_well(model):
        pytest.skip("this transformers counts padding as positions here, unsteered too")
    check_generate(model, ContrastPlan(GOOD, BAD, (0, 1), 0.8, tail=tail), use_cache=use_cache)


def is_padded_well(model):
    """Say whether `generate` gives a padded prompt, unsteered, what it gives it alone; not with GPT-1 in version 4."""
    batch, alone = (
        model.generate(**batch_of([ids_of(text) for text in texts]), **GREEDY, **RECORDED).logits[0][0]
        for texts in (PROMPTS, PROMPTS[:1])
    )
    return torch.allclose(batch, alone, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("architecture", ["gemma2", "gemma3_text", "gpt_oss", "smollm3"])
def test_one_control_layer_among_kinds_of_attention_that_alternate_is_enough(architecture, layer):
    """The streams stop after it, so that the cache of other kinds of layers may never be filled."""
    model = tiny_model(architecture, sliding_window=4) if architecture != "smollm3" else tiny_model(architecture)
    check_generate(model, ContrastPlan(GOOD, BAD, (layer,), 0.8, tail=2), use_cache=True)


def check_generate(model, plan, *, use_cache):
    inputs = batch_of([ids_of(text) for text in PROMPTS])
    with contrast(model, tiny_tokenizer(), plan):
        found = model.generate(**inputs, **GREEDY, **RECORDED, use_cache=use_cache)
    for row, prompt in enumerate(PROMPTS):
        ids = ids_of(prompt)
        inserted = len(ids) - plan.tail
        for logits in found.logits:
            steered = len(ids) - inserted
            expected = oracle(model, ids, inserted, steered, plan)[-1] if steered else _pass(model, ids, {})[0][-1]
            torch.testing.assert_close(logits[row], expected, atol=2e-5, rtol=1e-3)
            ids.append(int(found.sequences[row, len(ids) - len(ids_of(prompt)) - 4]))


@pytest.mark.parametrize("use_cache", [True, False])
def test_sampled_rows_of_one_prompt_go_each_their_own_way(model, use_cache):
    inputs = batch_of([ids_of(text) for text in PROMPTS[:2]])
    torch.manual_seed(0)
    options = {**GREEDY, **RECORDED, "do_sample": True, "num_return_sequences": 3, "use_cache": use_cache}
    with contrast(model, tiny_tokenizer(), PLAN):
        found = model.generate(**inputs, **options)
    assert len({tuple(row.tolist()) for row in found.sequences}) > 3
    for row, sequence in enumerate(found.sequences):
        prompt = ids_of(PROMPTS[row // 3])
        ids = [*prompt, *sequence[inputs["input_ids"].shape[1] :].tolist()]
        expected = oracle(model, ids, len(prompt) - 2, len(ids) - len(prompt) + 2)[len(prompt) - 1 : -1]
        torch.testing.assert_close(torch.stack([each[row] for each in found.logits]), expected, atol=2e-5, rtol=1e-3)


def test_beams_go_without_a_cache_and_not_with_one(model):
    inputs = batch_of([ids_of(text) for text in PROMPTS])
    with contrast(model, tiny_tokenizer(), PLAN):
        with pytest.raises(InvalidInputError, match="the 2 beams of a search exchange what is in the cache"):
            model.generate(**inputs, **GREEDY, num_beams=2)
        together = model.generate(**inputs, **GREEDY, num_beams=2, use_cache=False)[:, -4:]
        for row, text in enumerate(PROMPTS):
            alone = model.generate(torch.tensor([ids_of(text)]), **GREEDY, num_beams=2, use_cache=False)[:, -4:]
            assert torch.equal(together[row : row + 1], alone)


def test_a_decode_loop_by_hand_goes_on_where_the_prompt_ended(model):
    prompt, rest = ids_of("the film was"), ids_of(" good")[1:]
    cache = DynamicCache()
    with torch.no_grad(), contrast(model, tiny_tokenizer(), PLAN, prompt_length=len(prompt)):
        logits = [
            model(torch.tensor([tokens]), past_key_values=cache).logits[0] for tokens in (prompt, rest[:2], rest[2:])
        ]
    expected = oracle(model, prompt + rest, len(prompt) - 2, len(rest) + 2)
    torch.testing.assert_close(torch.cat(logits), expected, atol=2e-5, rtol=1e-3)


def test_each_text_of_a_block_is_one_of_its_own(model):
    order = (*PROMPTS, PROMPTS[0])
    with torch.no_grad(), contrast(model, tiny_tokenizer(), PLAN):
        found = [model(torch.tensor([ids_of(prompt)])).logits[0] for prompt in order]
    for prompt, logits in zip(order, found, strict=True):
        torch.testing.assert_close(logits, oracle(model, ids_of(prompt), len(prompt) - 1, 2), atol=2e-5, rtol=1e-3)


def test_swapping_the_instructions_is_the_opposite_coefficient_to_a_bit(model):
    inputs, columns = questions_and_answers()
    swapped = ContrastPlan(GOOD, " bad and", PLAN.layers, -0.8, 2), ContrastPlan(" bad and", GOOD, PLAN.layers, 0.8, 2)
    both = []
    for plan in swapped:
        with torch.no_grad(), contrast(model, tiny_tokenizer(), plan, prompt_length=columns):
            both.append(model(**inputs).logits)
    assert torch.equal(*both)


def test_a_coefficient_of_zero_changes_no_bit_and_any_other_none_before_the_tail(model):
    inputs, columns = questions_and_answers()
    with torch.no_grad():
        unsteered = model(**inputs).logits
        with contrast(model, tiny_tokenizer(), ContrastPlan(GOOD, BAD, (1,), 0.0), prompt_length=columns):
            assert torch.equal(model(**inputs).logits, unsteered)
        with contrast(model, tiny_tokenizer(), PLAN, prompt_length=columns):
            steered = model(**inputs).logits
    touched, real = (steered != unsteered).any(dim=-1), inputs["attention_mask"].bool()
    assert not touched[:, : columns - 2].any()
    assert touched[:, columns - 2 :][real[:, columns - 2 :]].all()


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_padding_is_not_steered(model, layer):
    inputs, columns = questions_and_answers()
    plan = ContrastPlan(GOOD, BAD, (layer,), 0.8)
    steering = contrast(model, tiny_tokenizer(), plan, prompt_length=columns)
    seen = witness(model, Place("resid_post", layer), steering, lambda: model(**inputs))
    expected = inputs["attention_mask"].bool() & (torch.arange(inputs["input_ids"].shape[1]) >= columns)
    assert torch.equal((seen.after[-1] != seen.before[-1]).any(dim=-1), expected)


def test_in_a_half_precision_model_the_difference_is_taken_in_its_dtype():
    model = tiny_model("llama").to(torch.bfloat16)
    with torch.no_grad(), contrast(model, tiny_tokenizer(), PLAN):
        steered = model(torch.tensor([ids_of("the film was")])).logits[0]
    expected = oracle(model, ids_of("the film was"), 11, 2)
    assert steered.dtype == torch.bfloat16
    torch.testing.assert_close(steered, expected, atol=0.02, rtol=0.05)


def test_gradients_flow_through_the_input_and_not_through_what_it_was_told():
    model = tiny_model("llama")
    with contrast(model, tiny_tokenizer(), PLAN):
        model(torch.tensor([ids_of("the film was")])).logits.sum().backward()
    gradient = model.model.embed_tokens.weight.grad
    assert gradient[IDS["f"]].any()
    assert not gradient[IDS["n"]].any(), "only the instructions have it"


def test_afterwards_the_model_is_as_it_was(model):
    ids = torch.tensor([ids_of("a dog")])
    before = model(ids).logits
    with (
        pytest.raises(InvalidInputError, match="tail"),
        contrast(model, tiny_tokenizer(), ContrastPlan("a", "b", (1,), 1, 9)),
    ):
        model(ids)
    assert torch.equal(model(ids).logits, before)
    assert "generate" not in model.__dict__
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_plan_is_json_and_back():
    assert PLAN.to_json() == {
        "positive": GOOD,
        "negative": BAD,
        "layers": [0, 1, 2],
        "coefficient": 0.8,
        "tail": 2,
        "at": "end",
    }
    assert ContrastPlan.from_json(PLAN.to_json()) == PLAN
    assert ContrastPlan.from_json({**PLAN.to_json(), "coefficient": 1}).coefficient == 1
    assert ContrastPlan("a", "b", range(4, 0, -2)).layers == (2, 4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"positive": BAD}, "both instructions are the same"),
        ({"layers": []}, r"these are no layers: \[\]"),
        ({"layers": [-1]}, r"these are no layers: \[-1\]"),
        ({"layers": ["1"]}, "has a layers that is not a whole number"),
        ({"coefficient": float("nan")}, "coefficient"),
        ({"coefficient": "much"}, "has a coefficient that is not a finite number"),
        ({"tail": -1}, "tail -1, which is negative"),
        ({"at": "middle"}, "no instruction stands at 'middle'"),
        ({"strength": 1}, "has an unknown part 'strength'"),
    ],
)
def test_what_is_no_plan_is_one_line(change, says):
    with pytest.raises(VectorstoreError, match=says) as caught:
        ContrastPlan.from_json({**PLAN.to_json(), **change})
    assert "\n" not in str(caught.value)


def test_a_coefficient_that_is_no_number_and_a_negative_tail_are_errors():
    for wrong in ({"coefficient": float("inf")}, {"tail": -1}):
        with pytest.raises(InvalidInputError):
            ContrastPlan("a", "b", (1,), **wrong)


IDS_OF_DOG = torch.tensor([ids_of("a dog")])


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda model: model(torch.tensor([[BOS]])), "prompt 0 has 0 tokens, and the plan's tail 2"),
        (lambda model: model(**batch_of([ids_of("a dog"), ids_of("a")], "right")), "prompt 1 has 1 tokens"),
        (lambda model: model(**batch_of([ids_of("a dog"), ids_of("cat")], "right")), "prompt 1 ends in padding"),
        (lambda model: model.generate(IDS_OF_DOG, **GREEDY, prefill_chunk_size=3), "the prompt has 6 columns, and the"),
        (lambda model: model(inputs_embeds=torch.zeros(1, 4, 32)), "contrast vectors need the text's tokens"),
        (lambda model: model.model(IDS_OF_DOG), "a layer ran outside of LlamaForCausalLM"),
        (lambda model: model(torch.tensor([[*ids_of("a dog"), *[5] * 110]])), "the model takes 128"),
    ],
)
def test_what_cannot_be_steered_is_told(model, run, says):
    with pytest.raises(InvalidInputError, match=says), contrast(model, tiny_tokenizer(), PLAN):
        run(model)


def test_a_cache_that_was_filled_elsewhere_is_told(model):
    cache = DynamicCache()
    model(IDS_OF_DOG, past_key_values=cache)
    says = "the cache holds 6 columns of 1 rows, of which the two instructions have run 0"
    with pytest.raises(InvalidInputError, match=says), contrast(model, tiny_tokenizer(), PLAN):
        model(torch.tensor([[7]]), past_key_values=cache)


def test_it_does_not_go_with_another_block(model):
    block, plan = contrast(model, tiny_tokenizer(), PLAN), add_plan(Place("resid_pre", 1), direction_of(32))
    for outer, inner in itertools.permutations(
        [lambda: contrast(model, tiny_tokenizer(), PLAN), lambda: steer(model, plan)]
    ):
        with outer(), pytest.raises(InvalidInputError, match="steer one model at once"), inner():
            model(IDS_OF_DOG)
    with (
        block,
        pytest.raises(InvalidInputError, match="steer one model at once"),
        contrast(model, tiny_tokenizer(), PLAN),
    ):
        pytest.fail("two at once")


def test_a_model_or_layer_that_is_not_there_is_told(model):
    with pytest.raises(InvalidInputError, match="layer 3 is out of range"):
        contrast(model, tiny_tokenizer(), ContrastPlan("a", "b", (1, 3))).__enter__()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    without_bos = tiny_tokenizer(bos=False)
    without_bos.add_special_tokens({"bos_token": "<bos>"})
    with pytest.raises(InvalidInputError, match="does not put BOS first"):
        contrast(model, without_bos, PLAN).__enter__()


@pytest.mark.weights
def test_on_real_weights_each_prompt_moves_the_way_it_is_told_and_the_other_way_when_they_are_swapped(demo: Demo):
    model, tokenizer = demo
    told = "I loved everything about it. ", "I hated everything about it. "
    unrelated = "The train leaves from platform two. ", "The report has a table at the end. "

    def log_odds(positive, negative, coefficient=0.25):
        plan = ContrastPlan(positive, negative, tuple(range(0, 30, 2)), coefficient, tail=1, at="front")
        with contrast(model, tokenizer, plan):
            good, bad = next_token_mass(model, tokenizer, PROMPTS_OF_DEMO, GOOD_WORDS, BAD_WORDS)
        return np.log(good) - np.log(bad)

    unsteered = log_odds(*told, coefficient=0.0)
    up, down, other = (log_odds(*pair) - unsteered for pair in (told, told[::-1], unrelated))
    assert up.min() > 1
    assert down.max() < -1
    assert abs(other.mean()) < 1
