"""What a card says about a model, from the model itself."""

from __future__ import annotations

from functools import partial

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import vectorstore
from vectorstore.extract.residual import residual_norms
from vectorstore.formats.known_model import KnownModel
from vectorstore.models.identity import identify
from vectorstore.models.tokenizer import require_bos


def measured(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> KnownModel:
    """Return what a card says about `model`; R is measured when it is asked for.

    Raises:
        InvalidInputError: for a tokenizer that has a BOS token and does not put it first.
    """
    require_bos(tokenizer)
    versions = {"torch": str(torch.__version__), "transformers": transformers.__version__}
    return KnownModel(
        identity=identify(model, tokenizer),
        residual_norms=partial(residual_norms, model, tokenizer),
        versions={**versions, "vectorstore": vectorstore.__version__},
    )
