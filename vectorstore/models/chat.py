"""Chat: a message in the model's own chat template."""

from __future__ import annotations

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError


def chat_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str, system: str | None) -> str:
    """Return the chat with `prompt` as the user's message, up to where the assistant's answer begins.

    Raises:
        InvalidInputError: when the tokenizer has no chat template, or it refuses these messages.
    """
    if tokenizer.chat_template is None:
        raise InvalidInputError("the model has no chat template", "leave --chat out, or choose a chat model")
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages.append({"role": "user", "content": prompt})
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except TemplateError as error:
        raise InvalidInputError(f"the model's chat template refuses this ({error})", "leave --system out") from error
