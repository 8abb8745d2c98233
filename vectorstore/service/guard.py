"""Guard: every route says which right it needs, and gets a Desk: who asks, and where."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from vectorstore.accounts.access import Grant, admitted, granted
from vectorstore.accounts.caller import ANONYMOUS, Caller, authenticate, renewed
from vectorstore.accounts.rights import Right
from vectorstore.errors import NotAllowedError, NotAuthenticatedError
from vectorstore.service.options import Options
from vectorstore.service.problems import TooManyError
from vectorstore.service.uses import Uses, note
from vectorstore.store import Store, events

_bearer = HTTPBearer(auto_error=False, description="A token: `stv_…`")


@dataclass(frozen=True)
class Desk:
    """Where a request is worked on.

    Attributes:
        store: the library.
        options: the service's.
        caller: who asks.
        namespace: where, as the path says; empty where the path names none.
        namespace_id: its row; 0 where there is none.
        right: the most that the caller may do there.
        max_bytes, max_versions: the namespace's quotas; None where there is none.
        since: when that was looked up, by the monotonic clock.
    """

    store: Store
    options: Options
    caller: Caller
    namespace: str
    namespace_id: int
    right: Right
    max_bytes: int | None = None
    max_versions: int | None = None
    since: float = field(default_factory=time.monotonic)

    @property
    def limited(self) -> bool:
        """Whether the namespace has a quota."""
        return self.max_bytes is not None or self.max_versions is not None


class Needs:
    """A dependency that lets a caller in who has a right: in the path's namespace, or where it names none, at all.

    `right` is None for what anybody may see.
    """

    def __init__(self, right: Right | None, *, ask: bool = True) -> None:
        """Ask for this right; where `ask` is false, not even who it is, nor the database."""
        self.right, self.ask, self._uses = right, ask, Uses()

    async def __call__(
        self,
        request: Request,
        later: BackgroundTasks,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
    ) -> Desk:
        """Say who asks, and refuse who may not.

        Raises:
            NotAuthenticatedError: for a bad token, or none where one is needed.
            NotFoundError: for a namespace that is not there, or that the caller may not know of.
            NotAllowedError: where the right is missing.
        """
        if not self.ask:
            return Desk(request.app.state.store, request.app.state.options, ANONYMOUS, "", 0, Right.READ)
        door = self.door(request, later, credentials)
        await run_in_threadpool(door.open)
        return door.open()  # in the request's own task, so that who acts is known wherever the route's function runs

    def door(self, request: Request, later: BackgroundTasks, credentials: HTTPAuthorizationCredentials | None) -> Door:
        """Return the way to the desk, before anything is known of who asks.

        Raises:
            NotAuthenticatedError: for a header that holds no token.
        """
        if credentials is None and "authorization" in request.headers:
            raise NotAuthenticatedError(
                "the Authorization header has no bearer token", "send: Authorization: Bearer stv_…"
            )
        return Door(partial(self._desk, request, later, None if credentials is None else credentials.credentials))

    def _desk(self, request: Request, later: BackgroundTasks, token: str | None) -> Desk:
        """Look up who asks and what they may do, and note that they came."""
        desk, state = self._looked_up(request, token), request.app.state
        request.state.user, request.state.token = desk.caller.name, desk.caller.token
        if desk.caller.token is not None and not state.rate.admits(desk.caller.token):
            raise TooManyError(f"more than {desk.options.requests_per_minute} requests in a minute", "wait a moment")
        if self._uses.due(desk.caller):
            later.add_task(note, desk.store, desk.caller)
        return desk

    def _looked_up(self, request: Request, token: str | None) -> Desk:
        store: Store = request.app.state.store
        namespace = request.path_params.get("namespace", "")
        with store.database.look() as connection:
            if namespace and self.right is not None:
                caller, grant = admitted(connection, token, namespace, self.right)
            else:
                caller = ANONYMOUS if token is None else authenticate(connection, token)
                grant = Grant(0, caller.scopes)
                self._require(caller)
        options = request.app.state.options
        return Desk(store, options, caller, namespace, *grant)

    def _require(self, caller: Caller) -> None:
        """Check a right that is no namespace's: READ is of everybody who is signed in, ADMIN of administrators."""
        if self.right is None:
            return
        if caller.user_id is None:
            raise NotAuthenticatedError("this needs a token", "sign in: steer login URL")
        if caller.scopes < self.right or (caller.namespace_id is not None and self.right > Right.READ):
            raise NotAllowedError("the token is not made for this", "use one with a wider scope")
        if self.right >= Right.ADMIN and not caller.admin:
            raise NotAllowedError("only administrators may do this", "ask one of them")


class Door:
    """The way to a desk, for a route whose work begins with a look at the database: both are done in one thread."""

    def __init__(self, look: Callable[[], Desk]) -> None:
        """Keep what looks up who asks; nothing is asked yet."""
        self._look = look
        self._desk: Desk | None = None

    def open(self) -> Desk:
        """Say who asks, and refuse who may not, the first time; each time, what is changed from here on is theirs.

        Raises:
            NotAuthenticatedError, NotFoundError, NotAllowedError: as Needs says.
            TooManyError: for more requests with this token than may be.
        """
        if self._desk is None:
            self._desk = self._look()
        events.act(self._desk.caller.name or "anonymous", self._desk.caller.token)
        return self._desk


class NeedsLater(Needs):
    """A dependency that gives the door alone, which the route's own thread opens before all else."""

    async def __call__(  # type: ignore[override]
        self,
        request: Request,
        later: BackgroundTasks,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
    ) -> Door:
        """Give the door.

        Raises:
            NotAuthenticatedError: for a header that holds no token.
        """
        return self.door(request, later, credentials)


def still_granted(connection: Connection, desk: Desk, right: Right) -> Grant:
    """Check again, after a body that may have taken its time, that the caller may do this.

    Raises:
        NotAuthenticatedError, NotFoundError, NotAllowedError: as when the request began.
    """
    return granted(connection, renewed(connection, desk.caller), desk.namespace, right)


Health = Annotated[Desk, Depends(Needs(None, ask=False))]
Open = Annotated[Desk, Depends(Needs(None))]
SignedIn = Annotated[Desk, Depends(Needs(Right.READ))]
Reading = Annotated[Desk, Depends(Needs(Right.READ))]
Writing = Annotated[Desk, Depends(Needs(Right.WRITE))]
WritingLater = Annotated[Door, Depends(NeedsLater(Right.WRITE))]
Maintaining = Annotated[Desk, Depends(Needs(Right.MAINTAIN))]
Owning = Annotated[Desk, Depends(Needs(Right.OWN))]
Administering = Annotated[Desk, Depends(Needs(Right.ADMIN))]
