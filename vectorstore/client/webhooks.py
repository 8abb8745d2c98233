"""Webhooks: who is told of what happens in a namespace of a remote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vectorstore.accounts.webhooks import Webhook
from vectorstore.client.connection import Connection
from vectorstore.client.moments import moment
from vectorstore.fields import Fields
from vectorstore.reference import check_name


@dataclass(frozen=True)
class Webhooks:
    """The webhooks of a namespace of a remote."""

    connection: Connection
    namespace: str

    def list(self) -> Sequence[Webhook]:
        """Return all of them, and how far each is; never their secrets."""
        answer = Fields(self._ask("GET", ""), f"the answer of {self.connection.remote.name}")
        return [_webhook(each) for each in answer.sequence("webhooks", dict)]

    def add(self, url: str, actions: Sequence[str] = ()) -> tuple[str, Webhook]:
        """Tell `url` of what happens from now on; return the secret that all is signed with, which is shown once.

        Args:
            url: where to.
            actions: of these alone; of all where there are none.

        Raises:
            InvalidInputError: for what is no URL of the web, or no action.
            ConflictError: when the namespace has too many.
            NotAllowedError: without the right.
        """
        body = {"url": url, "actions": list(actions)}
        made = self._ask("POST", "", body=body, repeatable=False)
        return Fields(made, "a webhook of the remote").text("secret"), _webhook(made)

    def enable(self, number: int) -> Webhook:
        """Try again what was switched off, from where it was.

        Raises:
            NotFoundError: when there is no such webhook.
        """
        return _webhook(self._ask("POST", f"/{number}/enable"))

    def remove(self, number: int) -> None:
        """Tell nobody there any more.

        Raises:
            NotFoundError: when there is no such webhook.
        """
        self._ask("DELETE", f"/{number}", repeatable=False)

    def _ask(self, method: str, path: str, **request: Any) -> object:  # noqa: ANN401 - the connection's
        namespace = check_name(self.namespace, "namespace")
        return self.connection.document(method, f"/v1/{namespace}/webhooks{path}", **request)


def _webhook(value: object) -> Webhook:
    fields = Fields(value, "a webhook of the remote")
    return Webhook(
        id=fields.integer("id"),
        url=fields.text("url"),
        actions=fields.sequence("actions", str),
        created_at=moment(fields, "created_at"),
        sent_seq=fields.integer("sent_seq"),
        attempts=fields.integer("attempts"),
        disabled=fields.maybe("disabled", bool) or False,
        last_error=fields.text("last_error"),
        made_by=fields.maybe("made_by", str),
    )
