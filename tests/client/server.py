"""The real service of a library, over a real socket, in a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import stamina
import structlog
import uvicorn

from vectorstore.accounts import namespaces, tokens, users
from vectorstore.accounts.first import make_admin
from vectorstore.accounts.rights import Right
from vectorstore.service.app import create_app
from vectorstore.service.options import Options
from vectorstore.store import Store


@contextmanager
def in_silence(attempts: int = 4) -> Iterator[None]:
    """Let the service log nothing, and the client try again at once, so often."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    stamina.instrumentation.set_on_retry_hooks(())
    stamina.set_testing(True, attempts=attempts)
    try:
        yield
    finally:
        stamina.set_testing(False)
        structlog.reset_defaults()


class Server:
    """A service that runs until it is stopped."""

    def __init__(self, store: Store, port: int = 0, **options: Any) -> None:
        self.store = store
        self.options = options
        self.admin = make_admin(store) or ""
        self.start(port)

    def start(self, port: int) -> None:
        """Serve at a port; 0 for any that is free."""
        app = create_app(self.store, Options(**self.options))
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="on")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
            if not self._thread.is_alive():
                raise RuntimeError("the service did not start")
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Finish what is under way, and end."""
        self._server.should_exit = True
        self._thread.join(10)

    def person(self, name: str, **roles: str) -> str:
        """Make a user with these roles by namespace, and return a token."""
        users.add_user(self.store, name)
        for namespace, role in roles.items():
            namespaces.set_member(self.store, namespace, name, role)
        return tokens.make_token(self.store, name, "test", Right.OWN)[0]

    def namespace(self, name: str, visibility: str = "private") -> None:
        """Make a namespace."""
        namespaces.add_namespace(self.store, name, visibility)
