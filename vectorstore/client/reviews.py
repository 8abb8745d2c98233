"""Reviews: protected aliases of a remote's namespace, and the proposals to move them."""

from __future__ import annotations

from collections.abc import Sequence

from vectorstore.accounts.review import Proposal, Protection
from vectorstore.client.library import Library
from vectorstore.client.moments import maybe_moment, moment
from vectorstore.client.space import Space
from vectorstore.client.there import There
from vectorstore.errors import ConflictError
from vectorstore.fields import Fields
from vectorstore.reference import check_name


class Reviews(Space):
    """What is reviewed in a namespace of a remote."""

    def protections(self) -> Sequence[Protection]:
        """Return the protected aliases, by name."""
        return [_protection(each) for each in self.list_of("protections")]

    def protect(self, alias: str, *, needs_approval: bool = False) -> Protection:
        """Let only maintainers move an alias, for every name of the namespace.

        Raises:
            NotAllowedError: without the right; taking approval away is for owners.
        """
        body = {"needs_approval": needs_approval}
        return _protection(self.ask("PUT", f"protections/{check_name(alias, 'alias')}", body=body))

    def unprotect(self, alias: str) -> None:
        """Let writers move an alias again.

        Raises:
            NotFoundError: when it is not protected.
            NotAllowedError: as for `protect`.
        """
        self.ask("DELETE", f"protections/{check_name(alias, 'alias')}", repeatable=False)

    def proposals(self, state: str = "open") -> Sequence[Proposal]:
        """Return the newest proposals in this state, or in `all`."""
        return [_proposal(each) for each in self.list_of("proposals", params={"state": state})]

    def proposal(self, number: int) -> Proposal:
        """Return one proposal.

        Raises:
            NotFoundError: when there is none of this number.
        """
        return _proposal(self.ask("GET", f"proposals/{number}"))

    def decide(self, number: int, verb: str) -> Proposal:
        """Decide a proposal: `approve`, which moves the alias, `reject`, or `withdraw`, which is for one's own.

        Raises:
            NotAllowedError: for one's own, or for somebody else's; or without the right.
            ConflictError: when it is decided already.
        """
        return _proposal(self.ask("POST", f"proposals/{number}/{verb}", repeatable=False))


def move(library: Library, there: There, alias: str) -> Proposal | None:
    """Let an alias mean a version at the remote; return the proposal where somebody else has to approve that.

    Raises:
        ConflictError: when a proposal to move it elsewhere is in the way; says which, and what to type.
        NotAllowedError: when the alias is protected, and only maintainers move it.
    """
    reviews = Reviews(library.connection, there.namespace)
    try:
        moved = library.set_alias(there, alias)
    except ConflictError:
        found = _in_the_way(reviews, there, alias)
        if found is None:
            raise
        if found.number == there.number:
            return found
        raise ConflictError(
            f"the proposal {found.id} of {found.proposed_by} to {wish(found)} is in the way",
            f"have it decided, or withdraw it: steer proposal withdraw {reviews.where} {found.id}",
        ) from None
    return None if moved is None else _proposal(moved)


def wish(proposal: Proposal) -> str:
    """Return `move love@prod to version 2`, or `remove love@prod`."""
    named = f"{proposal.name}@{proposal.alias}"
    return f"remove {named}" if proposal.number is None else f"move {named} to version {proposal.number}"


def _in_the_way(reviews: Reviews, there: There, alias: str) -> Proposal | None:
    mine = (each for each in reviews.proposals() if (each.name, each.alias) == (there.name, alias))
    return next(mine, None)


def _protection(value: object) -> Protection:
    fields = Fields(value, "a protection of the remote")
    return Protection(check_name(fields.text("alias"), "alias"), fields.maybe("needs_approval", bool) or False)


def _proposal(value: object) -> Proposal:
    fields = Fields(value, "a proposal of the remote")
    return Proposal(
        id=fields.integer("id"),
        name=check_name(fields.text("name")),
        alias=check_name(fields.text("alias"), "alias"),
        number=fields.maybe("number", int),
        state=fields.text("state"),
        reason=fields.text("reason"),
        proposed_by=fields.text("proposed_by"),
        proposed_at=moment(fields, "proposed_at"),
        decided_by=fields.maybe("decided_by", str),
        decided_at=maybe_moment(fields, "decided_at"),
    )
