"""The demo model, loaded once."""

from __future__ import annotations

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.models import load_model


@pytest.fixture(scope="session")
def demo() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Give the demo model and its tokenizer."""
    return load_model("demo")
