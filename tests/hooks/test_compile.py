"""Compiled models are steered as others are, and are not compiled again for another plan, coefficient or batch.

Compilations are counted by the backend, which is called once for each graph: a break would make two of one.
"""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import CompileConfig

from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.hooks.probe import add_plan, direction_of
from tests.hooks.test_gate import gate
from tests.hooks.test_operators import LEFT, NAMES, RIGHT, step
from tests.hooks.test_rows import BATCH, plans_at
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError
from vectorstore.hooks.contrast import contrast
from vectorstore.hooks.contrast_plan import ContrastPlan
from vectorstore.hooks.steer import steer
from vectorstore.models.layers import site_widths
from vectorstore.place import SITES, Place
from vectorstore.plan import Plan
from vectorstore.tokens import BY_POSITION

pytestmark = [
    # dynamo itself does this where transformers 4.57 makes a mask
    pytest.mark.filterwarnings("ignore:.*Function.*should not be instantiated:DeprecationWarning"),
    pytest.mark.no_cover,  # tracing makes compiling take half as long again
]

PLACE, LATER = Place("resid_pre", 1), Place("resid_post", 1)
PLAN = Plan((step("add"), step("keepnorm", LATER, seed=1)))
OTHER = Plan((step("ablate", seed=2), step("add", LATER, "last", seed=3)))
SOME = [Plan((step("add", seed=4), step("clamp", LATER, seed=5))), None]


class Backend:
    """Runs graphs as they are, and counts them and the steered places in each."""

    def __init__(self):
        self.steered = []

    def __call__(self, graph, _inputs):
        self.steered.append(sum("vectorstore.steered" in str(node.target) for node in graph.graph.nodes))
        return graph.forward

    @property
    def count(self):
        return len(self.steered)

    def __deepcopy__(self, _):  # generate copies its settings
        return self


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def wrapped(model, backend):
    return torch.compile(model, backend=backend)


def in_place(model, backend):
    model.compile(backend=backend)
    return model


def forward(model, backend):
    model.forward = torch.compile(model.forward, backend=backend)
    return model


def call(model, backend):
    return torch.compile(model.__call__, backend=backend)


WAYS = [wrapped, in_place, forward, call]


@torch.no_grad()
def logits(model, inputs=LEFT):
    return model(**inputs, use_cache=False).logits


def steered(plan, inputs=LEFT, model=None):
    """Return what a model gives under `plan` without being compiled."""
    model = model or tiny_model("llama")
    with steer(model, plan):
        return logits(model, inputs)


def close(one, other):
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_a_model_compiled_before_is_compiled_once_more_and_then_never_again(way):
    model, backend = tiny_model("llama"), Backend()
    unsteered = logits(model)
    compiled = way(model, backend)
    close(logits(compiled), unsteered)
    assert backend.steered == [0]
    for _ in range(3):
        with steer(model, PLAN) as steering:
            close(logits(compiled), steered(PLAN))
            for plan in (OTHER, SOME, PLAN):
                steering.change(plan)
                close(logits(compiled), steered(plan))
            for number in (0.5, -2, 0):
                steering.coefficient = number
                scaled = tiny_model("llama")
                with steer(scaled, PLAN) as other:
                    other.coefficient = number
                    close(logits(compiled), logits(scaled))
        close(logits(compiled), unsteered)
    assert backend.steered == [0, 2], "one graph without steered places, and one with two"
    assert not counters["graph_break"]


@pytest.mark.parametrize("way", WAYS)
def test_a_model_compiled_inside_the_block_is_steered_there_and_not_after_it(way):
    model, backend = tiny_model("llama"), Backend()
    unsteered = logits(model)
    before = model.__dict__.get("forward")
    with steer(model, PLAN):
        compiled = way(model, backend)
        close(logits(compiled), steered(PLAN))
        assert backend.steered == [2]
    if way is forward:  # what was assigned inside the block is the user's
        assert model.__dict__["forward"] is not before
    close(logits(compiled), unsteered)
    with steer(model, OTHER):
        close(logits(compiled), steered(OTHER))


def test_the_wrapped_model_itself_may_be_given_to_steer():
    model, backend = tiny_model("llama"), Backend()
    compiled = wrapped(model, backend)
    with steer(compiled, PLAN):
        close(logits(compiled), steered(PLAN))
        assert torch.equal(compiled.generate(**LEFT, max_new_tokens=4), model.generate(**LEFT, max_new_tokens=4))
    assert "forward" not in model.__dict__


def test_the_whole_model_is_one_graph_where_that_is_asked_for():
    model, backend = tiny_model("llama"), Backend()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    with steer(model, PLAN):
        close(logits(compiled), steered(PLAN))
    assert backend.steered == [2]


@pytest.mark.parametrize("way", WAYS)
def test_nested_blocks_share_an_operation_at_each_place(way):
    model, backend = tiny_model("llama"), Backend()
    compiled = way(model, backend)
    with steer(model, PLAN), steer(model, OTHER):
        close(logits(compiled), steered(Plan((*PLAN.steps, *OTHER.steps))))
    with steer(model, OTHER):
        with steer(model, PLAN):
            close(logits(compiled), steered(Plan((*OTHER.steps, *PLAN.steps))))
        close(logits(compiled), steered(OTHER))
    assert backend.steered == [2]


def test_other_places_are_compiled_once_more_and_found_again():
    model, backend = tiny_model("llama"), Backend()
    compiled = wrapped(model, backend)
    further = Plan((*PLAN.steps, step("add", Place("mlp_out", 0))))
    for _ in range(2):
        with steer(model, PLAN) as steering:
            close(logits(compiled), steered(PLAN))
            steering.change(further)
            close(logits(compiled), steered(further))
            steering.change(OTHER)
            close(logits(compiled), steered(OTHER))
    assert backend.steered == [2, 3]


@pytest.mark.parametrize("architecture", ["gpt2", "opt", "gemma2"])
def test_every_site_is_steered_in_one_graph(architecture):
    model, backend = tiny_model(architecture), Backend()
    widths = site_widths(model)
    plan = Plan(tuple(step("add", Place(site, 1), width=widths[site]) for site in SITES))
    compiled = wrapped(model, backend)
    logits(compiled)
    with steer(model, plan):
        close(logits(compiled), steered(plan, model=tiny_model(architecture)))
    assert backend.steered == [0, 5]


def test_every_operator_kind_of_tokens_gate_and_row_runs_through_the_same_graph():
    model, backend = tiny_model("llama"), Backend()
    compiled = wrapped(model, backend)
    plans = [Plan((step(name, LATER, tokens),)) for name in NAMES for tokens in ("all", "last", *BY_POSITION)]
    plans += [Plan((gate(step("add", LATER), threshold, Place("resid_post", 1)),)) for threshold in (-1e6, 0.0, 1e6)]
    plans += [[plans[0], None], [plans[7], plans[20]]]
    with steer(model, plans[0]) as steering:
        for plan in plans:
            steering.change(plan)
            close(logits(compiled), steered(plan))
            close(logits(compiled, RIGHT), steered(plan, RIGHT))
    assert backend.count == 1


def test_rows_of_their_own_are_what_they_are_without_compiling():
    model, backend = tiny_model("llama"), Backend()
    compiled = in_place(model, backend)
    with steer(model, plans_at()):
        close(logits(compiled, BATCH), steered(plans_at(), BATCH))
    assert backend.count == 1


@pytest.mark.parametrize("way", [in_place, forward])
def test_generate_runs_through_compiled_code_with_a_static_cache(way):
    model, backend = tiny_model("llama"), Backend()
    compiled = way(model, backend)
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "cache_implementation": "static"}
    options["disable_compile"] = True  # generate's own, which is another test
    plain = tiny_model("llama")
    halved = lambda index: 0.5**index
    assert torch.equal(compiled.generate(**LEFT, **options), plain.generate(**LEFT, **options))
    counts = []
    for plan, schedule in ((PLAN, None), (PLAN, halved), (SOME, None), (PLAN, halved)):
        with steer(model, plan, schedule=schedule), steer(plain, plan, schedule=schedule):
            assert torch.equal(compiled.generate(**LEFT, **options), plain.generate(**LEFT, **options))
        counts.append(backend.count)
    assert counts == counts[:1] * 4
    assert not counters["graph_break"]


def test_what_generate_compiles_by_itself_is_steered():
    backend = Backend()
    config = CompileConfig(backend=backend, mode=None)
    config._compile_all_devices = True  # it does so on GPUs alone, otherwise
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "cache_implementation": "static"}
    model, plain = tiny_model("llama"), tiny_model("llama")
    for plan in (Plan(), PLAN, OTHER, Plan(), PLAN):
        with steer(model, plan), steer(plain, plan):
            ours = model.generate(**LEFT, **options, compile_config=config)
            assert torch.equal(ours, plain.generate(**LEFT, **options, disable_compile=True))
    assert backend.steered == [0, 2]


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # inductor's own
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_other_backends_give_the_same(backend):
    small = lambda: tiny_model("llama", num_hidden_layers=2)
    model = small()
    compiled = torch.compile(model, backend=backend)
    with steer(model, PLAN) as steering:
        for plan in (PLAN, OTHER, SOME):
            steering.change(plan)
            close(logits(compiled), steered(plan, model=small()))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_gradients_of_a_compiled_model_are_those_of_the_model(backend):
    plan = Plan((step("add"), step("keepnorm", LATER, seed=1), step("ablate", Place("mlp_out", 2), "last", seed=2)))
    gradients = []
    for compile_it in (False, True):
        model = tiny_model("llama").train()
        run = torch.compile(model, backend=backend) if compile_it else model
        with steer(model, plan) as steering:
            first = run(**LEFT, use_cache=False).logits.square().mean()
            steering.coefficient = 1
            steering.change(Plan((step("add", seed=8), step("piecewise", LATER, seed=9), *plan.steps[2:])))
            (first + run(**RIGHT, use_cache=False).logits.square().mean()).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4)


def test_a_tensor_that_is_trained_cannot_steer_a_compiled_model_and_says_so():
    model = tiny_model("llama")
    compiled = torch.compile(model, backend="eager")
    with pytest.raises(InvalidInputError, match="a tensor cannot steer a compiled model"):
        with steer(model, add_plan(PLACE, direction_of(32)), tensors={PLACE: torch.nn.Parameter(torch.zeros(32))}):
            compiled(**LEFT)


@pytest.mark.parametrize("way", WAYS)
def test_afterwards_the_model_is_as_it_was_and_is_not_kept(way):
    model, backend = tiny_model("llama"), Backend()
    compiled = way(model, backend)
    before = dict(model.__dict__)
    config = torch._dynamo.config.get_config_copy()
    with steer(model, PLAN):
        logits(compiled)
        assert dict(model.__dict__) != before
    assert dict(model.__dict__) == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch._dynamo.config.get_config_copy() == config
    kept = weakref.ref(model)
    del model, compiled, before
    torch._dynamo.reset()
    gc.collect()
    assert kept() is None


def test_a_forward_that_somebody_put_there_meanwhile_stays_theirs():
    model = tiny_model("llama")
    with steer(model, PLAN):
        ours = model.forward
        model.forward = lambda *args, **kwargs: ours(*args, **kwargs)  # noqa: PLW0108 - another object
        theirs = model.forward
    assert model.forward is theirs
    assert torch.equal(logits(model), logits(tiny_model("llama")))


@pytest.mark.parametrize("way", [wrapped, in_place, forward])
def test_contrast_vectors_refuse_compiled_models(way):
    compiled = way(tiny_model("llama"), Backend())
    plan = ContrastPlan(" Be kind.", " Be rude.", [1])
    with pytest.raises(InvalidInputError, match="contrast vectors cannot steer a compiled model"):
        with contrast(compiled, tiny_tokenizer(), plan):
            pytest.fail("it was steered")
