"""Which tokens are steered, exactly.

- `prompt`: the real positions of `input_ids` when `generate()` starts, less those already in the cache.
- `generated`: every position whose logits choose a new token, so it includes the last prompt position.
- `last`: the last prompt position only.
- `prompt_front`, `prompt_middle`, `prompt_back`: for directions `[t, d]`, a position of the prompt for each row. Of
  n real positions of the prompt, BOS and cached ones included, row 0 belongs to number 0, n//2 - t//2 or n - t, from 0
  on (ActAdd: `addition_location` of `hook_utils.py`, montemac/activation_additions).
- `all`: all of them. Padding is never steered.
"""

from __future__ import annotations

from typing import Any, Literal

Tokens = Literal["prompt", "generated", "last", "prompt_front", "prompt_middle", "prompt_back", "all"]
BY_POSITION: tuple[Tokens, ...] = ("prompt_front", "prompt_middle", "prompt_back")
"""The kinds that take a direction `[t, d]`, and none `[d]`."""


def first_position(tokens: Tokens, rows: Any, length: Any) -> Any:  # noqa: ANN401 - numbers, or tensors of them
    """Return which of `length` positions row 0 of a direction of so many rows belongs to; negative where it is longer.

    A shorter direction lies so in a longer one too, when they are added.
    """
    if tokens == "prompt_middle":
        return length // 2 - rows // 2
    return length - rows if tokens == "prompt_back" else 0
