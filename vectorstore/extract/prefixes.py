"""Prefixes: what a statement is after each of its tokens, as RepE's function templates read it."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PreTrainedTokenizerBase

_CUT = "\ufffd"


def prefixes_of(tokenizer: PreTrainedTokenizerBase, statements: Iterable[str], *, leave: int = 6) -> tuple[str, ...]:
    """Return every prefix of each statement, from its first token to all but the last `leave`, in order.

    A function shows in every token that is written, and so each of them is a stimulus. With two persons for the
    template `persona`, the prefixes are the prompts of pairs::

        [ContrastPair("an honest", "an untruthful", prefix) for prefix in prefixes_of(tokenizer, statements)]

    After `honesty_function_dataset` of andyzoujm/representation-engineering, which leaves the last six tokens out. A
    prefix that ends within a character is none.

    Args:
        tokenizer: the model's.
        statements: such as "The Earth orbits the Sun.".
        leave: so many tokens at the end of each statement begin no prefix.
    """
    found = []
    for statement in statements:
        tokens = tokenizer.tokenize(statement)
        found += [tokenizer.convert_tokens_to_string(tokens[:end]) for end in range(1, len(tokens) - leave + 1)]
    return tuple(prefix for prefix in found if not prefix.endswith(_CUT))
