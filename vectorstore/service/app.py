"""The service as an ASGI application."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response

import vectorstore
from vectorstore.errors import VectorstoreError
from vectorstore.service.courier import Courier
from vectorstore.service.edge import Edge, Metrics, log
from vectorstore.service.login import Logins
from vectorstore.service.options import Options
from vectorstore.service.problems import Problem, answer, problem
from vectorstore.service.rate import Rate
from vectorstore.service.routes import (
    aliases,
    blobs,
    changes,
    feeds,
    health,
    login,
    namespaces,
    people,
    reviews,
    versions,
    webhooks,
)
from vectorstore.store import Store

JOINS = 2  # large uploads that are put together at once: more would share one disk
DESCRIPTION = "Steering vectors and recipes of teams: versions, aliases, blobs, events."


def create_app(store: Store, options: Options | None = None) -> FastAPI:
    """Return the service of a library; it keeps no state of its own, so as many may run as are needed.

    Args:
        store: the library; the caller closes it.
        options: limits.
    """
    chosen = options or Options()
    app = FastAPI(
        title="steering-vectorstore",
        version=vectorstore.__version__,
        description=DESCRIPTION,
        lifespan=_lifespan,
        docs_url="/docs",
        redoc_url=None,
        openapi_url="/openapi.json",
        separate_input_output_schemas=False,
    )
    app.state.store, app.state.options, app.state.metrics = store, chosen, Metrics()
    app.state.logins = Logins(chosen) if chosen.oidc_issuer else None
    app.state.rate = Rate(chosen.requests_per_minute)
    app.add_middleware(Edge, options=chosen, metrics=app.state.metrics)
    # What has a word of its own after the namespace comes before names.
    for routes in (health, login, people, namespaces, feeds, reviews, webhooks, blobs, aliases, changes, versions):
        app.router.routes.extend(routes.router.routes)  # in one row: routers within routers are searched twice
    app.router.routes.sort(key=lambda route: -getattr(route, "path", "").count("/"))  # a push has one of the longest
    app.add_exception_handler(VectorstoreError, _own)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.senders = Counter[int]()
    app.state.joins = anyio.CapacityLimiter(JOINS)
    app.state.bodies = anyio.CapacityLimiter(app.state.options.uploads)
    anyio.to_thread.current_default_thread_limiter().total_tokens = app.state.options.threads
    async with anyio.create_task_group() as tasks:  # whose end waits for threads that are at the database
        tasks.start_soon(Courier(app.state.store, private=app.state.options.private_hooks).run)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


def _id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


async def _own(request: Request, error: Exception) -> Response:
    if not isinstance(error, VectorstoreError):
        raise error
    return problem(error, _id(request))


async def _invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return answer(422, "invalid", f"{where}: {first['msg']}"[:500], "see /docs for what it may be", _id(request))


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "not-found", 405: "no-such-method"}.get(error.status_code, "refused")
    hint = "see /docs for what there is"
    return answer(error.status_code, code, str(error.detail), hint, _id(request), error.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected", id=_id(request), exc_info=error)
    return answer(500, "failed", "something went wrong here", "tell whoever runs the service this id", _id(request))


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document: every route's problems are Problems, and none is FastAPI's own."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Problem"] = Problem.model_json_schema()
        app.openapi_schema = document
    return app.openapi_schema
