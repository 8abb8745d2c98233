"""Uses: when tokens were last used, kept after the answer, so that no request waits or fails for it."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock

from vectorstore.accounts.caller import Caller
from vectorstore.accounts.tokens import note_use
from vectorstore.errors import VectorstoreError
from vectorstore.service.edge import log
from vectorstore.store import Store

AGAIN_SECONDS = 60.0
KNOWN = 10_000


class Uses:
    """The tokens that this process noted a moment ago, and so need not note again."""

    def __init__(self) -> None:
        """Know of none."""
        self._noted: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()  # it is asked in the threads that look tokens up

    def due(self, caller: Caller) -> bool:
        """Return whether a caller's use is to be noted; says so once in a minute."""
        now, token = time.monotonic(), caller.token
        if token is None:
            return False
        with self._lock:
            if now - self._noted.get(token, -AGAIN_SECONDS) < AGAIN_SECONDS:
                return False
            self._noted[token] = now
            self._noted.move_to_end(token)
            while len(self._noted) > KNOWN:
                self._noted.popitem(last=False)
        return True


def note(store: Store, caller: Caller) -> None:
    """Keep that a token was used; where the database is away, nobody is told but the log."""
    try:
        note_use(store, caller)
    except VectorstoreError as error:
        log.warning("the use of a token was not noted", token=caller.token, problem=str(error))
