"""Actions: what can happen in a namespace, by the names that its events have."""

from __future__ import annotations

from difflib import get_close_matches

from vectorstore.errors import InvalidInputError

_OF: dict[str, tuple[str, ...]] = {
    "version": ("save", "yank", "restore", "deprecate", "undeprecate", "delete", "bake"),
    "alias": ("set", "remove", "protect", "unprotect", "propose", "approve", "rejected", "withdrawn"),
    "label": ("set", "remove"),
    "preset": ("set", "remove"),
    "description": ("set",),
    "member": ("set", "remove"),
    "namespace": ("create", "visibility"),
    "quota": ("set",),
    "webhook": ("add", "remove", "disable"),
}
ACTIONS = tuple(f"{noun}.{verb}" for noun, verbs in _OF.items() for verb in verbs)
"""All of them; what a webhook may ask for."""


def check_action(action: str) -> str:
    """Return `action` where there is such a one.

    Raises:
        InvalidInputError: for any other; says which is near, or which there are.
    """
    if action in ACTIONS:
        return action
    near = get_close_matches(action, ACTIONS, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise InvalidInputError(f"there is no action '{action[:40]}'", f"{hint}there are {', '.join(ACTIONS)}")
