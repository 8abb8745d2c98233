"""Where: a remote, or a namespace of it, as commands name it: `acme//`, `acme//team`."""

from __future__ import annotations

from dataclasses import dataclass

from vectorstore.errors import InvalidInputError
from vectorstore.reference import check_name

SLASHES = "//"


@dataclass(frozen=True)
class Where:
    """A namespace of a remote.

    Attributes:
        remote: its name.
        namespace: there.
    """

    remote: str
    namespace: str

    def __str__(self) -> str:
        """`acme//team`."""
        return f"{self.remote}{SLASHES}{self.namespace}"

    @classmethod
    def parse(cls, text: str) -> Where:
        """Read `acme//team`, or `acme//team/`.

        Raises:
            InvalidInputError: for anything else; says what to write.
        """
        remote, slashes, rest = text.partition(SLASHES)
        if not slashes:
            raise InvalidInputError(f"'{text[:100]}' is of no remote", f"write REMOTE//{remote[:60] or 'NAMESPACE'}")
        check_name(remote, "remote")
        namespace, slash, name = rest.partition("/")
        if not namespace:
            raise InvalidInputError(f"'{text[:100]}' has no namespace", f"write {remote}//NAMESPACE")
        check_name(namespace, "namespace")
        if slash and name:
            raise InvalidInputError(f"'{text[:100]}' is more than a namespace", f"write {remote}//{namespace}")
        return cls(remote, namespace)
