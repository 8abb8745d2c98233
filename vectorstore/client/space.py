"""Space: a namespace of a remote that is connected, and how what is managed there is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vectorstore.client.connection import Connection
from vectorstore.client.where import Where
from vectorstore.errors import NotFoundError
from vectorstore.fields import Fields
from vectorstore.reference import check_name

_LISTED = re.compile("see the (protection|proposal|webhook)s of the namespace")


@dataclass(frozen=True)
class Space:
    """A namespace, and the connection to its remote."""

    connection: Connection
    namespace: str

    @property
    def where(self) -> Where:
        """What commands call the namespace."""
        return Where(self.connection.remote.name, self.namespace)

    def ask(self, method: str, path: str, **request: Any) -> object:  # noqa: ANN401 - the connection's
        """Return the document that the remote has at a path of the namespace.

        Raises:
            NotFoundError: when there is none; its hint is what to type to see those that there are.
        """
        namespace = check_name(self.namespace, "namespace")
        try:
            return self.connection.document(method, f"/v1/{namespace}/{path}", **request)
        except NotFoundError as error:
            if noun := _LISTED.fullmatch(error.hint):
                raise NotFoundError(error.problem, f"type: steer {noun[1]} list {self.where}") from None
            raise

    def list_of(self, noun: str, **request: Any) -> Sequence[object]:  # noqa: ANN401 - as above
        """Return the list that the remote has of what is called so."""
        answer = Fields(self.ask("GET", noun, **request), f"the answer of {self.connection.remote.name}")
        return answer.sequence(noun, dict)
