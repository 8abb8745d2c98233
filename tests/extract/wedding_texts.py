"""Sentences about weddings, to train on and to hold out, and how well the demo model foretells them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.hooks import steer
from vectorstore.plan import Plan
from vectorstore.texts import Target

WEDDINGS = tuple(
    map(
        Target,
        (
            "The bride walked down the aisle with her father.",
            "They exchanged rings under an arch of white roses.",
            "Her sister gave a toast to the happy couple.",
            "The wedding cake had three tiers and sugar flowers.",
            "After the vows, the guests threw rice at the newlyweds.",
            "The groom danced with his mother at the reception.",
            "We chose the church because my parents were married there.",
            "The bridesmaids wore pale blue dresses.",
            "Their honeymoon in Italy began the day after the ceremony.",
            "The photographer asked the families to stand behind the couple.",
            "She tossed her bouquet over her shoulder to her friends.",
            "He proposed to her on the beach, and she said yes.",
        ),
    )
)
OTHERS = (
    "The couple wrote their own vows for the ceremony.",
    "My cousin is getting married in the garden in June.",
    "The bride's veil was made by her grandmother.",
    "The band played while the newlyweds cut the cake.",
    "Our best man forgot the rings at the hotel.",
    "They sent out a hundred wedding invitations.",
    "The groom cried when he saw her in her white dress.",
    "The reception lasted until three in the morning.",
)


@torch.no_grad()
def entropy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, plan: Plan | None, texts: Sequence[str] = OTHERS
) -> float:
    """Return the cross-entropy per token of the texts after `<|endoftext|>`, in nats, unpadded."""
    found = []
    with nullcontext() if plan is None else steer(model, plan):
        for text in texts:
            ids = torch.tensor([0, *tokenizer(text, add_special_tokens=False)["input_ids"]])
            found.append(cross_entropy(model(ids[None]).logits[0, :-1], ids[1:], reduction="none"))
    return float(torch.cat(found).mean())
