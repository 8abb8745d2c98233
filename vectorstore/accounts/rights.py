"""Rights: what somebody may do, from little to much; each holds all before it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from vectorstore.errors import InvalidInputError


class Right(IntEnum):
    """What somebody may do in a namespace; ADMIN is everything everywhere."""

    READ = 1
    WRITE = 2
    MAINTAIN = 3
    OWN = 4
    ADMIN = 5

    @property
    def word(self) -> str:
        """`read`, as people write it."""
        return self.name.lower()

    @classmethod
    def parse(cls, word: str) -> Right:
        """Read `write`.

        Raises:
            InvalidInputError: for another word.
        """
        for right in cls:
            if right.word == word:
                return right
        raise InvalidInputError(
            f"there is no right '{word[:40]}'", f"use one of {', '.join(each.word for each in cls)}"
        )


ROLES: Mapping[str, Right] = MappingProxyType(
    {"reader": Right.READ, "writer": Right.WRITE, "maintainer": Right.MAINTAIN, "owner": Right.OWN}
)
"""What each role may do in its namespace."""


def role_of(right: Right) -> str:
    """Return the least role that gives a right."""
    return next((role for role, given in ROLES.items() if given >= right), "administrator")


def check_role(role: str) -> str:
    """Return `role`.

    Raises:
        InvalidInputError: when there is none of this name.
    """
    if role not in ROLES:
        raise InvalidInputError(f"there is no role '{role[:40]}'", f"use one of {', '.join(ROLES)}")
    return role
