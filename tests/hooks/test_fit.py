"""A plan that does not fit the model, or a prompt that does not suit the plan, is one clear error."""

from __future__ import annotations

import warnings

import pytest
import torch

from tests.builders import make_card, make_vector
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.hooks.probe import add_plan, direction_of, witness
from tests.tiny_models import tiny_model
from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.hooks.fit import CompatibleModelWarning
from vectorstore.hooks.steer import steer
from vectorstore.models.identity import Origin, identify, remember
from vectorstore.place import Place
from vectorstore.plan import Plan, Step, plan_of

IDS = torch.tensor([[1, 5, 9, 23, 7]])
PLACE = Place("resid_pre", 1)


def plan_for(model, *, bos=None, **changes):
    vector = make_vector(1, width=32)
    fields = {**identify(model).to_json(), "bos_token_id": bos, **changes}
    return plan_of(vector, make_card(vector, model=type(identify(model))(**fields)))


def test_a_vector_of_this_very_model_steers_without_a_word():
    model = tiny_model()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with steer(model, plan_for(model)):
            model(IDS)


def test_other_weights_of_the_same_shape_warn_with_both_names():
    model = tiny_model()
    plan = plan_for(tiny_model(seed=1), reference="acme/tuned")
    with pytest.warns(CompatibleModelWarning, match=r"acme/tuned, which has other weights"), steer(model, plan):
        model(IDS)


def test_the_same_weights_with_another_vocabulary_warn_of_it():
    model = tiny_model()
    remember(model, Origin("here", None, tiny_tokenizer()))
    plan = plan_for(model, tokenizer_digest=f"sha256:{'b' * 64}")
    with pytest.warns(CompatibleModelWarning, match="which has another vocabulary than here"), steer(model, plan):
        model(IDS)


def test_another_width_never_passes():
    model = tiny_model(hidden_size=64)
    plan = plan_for(tiny_model())
    for force in (False, True):
        with pytest.raises(MisfitError, match="3 layers of width 32"), steer(model, plan, force=force):
            model(IDS)


def test_another_architecture_of_the_same_size_needs_force():
    model = tiny_model("mistral")
    plan = plan_for(tiny_model("llama"))
    with pytest.raises(MisfitError, match="--force"), steer(model, plan):
        model(IDS)
    with pytest.warns(CompatibleModelWarning):
        seen = witness(model, PLACE, steer(model, plan, force=True), lambda: model(IDS))
    assert seen.steered_columns == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("place", [Place("resid_pre", 3), Place("resid_pre", 99)])
def test_a_layer_the_model_has_not_is_a_misfit(place):
    with (
        pytest.raises(MisfitError, match="3 layers of width 32"),
        steer(tiny_model(), add_plan(place, direction_of(32))),
    ):
        pass


def test_a_direction_of_another_width_is_a_misfit():
    with pytest.raises(MisfitError, match="width 8"), steer(tiny_model(), add_plan(PLACE, direction_of(8))):
        pass


def test_an_operator_that_is_not_there_is_named_before_anything_is_hooked():
    model = tiny_model()
    plan = Plan((Step("no_such_operator", PLACE, "all", direction_of(32).numpy()),))
    with pytest.raises(InvalidInputError, match="there is no operator 'no_such_operator'"), steer(model, plan):
        pass
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert "generate" not in model.__dict__


def test_a_prompt_without_the_bos_of_the_vector_is_an_error():
    model = tiny_model()
    plan = plan_for(model, bos=1)
    with steer(model, plan):
        model(IDS)
        model.generate(IDS, max_new_tokens=2, do_sample=False)
        with pytest.raises(InvalidInputError, match=r"prompt 0 begins with token 5, .* BOS \(token 1\)"):
            model(IDS[:, 1:])
        with pytest.raises(InvalidInputError, match="prompt 1 begins with token 9"):
            model(torch.tensor([[1, 5], [9, 1]]))


def test_bos_is_looked_for_after_left_padding():
    model = tiny_model()
    padded = {"input_ids": torch.tensor([[0, 0, 1, 5]]), "attention_mask": torch.tensor([[0, 0, 1, 1]])}
    with steer(model, plan_for(model, bos=1)):
        model(**padded)
        model.generate(**padded, max_new_tokens=2, do_sample=False)


def test_embeddings_instead_of_ids_are_steered_too():
    model = tiny_model()
    embeds = model.get_input_embeddings()(IDS)
    seen = witness(model, PLACE, steer(model, plan_for(model, bos=1)), lambda: model(inputs_embeds=embeds))
    assert seen.steered_columns == [[0, 1, 2, 3, 4]]
    run = lambda: model.generate(inputs_embeds=embeds, max_new_tokens=2, do_sample=False)
    seen = witness(model, PLACE, steer(model, add_plan(PLACE, direction_of(32), "prompt")), run)
    assert seen.steered_columns == [[0, 1, 2, 3, 4]]


def test_generate_from_nothing_begins_with_bos_and_steers_it():
    model = tiny_model()
    run = lambda: model.generate(max_new_tokens=2, min_new_tokens=2, do_sample=False)
    assert witness(model, PLACE, steer(model, add_plan(PLACE, direction_of(32))), run).steered_columns == [[0, 1]]


def test_a_model_called_without_inputs_says_so():
    model = tiny_model()
    with pytest.raises(InvalidInputError, match="without input_ids"), steer(model, add_plan(PLACE, direction_of(32))):
        model()


def test_something_that_is_no_cache_says_so():
    model = tiny_model()
    with pytest.raises(InvalidInputError, match="str is no cache"), steer(model, add_plan(PLACE, direction_of(32))):
        model(IDS, past_key_values="x")


def test_forced_vectors_of_another_bos_ask_for_the_models_own():
    model = tiny_model("mistral")
    plan = plan_for(tiny_model("llama"), bos=1)
    with pytest.warns(CompatibleModelWarning), steer(model, plan, force=True):
        model(IDS[:, 1:])


def test_a_direction_that_overflows_the_models_dtype_is_an_error():
    model = tiny_model().half()
    with pytest.raises(InvalidInputError, match=r"resid_pre\.1 is larger than torch.float16 holds"):
        with steer(model, add_plan(PLACE, 1e6 * direction_of(32))):
            model(IDS)
