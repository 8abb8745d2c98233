"""Run: the service as a process, or several, with its logs as one JSON document to a line."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import fields
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from vectorstore.errors import InvalidInputError
from vectorstore.service.app import create_app
from vectorstore.service.options import Options
from vectorstore.service.patience import PatientProtocol
from vectorstore.store import Store

PREFIX = "STEER_SERVE_"
GRACE_SECONDS = 30
SPARE = 3  # connections to the database beyond those of the threads: for bodies, which come in threads of their own


def options_from_environment() -> Options:
    """Read `STEER_SERVE_MAX_BODY` and the like: one variable for each number and switch of Options.

    Raises:
        InvalidInputError: for a value that is none.
    """
    defaults, values = Options(), dict[str, Any]()
    for field in fields(Options):
        text, default = os.environ.get(f"{PREFIX}{field.name.upper()}"), getattr(defaults, field.name)
        if text:
            values[field.name] = _read(field.name, text, default)
    return Options(**values)


def make() -> FastAPI:
    """Return the service of the library of the settings; each worker process calls this."""
    configure_logs()
    options = options_from_environment()
    return create_app(Store.open(connections=options.threads + SPARE), options)


def serve(host: str, port: int, workers: int) -> None:
    """Serve until the process is told to stop; requests under way are finished first."""
    uvicorn.run(
        "vectorstore.service.run:make",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def configure_logs() -> None:
    """Let all logs be lines of JSON on stderr; ours go there straight, of which each request writes one."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        _named,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=[*shared, *final],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove, *final]))
    for name in ("httpx2", "httpcore2", "httpcore"):  # they would write whole URLs, which may hold secrets
        logging.getLogger(name).setLevel(logging.WARNING)
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.INFO


def _named(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:  # noqa: ANN401
    """Say whose line it is: another library's, or the service's own."""
    if "_record" in event:
        return structlog.stdlib.add_logger_name(logger, method, event)
    event["logger"] = "vectorstore.service"
    return event


def _read(name: str, text: str, default: object) -> object:
    """Return a value of the kind of its default."""
    try:
        if isinstance(default, bool):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        if isinstance(default, (int, float)):
            return type(default)(text)
    except (KeyError, ValueError):
        raise InvalidInputError(f"{PREFIX}{name.upper()} is '{text[:60]}'", f"the default is {default}") from None
    if isinstance(default, str):
        return text
    raise InvalidInputError(f"{PREFIX}{name.upper()} cannot be set", "take the variable away")
