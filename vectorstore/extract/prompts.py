"""Prompts: the texts of items as token ids, BOS first, checked against what the model can take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError
from vectorstore.extract.params import Param
from vectorstore.extract.positions import PAD_TOKEN, Extent, ReadPosition
from vectorstore.items import Item, Passage
from vectorstore.models.chat import chat_prompt
from vectorstore.models.context import check_ids, context_length
from vectorstore.models.tokenizer import leading_ids, text_ids, token_ids

CHAT = Param("chat", False, "Put each text into the model's chat template, as a user's turn.", quiet=True)
POSITIVE_LABEL = Param("positive_label", "true", "The label to steer towards; all others are to steer away from.")
_POSITIVE = ("positive", "output", "target")


@dataclass(frozen=True)
class Prompt:
    """One text as the model sees it.

    Attributes:
        ids: its token ids.
        first: index of the first token after BOS; 0 where the tokenizer puts no BOS.
        answer: index of the first token after the item's prompt; `first` where there is none.
        item: index of the item it comes from.
        positive: whether it is what to steer towards.
        group: items that share a prompt have one number.
        what: how messages call it, `the positive prompt of pair 3`.
    """

    ids: tuple[int, ...]
    first: int
    answer: int
    item: int
    positive: bool
    group: int
    what: str

    def read_at(self, position: ReadPosition, params: Mapping[str, Any]) -> range:
        """Return the positions that are read."""
        return position.positions(Extent(self.first, self.answer, len(self.ids)), params)


def encode_items(
    tokenizer: PreTrainedTokenizerBase, items: Sequence[Item], params: Mapping[str, Any]
) -> tuple[Prompt, ...]:
    """Return every text of every item, in their order.

    With `params["chat"]` the item's prompt is the user's turn and the text begins the assistant's answer; a text
    without a prompt is the user's turn itself.
    """
    passages = [(index, passage) for index, item in enumerate(items) for passage in item.passages(index + 1)]
    chat = bool(params.get(CHAT.name, CHAT.default))
    befores = [_before(tokenizer, passage, chat=chat) for _, passage in passages]
    leads = dict(zip(dict.fromkeys(befores), token_ids(tokenizer, list(dict.fromkeys(befores))), strict=True))
    texts = [
        _whole(tokenizer, passage, before, chat=chat) for (_, passage), before in zip(passages, befores, strict=True)
    ]
    first = len(leading_ids(tokenizer))
    groups: dict[object, int] = {}
    return tuple(
        Prompt(
            ids,
            first,
            _common(ids, leads[before]) if before else first,
            index,
            _is_positive(passage.role, params),
            groups.setdefault(passage.prompt or index, len(groups)),
            passage.what,
        )
        for (index, passage), before, ids in zip(passages, befores, token_ids(tokenizer, texts), strict=True)
    )


def pad_with_token(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], pad_token: str) -> tuple[Prompt, ...]:
    """Lengthen each to the longest of its item, on the right, with the one token of `pad_token`; it counts as text.

    Raises:
        InvalidInputError: when padding is needed, and `pad_token` is not exactly one token.
    """
    longest: dict[int, int] = {}
    for prompt in prompts:
        longest[prompt.item] = max(longest.get(prompt.item, 0), len(prompt.ids))
    if all(len(prompt.ids) == longest[prompt.item] for prompt in prompts):
        return tuple(prompts)
    pad = text_ids(tokenizer, pad_token)
    if len(pad) != 1:
        raise InvalidInputError(
            f"the padding {pad_token!r} is {len(pad)} tokens for this tokenizer, and one is needed",
            f"give another text of exactly one token with {PAD_TOKEN.option} (Python: params={{'pad_token': …}})",
        )
    return tuple(replace(prompt, ids=prompt.ids + pad * (longest[prompt.item] - len(prompt.ids))) for prompt in prompts)


def check_prompts(
    model: PreTrainedModel, prompts: Sequence[Prompt], position: ReadPosition, params: Mapping[str, Any]
) -> None:
    """Check that each prompt has tokens to read that the model knows, and fits the model's context.

    Raises:
        InvalidInputError: naming the first prompt that does not.
    """
    context = context_length(model)
    for prompt in prompts:
        if not prompt.ids or (len(prompt.ids) <= prompt.first and not position.by_token):
            raise InvalidInputError(f"{prompt.what} has no tokens", "write a prompt that is more than white space")
        if not prompt.read_at(position, params):
            raise InvalidInputError(
                f"{prompt.what} has no token to read at {position.name}", "write a longer one, or read elsewhere"
            )
        if context is not None and len(prompt.ids) > context:
            raise InvalidInputError(
                f"{prompt.what} has {len(prompt.ids)} tokens, and the model takes {context}", "shorten the prompt"
            )
        check_ids(model, prompt.ids)


def _before(tokenizer: PreTrainedTokenizerBase, passage: Passage, *, chat: bool) -> str:
    return chat_prompt(tokenizer, passage.prompt, None) if chat and passage.prompt else passage.prompt


def _whole(tokenizer: PreTrainedTokenizerBase, passage: Passage, before: str, *, chat: bool) -> str:
    return before + passage.text if before or not chat else chat_prompt(tokenizer, passage.text, None)


def _common(ids: Sequence[int], lead: Sequence[int]) -> int:
    """Return how many tokens both begin with: where a token spans prompt and text, it is the text's."""
    pairs = zip(ids, lead, strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(ids), len(lead)))


def _is_positive(role: str, params: Mapping[str, Any]) -> bool:
    return role == params[POSITIVE_LABEL.name] if POSITIVE_LABEL.name in params else role in _POSITIVE
