"""Webhooks: who is told of what happens in a namespace of a remote."""

from __future__ import annotations

from collections.abc import Sequence

from vectorstore.accounts.webhooks import Webhook
from vectorstore.client.moments import moment
from vectorstore.client.space import Space
from vectorstore.fields import Fields


class Webhooks(Space):
    """The webhooks of a namespace of a remote."""

    def list(self) -> Sequence[Webhook]:
        """Return all of them, and how far each is; never their secrets."""
        return [_webhook(each) for each in self.list_of("webhooks")]

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
        made = self.ask("POST", "webhooks", body=body, repeatable=False)
        return Fields(made, "a webhook of the remote").text("secret"), _webhook(made)

    def enable(self, number: int) -> Webhook:
        """Try again what was switched off, from where it was.

        Raises:
            NotFoundError: when there is no such webhook.
        """
        return _webhook(self.ask("POST", f"webhooks/{number}/enable"))

    def remove(self, number: int) -> None:
        """Tell nobody there any more.

        Raises:
            NotFoundError: when there is no such webhook.
        """
        self.ask("DELETE", f"webhooks/{number}", repeatable=False)


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
