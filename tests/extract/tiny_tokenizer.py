"""A tokenizer of letters for the tiny models: one token per character, BOS first unless told otherwise."""

from __future__ import annotations

import string

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
CHARACTERS = f" .,'{string.ascii_letters}"
IDS = {token: number for number, token in enumerate((*SPECIAL.values(), *CHARACTERS))}
BOS = IDS["<bos>"]
SPACE = IDS[" "]


def tiny_tokenizer(*, bos: bool = True, spaces: bool = True, padding_side: str = "right") -> PreTrainedTokenizerFast:
    """Return the tokenizer; without `bos` it has no token for it, without `spaces` white space is no token at all."""
    tokenizer = Tokenizer(models.WordLevel(IDS, SPECIAL["unk_token"]))
    letters = pre_tokenizers.Split(Regex("."), "isolated")
    words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), letters])
    tokenizer.pre_tokenizer = letters if spaces else words
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing("<bos> $A", None, [("<bos>", BOS)])
    roles = SPECIAL if bos else {role: SPECIAL[role] for role in ("pad_token", "unk_token")}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side=padding_side, **roles)


def ids_of(text: str) -> list[int]:
    """Return BOS and an id per character, without the tokenizer."""
    return [BOS, *(IDS[character] for character in text)]
