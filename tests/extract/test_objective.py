"""The objective is the cross-entropy of the target's own tokens, on every architecture, as plain torch has it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.tiny_models import ARCHITECTURES, tiny_model
from vectorstore.card import MethodUse
from vectorstore.errors import InvalidInputError
from vectorstore.extract.objective import Objective, objective_of
from vectorstore.extract.protocols import Request
from vectorstore.hooks import steer
from vectorstore.place import Place
from vectorstore.plan import Plan, Step
from vectorstore.texts import Target
from vectorstore.tokens import Tokens

DATA = (Target("the cat sat", "So "), Target("a dog"), Target("yes", "Is it so, he asked. "))
PLACES = (Place("attn_out", 0), Place("mlp_out", 1))
USE = MethodUse("a test", "1")


def objective(architecture: str = "llama", **settings: object) -> Objective:
    request = Request(PLACES, USE, batch_size=2)
    return objective_of(tiny_model(architecture), tiny_tokenizer(), DATA, request, **settings)


def shifts(*leading: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(*leading, 32, generator=generator) for _ in PLACES]


def plain(model: torch.nn.Module, target: Target) -> Tensor:
    """Return the summed cross-entropy of the target after its prompt, one text at a time, unpadded."""
    prompt, ids = ids_of(target.prompt), ids_of(target.prompt + target.target)
    logits = model(torch.tensor([ids])).logits[0]
    return cross_entropy(logits[len(prompt) - 1 : -1], torch.tensor(ids[len(prompt) :]), reduction="sum")


def plan(tokens: Tokens, directions: Sequence[Tensor]) -> Plan:
    steps = zip(PLACES, directions, strict=True)
    return Plan(tuple(Step("add", place, tokens, direction.numpy()) for place, direction in steps))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_it_is_the_cross_entropy_of_the_steered_model(architecture: str):
    ours, added = objective(architecture), shifts()
    found = ours.total(range(3), added)
    with steer(ours.model, plan("all", added)):
        expected = sum(plain(ours.model, target) for target in DATA)
    unsteered = sum(plain(ours.model, target) for target in DATA)
    assert abs(found - unsteered) > 1e-4 * unsteered
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@torch.no_grad()
def test_a_model_that_keeps_all_logits_gives_the_same(monkeypatch: pytest.MonkeyPatch):
    ours = objective("gpt2")
    found = ours.total(range(3), shifts())
    forward = ours.model.forward
    monkeypatch.setattr(ours.model, "forward", lambda **inputs: forward(**inputs))  # noqa: PLW0108 - its signature names nothing
    torch.testing.assert_close(ours.total(range(3), shifts()), found, rtol=1e-6, atol=0)


@pytest.mark.parametrize("architecture", ["llama", "opt"])
@torch.no_grad()
def test_at_the_first_token_it_is_steering_the_front(architecture: str):
    ours, added = objective(architecture, front=True), shifts()
    with steer(ours.model, plan("prompt_front", [each[None] for each in added])):
        expected = sum(plain(ours.model, target) for target in DATA)
    torch.testing.assert_close(ours.total(range(3), added), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("architecture", ["llama", "opt", "mixtral"])
def test_copies_that_share_passes_are_each_as_alone(architecture: str):
    ours, copies = objective(architecture), shifts(5)
    found = ours.means(range(3), copies)
    alone = [ours.mean(range(3), [each[number] for each in copies]) for number in range(5)]
    torch.testing.assert_close(found, torch.tensor(alone, dtype=torch.float64), rtol=1e-5, atol=0)
    assert len({round(value, 4) for value in alone}) == 5


def test_the_mean_is_over_tokens_not_over_texts():
    ours, none = objective(), [torch.zeros(32), torch.zeros(32)]
    counts = [len(target.target) for target in DATA]
    expected = float(sum(plain(ours.model, target) for target in DATA).detach()) / sum(counts)
    assert ours.tokens(range(3)) == sum(counts)
    assert ours.mean(range(3), none) == pytest.approx(expected, rel=1e-5)


def test_batches_hold_texts_of_about_one_length():
    assert list(objective().batches([2, 0, 1])) == [[1, 0], [2]]


@torch.no_grad()
def test_the_tokens_that_greedy_decoding_gets_right_are_told():
    model = tiny_model()
    ids = torch.tensor([ids_of("So ")])
    written = model.generate(ids, max_new_tokens=4, do_sample=False, attention_mask=torch.ones_like(ids))[0].tolist()
    ours = objective_of(model, tiny_tokenizer(), DATA[:1], Request(PLACES, USE))
    prompt = ours.prompts[0]
    wrong = [*written[:-1], (written[-1] + 1) % 64]
    for ids_, expected in ((written, [True] * 4), (wrong, [True, True, True, False])):
        other = Objective(model, (type(prompt)(tuple(ids_), 1, 4, 0, True, 0, "a"),), PLACES, 8)
        assert other.predicted([0], [torch.zeros(32)] * 2).right.tolist() == expected


def test_a_lone_first_token_cannot_be_a_target():
    with pytest.raises(InvalidInputError, match="target 1 is one token that nothing comes before"):
        objective_of(tiny_model(), tiny_tokenizer(bos=False), [Target("a")], Request(PLACES, USE))


def test_a_target_longer_than_the_context_is_an_error():
    with pytest.raises(InvalidInputError, match="target 1 has 201 tokens, and the model takes 128"):
        objective_of(tiny_model(), tiny_tokenizer(), [Target("a" * 200)], Request(PLACES, USE))
