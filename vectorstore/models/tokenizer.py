"""Make a tokenizer put BOS first, and say what it puts there.

The first position is an attention sink. Where no BOS takes it, the first word of the text does, and every difference
of activations is spoilt there. Many tokenizers add none (SmolLM2, Qwen, GPT-2, GPT-NeoX); these are made to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tokenizers import Tokenizer
from tokenizers.processors import PostProcessor, TemplateProcessing
from tokenizers.processors import Sequence as Processors
from transformers import BatchEncoding, PreTrainedTokenizerBase

_END_OF_TEXT = "<|endoftext|>"
_TURN_MARKERS = ("<|im_start|>", "<|im_end|>")
_SAMPLES = ("a word", "The other")


def prepare(tokenizer: PreTrainedTokenizerBase) -> None:
    """Set the tokenizer up for steering: BOS first, a padding token, padding on the left, no token types.

    Texts that bring their own BOS, as some chat templates do, go through `encode`, or with `add_special_tokens=False`.
    """
    tokenizer.padding_side = "left"
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    if first_id(tokenizer) is None and (bos := bos_token(tokenizer)) is not None:
        _put_first(tokenizer, bos)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or bos_token(tokenizer) or tokenizer.unk_token


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> BatchEncoding:
    """Tokenise `texts` as the tokenizer does, with BOS once where a text begins with its characters already.

    Returns:
        `input_ids` and `attention_mask`, both `[batch, tokens]`.
    """
    bos = first_id(tokenizer)
    written = "" if bos is None else str(tokenizer.convert_ids_to_tokens(bos))
    rows: BatchEncoding = tokenizer([text.removeprefix(written) for text in texts], padding=True, return_tensors="pt")
    return rows


def first_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the id that a plain call puts before any text, or None where it puts none."""
    firsts = set()
    for text in _SAMPLES:
        plain, bare = tokenizer(text)["input_ids"], tokenizer(text, add_special_tokens=False)["input_ids"]
        firsts.add(plain[0] if plain and plain[:1] != bare[:1] else None)
    return firsts.pop() if len(firsts) == 1 else None


def bos_token(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return the token that ought to come first: the tokenizer's own BOS, or the end of text as in GPT-2.

    A marker of chat turns is no beginning of a text (SmolLM2 calls `<|im_start|>` its BOS, and was trained on texts
    that `<|endoftext|>` separates).
    """
    end_of_text = _END_OF_TEXT if _END_OF_TEXT in tokenizer.get_vocab() else None
    if tokenizer.bos_token in _TURN_MARKERS:
        return end_of_text or tokenizer.bos_token
    return tokenizer.bos_token or end_of_text or tokenizer.eos_token


def _put_first(tokenizer: PreTrainedTokenizerBase, bos: str) -> None:
    number = tokenizer.get_vocab()[bos]
    backend: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.post_processor = _with_bos(backend.post_processor, bos, number)
        return
    build: Callable[..., list[int]] = tokenizer.build_inputs_with_special_tokens
    tokenizer.build_inputs_with_special_tokens = lambda *ids: [number, *build(*ids)]


def _with_bos(existing: PostProcessor | None, bos: str, number: int) -> PostProcessor:
    single, pair = [bos, "$A"], [bos, "$A", "$B:1"]
    template = TemplateProcessing(single=single, pair=pair, special_tokens=[(bos, number)])
    return template if existing is None else Processors([existing, template])
