"""Keys: which layer and site a tensor's name means: `6`, `layer.6`, `model.layers.6`, `blocks.6.hook_resid_pre`."""

from __future__ import annotations

import re

from vectorstore.errors import InvalidInputError
from vectorstore.place import SITES

_SITES = "|".join(SITES)
_NUMBER = re.compile(r"-?[0-9]{1,6}")
_LAYER = re.compile(rf"(?:^|[._/-])(?:layers?|blocks?|h|directions?|{_SITES})[._/-]?([0-9]{{1,6}})(?=[._/-]|$)")
_SITE = re.compile(rf"(?:^|[._/-])(?:hook_)?({_SITES})(?=[._/-]|$)")
_HOOK = re.compile(r"(?:^|[._/-])(hook_\w+)")


def key_layer(key: str) -> int | None:
    """Return the layer that `key` names, or None: a bare number, or one after `layer`, `blocks`, `h` and their like."""
    if _NUMBER.fullmatch(key):
        return int(key)
    found = set(_LAYER.findall(key))
    return int(found.pop()) if len(found) == 1 else None


def key_site(key: str) -> str | None:
    """Return the site that `key` names, or None.

    Raises:
        InvalidInputError: when it names a hook of TransformerLens that is none of our sites.
    """
    site, hook = _SITE.search(key), _HOOK.search(key)
    if site is None and hook is not None:
        raise InvalidInputError(
            f"'{key[:80]}' was read at {hook[1]}, which is no site here", f"say which is meant: {', '.join(SITES)}"
        )
    return site[1] if site else None
