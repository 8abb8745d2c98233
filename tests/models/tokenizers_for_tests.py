"""Small tokenizers, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import CTRLTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

WORDS = ("a", "word", "The", "other", "hello", "there")


def fast(*specials: str, template: str = "", words: Sequence[str] = WORDS, **roles: str) -> PreTrainedTokenizerBase:
    """Return a tokenizer of whole words whose first ids are `specials`.

    `template` is as `<s> $A`; `roles` say which special token is `bos`, `eos` and `pad`.
    """
    vocabulary = {token: number for number, token in enumerate((*specials, "<unk>", *words))}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106 - no password
    backend.pre_tokenizer = WhitespaceSplit()
    if template:
        used = [(token, vocabulary[token]) for token in specials if token in template]
        backend.post_processor = TemplateProcessing(single=template, pair=f"{template} $B", special_tokens=used)
    backend.add_special_tokens(list(specials))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{role}_token": token for role, token in roles.items()}
    )


def slow(folder: Path) -> PreTrainedTokenizerBase:
    """Return a tokenizer in plain Python, which has no post-processor."""
    vocabulary = {token: number for number, token in enumerate(("<unk>", "<s>", *WORDS))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CTRLTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), bos_token="<s>")  # noqa: S106
