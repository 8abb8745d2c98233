"""Writer: a model that goes on from a prompt, steered or not, with the same settings each time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError
from vectorstore.hooks.steer import steer
from vectorstore.models.context import check_ids, context_length
from vectorstore.models.tokenizer import encode
from vectorstore.plan import Plan

Progress = Callable[[int, int], None]
"""Called with the number of tokens written, and of those there may be."""


def _ignore(_done: int, _total: int) -> None: ...


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

    max_new_tokens: int = 40
    temperature: float = 0
    top_p: float = 1
    repetition_penalty: float = 1
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return what `generate` takes."""
        settings = {
            "max_new_tokens": self.max_new_tokens,
            "repetition_penalty": float(self.repetition_penalty),
            "num_beams": 1,  # these three are not ours to choose, but the model's own settings may say otherwise
            "no_repeat_ngram_size": 0,
            "use_cache": True,
        }
        if not self.temperature:
            return settings | {"do_sample": False}
        sampled = {"do_sample": True, "temperature": float(self.temperature), "top_p": float(self.top_p)}
        return settings | sampled | {"top_k": 0, "min_p": None, "typical_p": 1.0}


@dataclass(frozen=True)
class Writer:
    """A model that goes on from a prompt."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    sampling: Sampling
    progress: Progress = _ignore

    def write(self, prompt: str, plan: Plan | None = None, *, truncate: bool = False, force: bool = False) -> str:
        """Return what follows `prompt`, steered by `plan` if there is one.

        Raises:
            InvalidInputError: when prompt and new tokens do not fit the model's context, or the tokenizer is another's.
            MisfitError: when the plan does not fit the model.
        """
        inputs = encode(self.tokenizer, [prompt]).to(self.model.device)
        length = inputs["input_ids"].shape[1]
        check_ids(self.model, inputs["input_ids"].flatten().tolist())
        self._check_length(length)
        steering = steer(self.model, plan, truncate=truncate, force=force) if plan else nullcontext()
        with torch.random.fork_rng(), steering:
            torch.manual_seed(self.sampling.seed)
            ids = self.model.generate(**inputs, **self.sampling.settings(), streamer=_Counter(self))  # type: ignore[operator]
        text = self.tokenizer.decode(ids[0, length:], skip_special_tokens=True)
        return str(text)

    def _check_length(self, length: int) -> None:
        context = context_length(self.model)
        if context is not None and length + self.sampling.max_new_tokens > context:
            raise InvalidInputError(
                f"{length} tokens of prompt and {self.sampling.max_new_tokens} new ones exceed the model's {context}",
                "shorten the prompt, or ask for fewer new tokens",
            )


class _Counter:
    """Counts the tokens while they are written; `generate` hands it the prompt first."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._count = -1

    def put(self, _tokens: torch.Tensor) -> None:
        self._count += 1
        self._writer.progress(self._count, self._writer.sampling.max_new_tokens)

    def end(self) -> None:
        """Leave the bar as it is: the next text starts it again."""
