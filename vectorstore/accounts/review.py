"""Review: aliases that only maintainers move, and the wishes to move them that somebody else has to approve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, aliased

from vectorstore.accounts.caller import Caller
from vectorstore.accounts.rights import Right
from vectorstore.canonical import Json
from vectorstore.errors import ConflictError, InvalidInputError, NotAllowedError, NotFoundError
from vectorstore.reference import check_name
from vectorstore.store import Store, changes, events
from vectorstore.store.changes import Change
from vectorstore.store.schema import AliasRow, ArtifactRow, NamespaceRow, VersionRow
from vectorstore.store.team_schema import ProposalRow, ProtectionRow, UserRow
from vectorstore.store.texts import check_text
from vectorstore.store.version import Version

State = Literal["open", "approved", "rejected", "withdrawn", "all"]
"""Which proposals a list is of."""
MAX_LISTED = 200


@dataclass(frozen=True)
class Protection:
    """An alias that only maintainers move.

    Attributes:
        alias: of every name in the namespace.
        needs_approval: whether somebody else has to approve each move.
    """

    alias: str
    needs_approval: bool

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return dict(vars(self))


@dataclass(frozen=True)
class Proposal:
    """The wish to move a protected alias.

    Attributes:
        id: its number.
        name, alias: which.
        number: of the version that it shall mean; None where it shall go away.
        state: `open`, `approved`, `rejected` or `withdrawn`.
        reason: why.
        proposed_by, proposed_at, decided_by, decided_at: who, and when.
    """

    id: int
    name: str
    alias: str
    number: int | None
    state: str
    reason: str
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None
    decided_at: datetime | None

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in vars(self).items()}


def protections(store: Store, namespace_id: int) -> Sequence[Protection]:
    """Return the protected aliases of a namespace."""
    mine = select(ProtectionRow).where(ProtectionRow.namespace_id == namespace_id).order_by(ProtectionRow.alias)
    with store.database.read() as session:
        return [Protection(row.alias, row.approvals > 0) for row in session.scalars(mine)]


def protect(
    store: Store, namespace_id: int, alias: str, *, needs_approval: bool = False, right: Right = Right.ADMIN
) -> Protection:
    """Let only maintainers move an alias, for every name of the namespace.

    Raises:
        NotAllowedError: when it is protected by approval, which only owners take away.
    """
    check_name(alias, "alias")
    with store.database.write() as session:
        _lock(session, namespace_id)
        row, approvals = session.get(ProtectionRow, (namespace_id, alias)), int(needs_approval)
        if row is not None and row.approvals > approvals:
            _require_owner(alias, right)
        if row is None or row.approvals != approvals:
            before = None if row is None else {"needs_approval": row.approvals > 0}
            session.merge(ProtectionRow(namespace_id=namespace_id, alias=alias, approvals=approvals))
            after = {"needs_approval": needs_approval}
            events.record(session, namespace_id, "alias.protect", alias, before=before, after=after)
        return Protection(alias, needs_approval)


def unprotect(store: Store, namespace_id: int, alias: str, *, right: Right = Right.ADMIN) -> None:
    """Let writers move an alias again.

    Raises:
        NotFoundError: when it is not protected.
        NotAllowedError: as for `protect`.
    """
    with store.database.write() as session:
        _lock(session, namespace_id)
        row = session.get(ProtectionRow, (namespace_id, alias))
        if row is None:
            raise NotFoundError(f"the alias '{alias[:60]}' is not protected", "see the protections of the namespace")
        if row.approvals:
            _require_owner(alias, right)
        before = {"needs_approval": row.approvals > 0}
        session.delete(row)
        events.record(session, namespace_id, "alias.unprotect", alias, before=before)


def needs_approval(session: Session, namespace_id: int, alias: str, right: Right) -> bool:
    """Return whether moving an alias has to wait for somebody else.

    Raises:
        NotAllowedError: when it is protected, and the right is less than a maintainer's.
    """
    row = session.get(ProtectionRow, (namespace_id, alias))
    if row is None:
        return False
    if row.approvals:
        return True
    if right < Right.MAINTAIN:
        raise NotAllowedError(f"the alias '{alias}' is protected", "ask a maintainer to move it")
    return False


def require_free(session: Session, row: VersionRow, _version: Version, *, alias: str, right: Right) -> None:
    """Check, as a change does, that an alias may be moved at once.

    Raises:
        NotAllowedError, ConflictError: when it may not.
    """
    if needs_approval(session, row.namespace_id, alias, right):
        raise ConflictError(f"moving '{alias}' needs the approval of somebody else", "propose it")


def require_unprotected(session: Session, row: VersionRow, version: Version, *, right: Right) -> None:
    """Check, as a change does, that no protected alias of a version forbids to delete it, or to say how to use it.

    Raises:
        NotAllowedError, ConflictError: when one does.
    """
    for alias in version.aliases:
        if needs_approval(session, row.namespace_id, alias, right):
            raise ConflictError(f"'{alias}' means this version, and needs approval to move", "move the alias first")


def propose(  # noqa: PLR0913 - who wishes what, and why
    store: Store, namespace_id: int, name: str, alias: str, number: int | None, *, by: Caller, reason: str = ""
) -> Proposal:
    """Wish that a protected alias of a name moves, or goes away.

    Raises:
        NotFoundError: when there is no such name, version or alias.
        ConflictError: when there is such a wish already.
    """
    check_text("reason", reason)
    if by.user_id is None:
        raise NotAllowedError("nobody is signed in", "sign in: steer login URL")
    with store.database.write() as session:
        artifact = _artifact(session, namespace_id, name)
        _check_target(session, artifact, alias, number)
        if (other := session.scalar(_open(artifact.id, alias))) is not None:
            raise ConflictError(f"there is an open proposal for {name}@{alias}: {other}", "decide or withdraw it first")
        row = ProposalRow(
            namespace_id=namespace_id,
            artifact_id=artifact.id,
            alias=alias,
            number=number,
            state="open",
            reason=reason,
            proposed_by=by.user_id,
            proposed_at=datetime.now(UTC),
        )
        session.add(row)
        session.flush()
        after = {"proposal": row.id, "alias": alias, "version": number} | ({"reason": reason} if reason else {})
        events.record(
            session, namespace_id, "alias.propose", f"{_namespace(session, namespace_id)}/{name}", after=after
        )
        return _one(session, namespace_id, row.id)


def proposals(store: Store, namespace_id: int, state: str | None = "open") -> Sequence[Proposal]:
    """Return the newest proposals of a namespace, in this state or any."""
    query = _shown().where(ProposalRow.namespace_id == namespace_id).order_by(ProposalRow.id.desc()).limit(MAX_LISTED)
    with store.database.read() as session:
        rows = session.execute(query if state is None else query.where(ProposalRow.state == state))
        return [_proposal(*row) for row in rows]


def find_proposal(store: Store, namespace_id: int, proposal: int) -> Proposal:
    """Return one proposal of a namespace.

    Raises:
        NotFoundError: when there is none of this number.
    """
    with store.database.read() as session:
        return _one(session, namespace_id, proposal)


def approve(store: Store, namespace_id: int, proposal: int, *, by: Caller) -> Proposal:
    """Approve a proposal, which moves the alias in the same transaction.

    Raises:
        NotFoundError: when there is none.
        NotAllowedError: for one's own.
        ConflictError: when it is decided already.
    """
    found = find_proposal(store, namespace_id, proposal)
    with store.database.read() as session:
        full_name = f"{_namespace(session, namespace_id)}/{found.name}"

    def decided(session: Session, _row: VersionRow, _version: Version) -> Change:
        _decide(session, namespace_id, proposal, "approved", by)
        return Change("alias.approve", None, {"proposal": proposal, "alias": found.alias, "version": found.number})

    def moved(session: Session, row: VersionRow, version: Version) -> Change | None:
        if found.number is None:
            return changes.remove_alias(session, row, version, found.alias)
        return changes.set_alias(session, row, version, found.alias)

    store.change(f"{full_name}@{found.alias if found.number is None else found.number}", decided, moved)
    return find_proposal(store, namespace_id, proposal)


def reject(store: Store, namespace_id: int, proposal: int, *, by: Caller) -> Proposal:
    """Reject a proposal.

    Raises:
        NotFoundError: when there is none.
        ConflictError: when it is decided already.
    """
    return _ended(store, namespace_id, proposal, "rejected", by)


def withdraw(store: Store, namespace_id: int, proposal: int, *, by: Caller) -> Proposal:
    """Withdraw one's own proposal.

    Raises:
        NotFoundError, ConflictError: as for `reject`.
        NotAllowedError: for somebody else's.
    """
    if find_proposal(store, namespace_id, proposal).proposed_by != by.name:
        raise NotAllowedError("the proposal is somebody else's", "a maintainer may reject it")
    return _ended(store, namespace_id, proposal, "withdrawn", by)


def _ended(store: Store, namespace_id: int, proposal: int, state: str, by: Caller) -> Proposal:
    found = find_proposal(store, namespace_id, proposal)
    with store.database.write() as session:
        _decide(session, namespace_id, proposal, state, by)
        subject = f"{_namespace(session, namespace_id)}/{found.name}"
        after = {"proposal": proposal, "alias": found.alias, "state": state}
        events.record(session, namespace_id, f"alias.{state}", subject, after=after)
    return find_proposal(store, namespace_id, proposal)


def _decide(session: Session, namespace_id: int, proposal: int, state: str, by: Caller) -> None:
    mine = select(ProposalRow).where(ProposalRow.id == proposal, ProposalRow.namespace_id == namespace_id)
    row = session.scalars(mine.with_for_update().execution_options(populate_existing=True)).one()
    if row.state != "open":
        raise ConflictError(f"the proposal {proposal} is {row.state} already", "make another one")
    if state == "approved" and row.proposed_by == by.user_id:
        raise NotAllowedError("nobody approves their own proposal", "ask another maintainer")
    row.state, row.decided_by, row.decided_at = state, by.user_id, datetime.now(UTC)


def _one(session: Session, namespace_id: int, proposal: int) -> Proposal:
    mine = _shown().where(ProposalRow.id == proposal, ProposalRow.namespace_id == namespace_id)
    row = session.execute(mine).first()
    if row is None:
        raise NotFoundError(f"there is no proposal {proposal}", "see the proposals of the namespace")
    return _proposal(*row)


def _shown() -> Select[ProposalRow, str, str, str | None]:
    decider = aliased(UserRow)
    return (
        select(ProposalRow, ArtifactRow.name, UserRow.name, decider.name)
        .join(ArtifactRow, ArtifactRow.id == ProposalRow.artifact_id)
        .join(UserRow, UserRow.id == ProposalRow.proposed_by)
        .outerjoin(decider, decider.id == ProposalRow.decided_by)
    )


def _proposal(row: ProposalRow, name: str, proposed_by: str, decided_by: str | None) -> Proposal:
    return Proposal(
        id=row.id,
        name=name,
        alias=row.alias,
        number=row.number,
        state=row.state,
        reason=row.reason,
        proposed_by=proposed_by,
        proposed_at=row.proposed_at,
        decided_by=decided_by,
        decided_at=row.decided_at,
    )


def _artifact(session: Session, namespace_id: int, name: str) -> ArtifactRow:
    mine = select(ArtifactRow).where(ArtifactRow.namespace_id == namespace_id, ArtifactRow.name == name)
    row = session.scalar(mine.with_for_update(key_share=True))
    if row is None:
        raise NotFoundError(f"there is no '{name[:60]}'", "see the list of the namespace")
    return row


def _check_target(session: Session, artifact: ArtifactRow, alias: str, number: int | None) -> None:
    check_name(alias, "alias")
    if alias.startswith("sha256"):
        raise InvalidInputError(f"the alias '{alias}' would read as a digest", "choose another")
    if number is None:
        if session.get(AliasRow, (artifact.id, alias)) is None:
            raise NotFoundError(f"{artifact.name} has no alias '{alias}'", "see its aliases")
        return
    mine = select(VersionRow.id).where(VersionRow.artifact_id == artifact.id, VersionRow.number == number)
    if session.scalar(mine) is None:
        raise NotFoundError(f"{artifact.name} has no version {number}", "see its versions")


def _open(artifact_id: int, alias: str) -> Select[int]:
    mine = ProposalRow.artifact_id == artifact_id, ProposalRow.alias == alias
    return select(ProposalRow.id).where(*mine, ProposalRow.state == "open")


def _require_owner(alias: str, right: Right) -> None:
    if right < Right.OWN:
        raise NotAllowedError(f"moves of '{alias}' need approval, and only owners change that", "ask an owner")


def _lock(session: Session, namespace_id: int) -> None:
    session.scalars(
        select(NamespaceRow.id).where(NamespaceRow.id == namespace_id).with_for_update(key_share=True)
    ).one()


def _namespace(session: Session, namespace_id: int) -> str:
    return session.scalars(select(NamespaceRow.name).where(NamespaceRow.id == namespace_id)).one()
