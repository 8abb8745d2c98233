"""A fingerprint knows the weights, and nothing else."""

from __future__ import annotations

import gc
import hashlib
import struct
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.models.tokenizers_for_tests import fast
from tests.tiny_models import ARCHITECTURES, tiny_model
from vectorstore.models.identity import identify, tokenizer_digest
from vectorstore.models.tokenizer import prepare


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_fp32_and_bf16_loads_are_the_same_model(architecture: str):
    one, other = identify(tiny_model(architecture)), identify(tiny_model(architecture).bfloat16())
    assert one.fit(other) == "same"
    assert (one.dtype, other.dtype) == ("float32", "bfloat16")


def test_other_weights_are_compatible():
    assert identify(tiny_model(seed=0)).fit(identify(tiny_model(seed=1))) == "compatible"


def test_another_architecture_is_a_mismatch():
    assert identify(tiny_model("llama")).fit(identify(tiny_model("mistral"))) == "mismatch"


@pytest.mark.parametrize("change", ["in place", "by its data", "replaced", "loaded"])
def test_a_change_of_weights_is_noticed(change: str):
    model = tiny_model()
    before = identify(model).fingerprint
    weight = model.model.layers[1].mlp.down_proj.weight
    if change == "in place":
        with torch.no_grad():
            weight.add_(1)
    elif change == "by its data":
        weight.data.add_(1)
    elif change == "replaced":
        model.model.layers[1].mlp.down_proj.weight = nn.Parameter(weight.detach() + 1)
    else:
        model.load_state_dict(tiny_model(seed=1).state_dict())
    assert identify(model).fingerprint != before


def test_a_head_that_equals_the_embeddings_may_be_tied_or_not():
    tied, loose = tiny_model(tie_word_embeddings=True), tiny_model(tie_word_embeddings=False)
    loose.load_state_dict(tied.state_dict())
    assert identify(tied).fingerprint == identify(loose).fingerprint
    with torch.no_grad():
        loose.lm_head.weight.add_(1)
    assert identify(tied).fingerprint != identify(loose).fingerprint


@pytest.mark.parametrize("changed", ["nothing", "another dtype", "strides", "a part of a larger one", "few values"])
def test_a_fingerprint_is_the_digest_of_64_evenly_spaced_values_of_each_parameter(changed: str):
    model = tiny_model(vocab_size=67, tie_word_embeddings=False)  # 67 x 32 values, and 32 in a norm: not whole 64ths
    layer = model.model.layers[1].mlp
    weight = layer.up_proj.weight.detach()
    if changed == "another dtype":
        layer.bfloat16()
    elif changed == "strides":
        layer.up_proj.weight = nn.Parameter(weight.T.contiguous().T)
    elif changed == "a part of a larger one":
        layer.up_proj.weight = nn.Parameter(torch.cat((weight + 1, weight))[len(weight) :])
    elif changed == "few values":
        layer.register_parameter("scale", nn.Parameter(torch.randn(())))
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        flat = parameter.detach().flatten().bfloat16().view(torch.int16).tolist()
        chosen = flat if len(flat) < 64 else [flat[number * len(flat) // 64] for number in range(64)]
        digest.update(f"{name}{list(parameter.shape)}".encode() + struct.pack(f"<{len(chosen)}h", *chosen))
    assert identify(model).fingerprint == f"sha256:{digest.hexdigest()}"


def test_a_compiled_model_is_still_the_same():
    model = tiny_model()
    assert identify(torch.compile(model, backend="eager")) == identify(model)


def test_without_a_tokenizer_the_vocabulary_is_unknown():
    identity = identify(tiny_model())
    assert (identity.tokenizer_digest, identity.bos_token_id) == ("", None)


def test_with_a_tokenizer_the_identity_tells_its_vocabulary_and_its_bos():
    tokenizer = fast("<s>", bos="<s>")
    model = tiny_model()
    assert identify(model, tokenizer).bos_token_id is None
    prepare(tokenizer)
    identity = identify(model, tokenizer)
    assert identity.bos_token_id == 0
    assert identity.tokenizer_digest.startswith("sha256:")


def test_a_vocabulary_is_its_tokens_with_their_ids():
    tokenizer = fast("<s>")
    assert tokenizer_digest(tokenizer) == tokenizer_digest(fast("<s>"))
    assert tokenizer_digest(tokenizer) != tokenizer_digest(fast("<t>"))
    before = tokenizer_digest(tokenizer)
    tokenizer.add_tokens(["new"])
    assert tokenizer_digest(tokenizer) != before


def test_a_private_path_is_not_recorded(tmp_path: Path):
    folder = tmp_path / "my-model"
    tiny_model().save_pretrained(folder)
    model = tiny_model().from_pretrained(folder)
    assert identify(model).reference == "my-model"


def test_a_model_that_was_never_loaded_is_called_by_its_class():
    assert identify(tiny_model("gpt2")).reference == "GPT2LMHeadModel"


def test_nothing_keeps_a_model_in_memory():
    model = tiny_model()
    identify(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
