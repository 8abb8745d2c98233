"""Which tokens are steered, exactly.

- `prompt`: the real positions of `input_ids` when `generate()` starts, less those already in the cache.
- `generated`: every position whose logits choose a new token, so it includes the last prompt position.
- `last`: the last prompt position only.
- `prompt_front`: rows 0…t-1 from the first real token, BOS included; for directions `[t, d]`.
- `all`: all of them. Padding is never steered.
"""

from __future__ import annotations

from typing import Literal

Tokens = Literal["prompt", "generated", "last", "prompt_front", "all"]
