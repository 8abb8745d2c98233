"""Threads: models steered apart do not meet; one model is steered by one thread at a time, and says so."""

from __future__ import annotations

from threading import Barrier, Event, Thread

import pytest
import torch
from transformers import TextIteratorStreamer

from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.hooks.probe import add_plan, direction_of
from tests.hooks.test_operators import GREEDY, LEFT, step
from tests.tiny_models import tiny_model
from vectorstore.errors import ConflictError, InvalidInputError
from vectorstore.hooks.steer import steer
from vectorstore.place import Place
from vectorstore.plan import Plan

PLACE = Place("resid_pre", 1)
PLAN = add_plan(PLACE, direction_of(32))
IN_TWO = "two threads steer one model at once"


class Work(Thread):
    """A thread that keeps what its work returned or raised."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.result, self.error = work, None, None
        self.start()

    def run(self):
        try:
            self.result = self.work()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def outcome(self):
        self.join(timeout=60)
        assert not self.is_alive()
        if self.error:
            raise self.error
        return self.result


def logits(model, **options):
    options = {**GREEDY, **options, "output_logits": True, "return_dict_in_generate": True}
    return torch.stack(model.generate(**LEFT, **options).logits)


def test_two_models_steered_in_two_threads_do_not_meet():
    models = [tiny_model("llama", seed=seed) for seed in range(2)]
    plans = [Plan((step("add", seed=seed), step("ablate", seed=seed + 2))) for seed in range(2)]
    alone = []
    for model, plan in zip(models, plans, strict=True):
        with steer(model, plan):
            alone.append(logits(model, max_new_tokens=20, min_new_tokens=20))
    barrier = Barrier(2)

    def run(number):
        with steer(models[number], plans[number]):
            barrier.wait(60)  # both blocks are open
            result = logits(models[number], max_new_tokens=20, min_new_tokens=20)
            barrier.wait(60)
        return result

    together = [work.outcome() for work in [Work(lambda number=number: run(number)) for number in range(2)]]
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_block_of_the_main_thread_steers_what_a_worker_generates():
    model, tokenizer = tiny_model("llama"), tiny_tokenizer()
    with steer(model, PLAN):
        expected = model.generate(**LEFT, **GREEDY)
        assert torch.equal(Work(lambda: model.generate(**LEFT, **GREEDY)).outcome(), expected)
        ids = LEFT["input_ids"][1:]
        streamer = TextIteratorStreamer(tokenizer, timeout=60)
        worker = Work(lambda: model.generate(ids, **GREEDY, streamer=streamer))
        text = "".join(streamer)
        assert text == tokenizer.decode(worker.outcome()[0])
        assert torch.equal(model.generate(**LEFT, **GREEDY), expected)


class Held:
    """Holds a model's pass inside its first layer until it is let go."""

    def __init__(self, model):
        self.inside, self.go = Event(), Event()
        self.handle = model.model.layers[0].register_forward_hook(self.hold)

    def hold(self, *_):
        self.inside.set()
        assert self.go.wait(60)


@pytest.mark.parametrize("first", ["generate", "bare"])
@pytest.mark.parametrize("second", ["generate", "bare"])
def test_a_second_thread_that_runs_the_model_meanwhile_is_told_and_the_first_goes_on(first, second):
    model = tiny_model("llama")
    runs = {"generate": lambda: logits(model), "bare": lambda: model(**LEFT).logits}
    with steer(model, PLAN):
        expected = runs[first]()
        held = Held(model)
        worker = Work(runs[first])
        assert held.inside.wait(60)
        with pytest.raises(ConflictError, match=IN_TWO):
            runs[second]()
        held.go.set()
        assert torch.equal(worker.outcome(), expected)
        held.handle.remove()
        assert torch.equal(runs[first](), expected)


def test_between_two_tokens_of_a_generation_the_model_belongs_to_its_thread():
    class Streamer:
        def __init__(self):
            self.inside, self.go = Event(), Event()

        def put(self, _):
            self.inside.set()
            assert self.go.wait(60)

        def end(self): ...

    model, streamer, ids = tiny_model("llama"), Streamer(), LEFT["input_ids"][1:]
    with steer(model, PLAN):
        expected = model.generate(ids, **GREEDY)
        worker = Work(lambda: model.generate(ids, **GREEDY, streamer=streamer))
        assert streamer.inside.wait(60)
        with pytest.raises(ConflictError, match=IN_TWO):
            model(**LEFT)
        streamer.go.set()
        assert torch.equal(worker.outcome(), expected)


def test_a_second_thread_cannot_open_a_block_while_the_first_has_one():
    model = tiny_model("llama")

    def run():
        with steer(model, PLAN):
            return logits(model)

    with steer(model, PLAN):
        expected = logits(model)
        with pytest.raises(ConflictError, match=IN_TWO):
            Work(run).outcome()
        assert torch.equal(logits(model), expected)
    assert torch.equal(Work(run).outcome(), expected), "once it has ended, the other may"
    assert "generate" not in model.__dict__
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_pass_that_failed_gives_the_turn_back():
    model = tiny_model("llama")
    with steer(model, PLAN):
        for wrong in ({}, {"input_ids": torch.tensor([[10_000]])}):
            with pytest.raises(Exception, match=r"input_ids|index out of range"):
                model(**wrong)
        assert Work(lambda: model(**LEFT).logits).outcome() is not None


def test_a_generation_that_was_interrupted_gives_the_turn_back_and_leaves_no_pass():
    def interrupt(*_):
        raise KeyboardInterrupt

    model = tiny_model("llama")
    with steer(model, PLAN):
        expected = model(**LEFT).logits
        handle = model.model.layers[2].register_forward_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.generate(**LEFT, **GREEDY)
        handle.remove()
        with pytest.raises(InvalidInputError, match="a layer ran outside"):
            model.model(**LEFT)
        assert torch.equal(Work(lambda: model(**LEFT).logits).outcome(), expected)


def test_gradients_may_be_taken_in_another_thread():
    model = tiny_model("llama")
    with steer(model, PLAN):
        loss = model(**LEFT).logits.sum()
        Work(loss.backward).outcome()
    assert model.model.layers[0].mlp.down_proj.weight.grad.abs().sum() > 0
