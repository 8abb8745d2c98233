"""Prompts: texts as token ids, BOS first, checked against what the model can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError
from vectorstore.extract.positions import PAD_TOKEN, ReadPosition
from vectorstore.models.context import check_ids, context_length
from vectorstore.models.tokenizer import leading_ids, text_ids, token_ids
from vectorstore.pairs import ContrastPair


@dataclass(frozen=True)
class Prompt:
    """One text as the model sees it.

    Attributes:
        ids: its token ids.
        first: index of the first token after BOS; 0 where the tokenizer puts no BOS.
        what: how messages call it, `the positive prompt of pair 3`.
    """

    ids: tuple[int, ...]
    first: int
    what: str

    def read_at(self, position: ReadPosition) -> range:
        """Return the positions that are read."""
        return position.positions(self.first, len(self.ids))


def encode_pairs(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[ContrastPair]) -> tuple[Prompt, ...]:
    """Return positive, negative, positive, negative… in the order of `pairs`."""
    first = len(leading_ids(tokenizer))
    rows = token_ids(tokenizer, [text for pair in pairs for text in (pair.positive, pair.negative)])
    return tuple(
        Prompt(ids, first, f"the {('positive', 'negative')[index % 2]} prompt of pair {index // 2 + 1}")
        for index, ids in enumerate(rows)
    )


def pad_with_token(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], pad_token: str) -> tuple[Prompt, ...]:
    """Lengthen all to the longest, on the right, with the one token of `pad_token`; it counts as text.

    Raises:
        InvalidInputError: when padding is needed, and `pad_token` is not exactly one token.
    """
    longest = max(len(prompt.ids) for prompt in prompts)
    if all(len(prompt.ids) == longest for prompt in prompts):
        return tuple(prompts)
    pad = text_ids(tokenizer, pad_token)
    if len(pad) != 1:
        raise InvalidInputError(
            f"the padding {pad_token!r} is {len(pad)} tokens for this tokenizer, and one is needed",
            f"give another text of exactly one token with {PAD_TOKEN.option} (Python: params={{'pad_token': …}})",
        )
    return tuple(replace(prompt, ids=prompt.ids + pad * (longest - len(prompt.ids))) for prompt in prompts)


def check_prompts(model: PreTrainedModel, prompts: Sequence[Prompt], position: ReadPosition) -> None:
    """Check that each prompt has tokens to read that the model knows, and fits the model's context.

    Raises:
        InvalidInputError: naming the first prompt that does not.
    """
    context = context_length(model)
    for prompt in prompts:
        if not prompt.ids or not prompt.read_at(position):
            raise InvalidInputError(f"{prompt.what} has no tokens", "write a prompt that is more than white space")
        if context is not None and len(prompt.ids) > context:
            raise InvalidInputError(
                f"{prompt.what} has {len(prompt.ids)} tokens, and the model takes {context}", "shorten the prompt"
            )
        check_ids(model, prompt.ids)
