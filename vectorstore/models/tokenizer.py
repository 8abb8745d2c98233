"""Tokenise as steering needs it: BOS first, once, and nothing after the text.

The first position is an attention sink. Where no BOS takes it, the first word of the text does, and every difference
of activations is spoilt there. Many tokenizers add none (SmolLM2, Qwen, GPT-2, GPT-NeoX). Others end every text with
EOS (T5, or `add_eos_token=True`): the last token would be EOS instead of a word, and a prompt is over before the model
has gone on from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from tokenizers import Tokenizer
from tokenizers.processors import ByteLevel, PostProcessor, RobertaProcessing, TemplateProcessing
from tokenizers.processors import Sequence as Processors
from transformers import BatchEncoding, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError

Ids = tuple[int, ...]

_END_OF_TEXT = "<|endoftext|>"
_TURN_MARKERS = ("<|im_start|>", "<|im_end|>")
_SAMPLES = ("a word", "The other")


def prepare(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make a plain call put BOS first and nothing last; pad on the left with a token that exists; no token types.

    A plain call doubles the BOS of a text that brings its own, as some chat templates do; `encode` does not.
    """
    tokenizer.padding_side = "left"
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    before, after = _added(tokenizer)
    if _is_no_beginning(tokenizer, before) and (bos := bos_token(tokenizer)) is not None:
        _add_only(tokenizer, (tokenizer.get_vocab()[bos],))
    elif after:
        _add_only(tokenizer, before)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or bos_token(tokenizer) or tokenizer.unk_token


def require_bos(tokenizer: PreTrainedTokenizerBase) -> None:
    """Check that the tokenizer puts BOS first, unless it has nothing that could be one.

    Raises:
        InvalidInputError: when it does not, as those of GPT-2, Qwen and SmolLM2 before `prepare`.
    """
    if first_id(tokenizer) is None and bos_token(tokenizer) is not None:
        raise InvalidInputError(
            "the tokenizer does not put BOS first",
            "call vectorstore.models.tokenizer.prepare(tokenizer), or load with load_model()",
        )


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> BatchEncoding:
    """Return the `token_ids` of `texts`, padded on the left where they differ in length.

    Returns:
        `input_ids` and `attention_mask`, both `[batch, tokens]`.
    """
    rows = token_ids(tokenizer, texts)
    longest = max(map(len, rows), default=0)
    pad = tokenizer.pad_token_id or 0  # masked, so any id that exists will do
    ids = torch.tensor([[pad] * (longest - len(row)) + [*row] for row in rows], dtype=torch.long)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], dtype=torch.long)
    return BatchEncoding({"input_ids": ids, "attention_mask": mask})


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Ids]:
    """Return the ids of each text: what the tokenizer puts first (see `leading_ids`), once, then the text alone.

    A text that brings its own BOS, as some chat templates do, keeps that one, and loses white space before it.
    """
    leading = leading_ids(tokenizer)
    written = str(tokenizer.convert_ids_to_tokens(leading[0])) if leading else ""
    return [_with_leading(tokenizer, text, leading, written) for text in texts]


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> Ids:
    """Return the ids of `text` alone."""
    return tuple(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def leading_ids(tokenizer: PreTrainedTokenizerBase) -> Ids:
    """Return what a plain call puts before any text: BOS, nothing, or with some (GLM) two tokens."""
    return _added(tokenizer)[0]


def first_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the id that a plain call puts before any text, or None where it puts none."""
    return next(iter(leading_ids(tokenizer)), None)


def bos_token(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return the token that ought to come first: the tokenizer's own BOS, or the end of text as in GPT-2.

    A marker of chat turns is no beginning of a text (SmolLM2 calls `<|im_start|>` its BOS, and was trained on texts
    that `<|endoftext|>` separates).
    """
    end_of_text = _END_OF_TEXT if _END_OF_TEXT in tokenizer.get_vocab() else None
    if tokenizer.bos_token in _TURN_MARKERS:
        return end_of_text or tokenizer.bos_token
    return tokenizer.bos_token or end_of_text or tokenizer.eos_token


def _is_no_beginning(tokenizer: PreTrainedTokenizerBase, leading: Ids) -> bool:
    """Say whether it is nothing, or a marker of chat turns, as transformers 4 puts before texts of a GGUF file."""
    return all(token in _TURN_MARKERS for token in tokenizer.convert_ids_to_tokens(list(leading)))


def _with_leading(tokenizer: PreTrainedTokenizerBase, text: str, leading: Ids, written: str) -> Ids:
    stripped = text.lstrip()
    if not written or not stripped.startswith(written):
        return (*leading, *text_ids(tokenizer, text))
    ids = text_ids(tokenizer, stripped)  # not without `written`: what follows it may be split otherwise at the start
    own = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(ids, leading, strict=False)))
    return (*leading, *ids[own:])


def _added(tokenizer: PreTrainedTokenizerBase) -> tuple[Ids, Ids]:
    """Return what a plain call puts before any text, and after it."""
    found = {_around(tuple(tokenizer(text)["input_ids"]), text_ids(tokenizer, text)) for text in _SAMPLES}
    return found.pop() if len(found) == 1 else ((), ())


def _around(plain: Ids, bare: Ids) -> tuple[Ids, Ids]:
    for start in range(len(plain) - len(bare) + 1):
        end = start + len(bare)
        if bare and plain[start:end] == bare:
            return plain[:start], plain[end:]
    return plain[:1], ()  # the text left no trace


def _add_only(tokenizer: PreTrainedTokenizerBase, leading: Ids) -> None:
    """Make a plain call put `leading` first, and nothing else anywhere."""
    backend: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        tokenizer.build_inputs_with_special_tokens = lambda one, other=None: [*leading, *one, *(other or ())]
        return
    tokens = [str(tokenizer.convert_ids_to_tokens(number)) for number in leading]
    special = list(dict(zip(tokens, leading, strict=True)).items())
    template = TemplateProcessing(single=[*tokens, "$A"], pair=[*tokens, "$A", "$B:1"], special_tokens=special)
    backend.post_processor = Processors([*_of_offsets(backend.post_processor), template])


def _of_offsets(processor: PostProcessor | None) -> list[PostProcessor]:
    """Return what of the post-processor adds no tokens: the trimming of offsets in byte-level tokenizers."""
    if isinstance(processor, Processors):
        return [part for inner in processor for part in _of_offsets(inner)]  # type: ignore[attr-defined]
    if isinstance(processor, RobertaProcessing):
        return [ByteLevel(add_prefix_space=processor.add_prefix_space, trim_offsets=processor.trim_offsets)]
    return [processor] if isinstance(processor, ByteLevel) else []
