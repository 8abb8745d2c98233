"""Writer: a model that writes, steered or not, with the same settings each time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click
import torch
from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError
from vectorstore.extract.prompts import context_length
from vectorstore.hooks import steer
from vectorstore.models.tokenizer import encode
from vectorstore.plan import Plan

from .progress import Progress


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        max_new_tokens: at most so many.
        temperature: 0 is greedy.
        top_p: the share of the probability to sample from.
        repetition_penalty: 1 is none.
        seed: what sampling starts from, each time.
    """

    max_new_tokens: int
    temperature: float
    top_p: float
    repetition_penalty: float
    seed: int

    def settings(self) -> dict[str, Any]:
        """Return what `generate` takes."""
        chosen = {"do_sample": True, "temperature": self.temperature, "top_p": self.top_p}
        return {
            "max_new_tokens": self.max_new_tokens,
            "repetition_penalty": self.repetition_penalty,
            **(chosen if self.temperature else {"do_sample": False}),
        }


def sampling_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of Sampling; the function gets `sampling`."""

    @click.option("--max-new-tokens", type=click.IntRange(1), default=40, show_default=True, help="How much to write.")
    @click.option(
        "--temperature", type=click.FloatRange(0), default=0, help="How freely to sample; 0, the default, is greedy."
    )
    @click.option(
        "--top-p",
        type=click.FloatRange(0, 1, min_open=True),
        default=1,
        show_default=True,
        help="Sample the likeliest tokens of this share.",
    )
    @click.option(
        "--repetition-penalty",
        type=click.FloatRange(0, min_open=True),
        default=1,
        show_default=True,
        help="Above 1, repeat less.",
    )
    @click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the sampling.")
    @wraps(function)
    def with_sampling(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click's values
        sampling = Sampling(**{name: kwargs.pop(name) for name in Sampling.__dataclass_fields__})
        return function(*args, sampling=sampling, **kwargs)

    return with_sampling


@dataclass(frozen=True)
class Writer:
    """A model that goes on from a prompt."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    sampling: Sampling
    progress: Progress

    def write(self, prompt: str, plan: Plan | None = None, *, truncate: bool = False, force: bool = False) -> str:
        """Return what follows `prompt`, steered by `plan` if there is one.

        Raises:
            InvalidInputError: when prompt and new tokens do not fit the model's context.
            MisfitError: when the plan does not fit the model.
        """
        inputs = encode(self.tokenizer, [prompt]).to(self.model.device)
        length = inputs["input_ids"].shape[1]
        self._check_length(length)
        self.progress.say("Writing, steered" if plan else "Writing, unsteered")
        torch.manual_seed(self.sampling.seed)
        with steer(self.model, plan, truncate=truncate, force=force) if plan else nullcontext():
            ids = self.model.generate(**inputs, **self.sampling.settings(), streamer=_Counter(self))  # type: ignore[operator]
        text = self.tokenizer.decode(ids[0, length:], skip_special_tokens=True)
        return str(text)

    def _check_length(self, length: int) -> None:
        context = context_length(self.model)
        if context is not None and length + self.sampling.max_new_tokens > context:
            raise InvalidInputError(
                f"{length} tokens of prompt and {self.sampling.max_new_tokens} new ones exceed the model's {context}",
                "shorten the prompt, or lower --max-new-tokens",
            )


class _Counter:
    """Counts the tokens while they are written; `generate` hands it the prompt first."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._count = -1

    def put(self, _tokens: torch.Tensor) -> None:
        self._count += 1
        self._writer.progress.advance(self._count, self._writer.sampling.max_new_tokens)

    def end(self) -> None:
        """Leave the bar as it is: the next text starts it again."""


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
