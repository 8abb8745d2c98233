"""Tokens: shown once, kept as a hash; each narrows what its owner may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, tuple_, update
from sqlalchemy.orm import Session, aliased

from vectorstore.accounts.access import access
from vectorstore.accounts.caller import Caller, renewed
from vectorstore.accounts.rights import Right
from vectorstore.accounts.secret import Secret, new_secret
from vectorstore.accounts.system import record
from vectorstore.accounts.users import find_user
from vectorstore.canonical import Json
from vectorstore.errors import ConflictError, InvalidInputError, NotAllowedError, NotFoundError
from vectorstore.store import Store
from vectorstore.store.schema import NamespaceRow
from vectorstore.store.team_schema import TokenRow, UserRow
from vectorstore.store.texts import check_text

MAX_TOKENS = 100  # of one user, that are still good
MAX_AGE = timedelta(days=3650)
_FRESH = timedelta(minutes=1)


@dataclass(frozen=True)
class Token:
    """What is known of a token: never its secret.

    Attributes:
        id: its public part.
        user, name: whose it is, and what for.
        scope: the most that it is good for.
        namespace: the one that it is good for; None for all.
        created_at, expires_at, revoked_at, last_used_at: when.
        parent: the token that it was made with, and is revoked with; None where it was made without one.
    """

    id: str
    user: str
    name: str
    scope: str
    namespace: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    parent: str | None

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in vars(self).items()}


def make_token(  # noqa: PLR0913 - each narrows it
    store: Store,
    user: str,
    name: str,
    scope: Right = Right.WRITE,
    *,
    namespace: str | None = None,
    lifetime: timedelta | None = None,
    by: Caller | None = None,
) -> tuple[str, Token]:
    """Make a token; return its text, which nobody can be shown again, and what is known of it.

    Args:
        store: the library.
        user: whose.
        name: what for.
        scope: the most that it is good for.
        namespace: good for this one alone.
        lifetime: until it expires; for good without.
        by: who makes it, over the network: at most with what they may do themselves, and revoked with their token.

    Raises:
        NotAuthenticatedError: when its maker's own was revoked meanwhile.
        NotAllowedError: when it would be good for more, or for longer, than its maker's own.
        NotFoundError: for an unknown user or namespace.
        ConflictError: for too many.
    """
    check_text("token's name", name)
    if lifetime is not None and not timedelta(0) < lifetime <= MAX_AGE:
        raise InvalidInputError(f"a token for {lifetime}", f"up to {MAX_AGE.days} days are possible")
    with store.database.write() as session:
        if by is not None:
            _require_mine(by, user)
        owner = find_user(session, user, lock=True)
        if namespace is not None and by is not None:
            access(session, by, namespace, Right.READ)
        target = None if namespace is None else _namespace(session, namespace)
        expires = None if lifetime is None else datetime.now(UTC) + lifetime
        if by is not None:
            _require_narrower(by, scope, target)
            _require_shorter(session, by, expires)
        parent = None if by is None else by.token
        secret = insert_token(session, owner, name, scope, target=target, expires=expires, parent=parent)
        after = {"id": secret.id, "name": name, "scope": scope.word, "namespace": namespace}
        record(session, "token.create", user, after=after)
        return secret.text, _token(session.get_one(TokenRow, secret.id), user, namespace)


def insert_token(  # noqa: PLR0913 - the columns of a row
    session: Session,
    owner: UserRow,
    name: str,
    scope: Right,
    *,
    target: NamespaceRow | None = None,
    expires: datetime | None = None,
    public: str | None = None,
    parent: str | None = None,
) -> Secret:
    """Make a token's row, with a public part that may be known already; whoever does records it as an event.

    Raises:
        ConflictError: when its owner has too many.
    """
    if len(_good(session, owner)) >= MAX_TOKENS:
        raise ConflictError(f"{owner.name} has {MAX_TOKENS} tokens", "revoke some")
    secret = new_secret(public)
    row = TokenRow(
        id=secret.id,
        user_id=owner.id,
        name=name,
        hash=secret.hash,
        scopes=scope.word,
        namespace_id=target.id if target else None,
        created_at=datetime.now(UTC),
        expires_at=expires,
        parent=parent,
    )
    session.add(row)
    return secret


def list_tokens(
    store: Store, user: str | None = None, *, limit: int | None = None, after: str | None = None
) -> Sequence[Token]:
    """Return the tokens of a user, or of all, oldest first: at most `limit`, those after this one."""
    query = (
        select(TokenRow, UserRow.name, NamespaceRow.name)
        .join(UserRow, UserRow.id == TokenRow.user_id)
        .outerjoin(NamespaceRow, NamespaceRow.id == TokenRow.namespace_id)
        .order_by(TokenRow.created_at, TokenRow.id)
        .limit(limit)
    )
    if after is not None:
        last = aliased(TokenRow)
        query = query.join(last, last.id == after)
        query = query.where(tuple_(TokenRow.created_at, TokenRow.id) > tuple_(last.created_at, last.id))
    with store.database.read() as session:
        rows = session.execute(query if user is None else query.where(UserRow.name == user))
        return [_token(*row) for row in rows]


def revoke_token(store: Store, token: str, *, by: Caller | None = None) -> Token:
    """Let a token be good for nothing, at once, and all that were made with it: whoever had it may have made some.

    Raises:
        NotFoundError: when there is none, or it is somebody else's and `by` is no administrator: in the same words.
        NotAllowedError: when it is good for more than the token that `by` came with.
    """
    with store.database.write() as session:
        row = session.scalar(select(TokenRow).where(TokenRow.id == token).with_for_update())
        owner = None if row is None else session.get_one(UserRow, row.user_id)
        if row is None or owner is None or not (by is None or owner.id == by.user_id or _administers(by)):
            raise NotFoundError(f"there is no token '{token[:40]}'", "see the list of your tokens")
        if by is not None and token != by.token:
            within = by.namespace_id in (None, row.namespace_id) and Right.parse(row.scopes) <= by.scopes
            if not within:
                raise NotAllowedError(f"the token {token} is good for more than yours", "use one that goes as far")
        _revoke(session, row, owner.name)
        namespace = session.get(NamespaceRow, row.namespace_id) if row.namespace_id else None
        return _token(row, owner.name, namespace.name if namespace else None)


def _revoke(session: Session, row: TokenRow, owner: str) -> None:
    """Revoke a locked token, then those that were made with it.

    Each is locked before those made with it are looked for: who makes one holds its maker's row until it is there.
    """
    every, level = [(row, owner)], [row.id]
    mine = select(TokenRow, UserRow.name).join(UserRow, UserRow.id == TokenRow.user_id).order_by(TokenRow.id)
    while level:
        found = session.execute(mine.where(TokenRow.parent.in_(level)).with_for_update(of=TokenRow)).all()
        every += [(each, user) for each, user in found]
        level = [each.id for each, _ in found]
    now = datetime.now(UTC)
    for each, user in every:  # the events come last: their namespace's row stays locked
        if each.revoked_at is None:
            each.revoked_at = now
            made = {} if each is row else {"with": row.id}
            record(session, "token.revoke", user, after={"id": each.id, **made})


def note_use(store: Store, caller: Caller) -> None:
    """Keep when a token was last used; at most once in a minute."""
    if caller.token is None:
        return
    now = datetime.now(UTC)
    stale = TokenRow.last_used_at.is_(None) | (TokenRow.last_used_at <= now - _FRESH)
    mine = (TokenRow.id == caller.token) & stale
    with store.database.look() as connection:
        if connection.scalar(select(TokenRow.id).where(mine)) is None:
            return
    with store.database.write() as session:  # asks again: another process may have been first
        session.execute(update(TokenRow).where(mine).values(last_used_at=now))


def _require_mine(by: Caller, user: str) -> None:
    if user != by.name and not _administers(by):
        raise NotAllowedError("tokens are made by their owners", "make one for yourself")


def _require_narrower(by: Caller, scope: Right, target: NamespaceRow | None) -> None:
    if scope > by.scopes:
        raise NotAllowedError(
            f"your token is good to {by.scopes.word}, and this one would be to {scope.word}", "ask less"
        )
    if by.namespace_id is not None and (target is None or target.id != by.namespace_id):
        raise NotAllowedError("your token is good for one namespace alone", "make one for the same namespace")


def _require_shorter(session: Session, by: Caller, expires: datetime | None) -> None:
    """Check that a token is not outlived by one that is made with it; its row is locked against being revoked."""
    mine = select(TokenRow.expires_at).where(TokenRow.id == by.token)
    ends = session.scalar(mine.with_for_update(read=True))
    renewed(session, by)
    if ends is not None and (expires is None or expires > ends):
        raise NotAllowedError(f"your token expires on {ends:%Y-%m-%d}, before this one would", "ask for fewer days")


def _administers(by: Caller) -> bool:
    return by.admin and by.scopes >= Right.ADMIN and by.namespace_id is None


def _namespace(session: Session, name: str) -> NamespaceRow:
    row = session.scalar(select(NamespaceRow).where(NamespaceRow.name == name))
    if row is None:
        raise NotFoundError(f"there is no namespace '{name[:60]}'", "see `steer namespace list`")
    return row


def _good(session: Session, owner: UserRow) -> Sequence[str]:
    mine = select(TokenRow.id).where(TokenRow.user_id == owner.id, TokenRow.revoked_at.is_(None))
    alive = TokenRow.expires_at.is_(None) | (TokenRow.expires_at > datetime.now(UTC))
    return session.scalars(mine.where(alive)).all()


def _token(row: TokenRow, user: str, namespace: str | None) -> Token:
    rest = {name: getattr(row, name) for name in ("created_at", "expires_at", "revoked_at", "last_used_at", "parent")}
    return Token(row.id, user, row.name, row.scopes, namespace, **rest)
