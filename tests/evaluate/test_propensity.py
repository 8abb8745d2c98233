"""Propensity does not depend on what else is in the batch."""

from __future__ import annotations

import numpy as np
import pytest

from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.tiny_models import tiny_model
from vectorstore.evaluate.propensity import next_token_mass

PROMPTS = ["a b c d e f g", "a", "c d e"]


@pytest.mark.parametrize("architecture", ["gpt2", "opt", "bloom", "llama", "gpt_neox", "mpt", "gpt_neo"])
def test_prompts_of_other_lengths_change_nothing(architecture: str):
    model, tokenizer = tiny_model(architecture), tiny_tokenizer()
    words = ["a", "b", "c"]
    together = next_token_mass(model, tokenizer, PROMPTS, words)
    alone = np.concatenate([next_token_mass(model, tokenizer, [prompt], words) for prompt in PROMPTS], axis=1)
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    assert len(set(together[0])) == 3
