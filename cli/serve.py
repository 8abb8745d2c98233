"""`steer serve`."""

from __future__ import annotations

import os
import socket

import click

from vectorstore.errors import SchemaError, UnavailableError
from vectorstore.store import Store, database

from .answer import Answer
from .command import command
from .library import Library, library_options

NOWHERE_ELSE = ("127.0.0.1", "localhost", "::1")


@command(
    "serve",
    example="""steer serve
    STEER_DATABASE_URL=postgresql+psycopg://… STEER_BLOBS_URL=s3://… steer serve --host 0.0.0.0 --workers 4""",
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), metavar="N", help="The port.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), metavar="N", help="Processes.")
@click.option("--upgrade", is_flag=True, help="First bring the database's schema to what this program knows.")
@library_options
def serve(library: Library, host: str, port: int, workers: int, *, upgrade: bool) -> Answer:
    """Serve the library over HTTP.

    The first time, an administrator is made, whose token is shown once. Limits are set by STEER_SERVE_…, as
    docs/service.md says. Put a proxy with TLS in front of it where others than this machine are to use it, as
    docs/deployment.md says. Of several that start at once with --upgrade, one does it, and the others wait.
    """
    try:
        from vectorstore.service.run import options_from_environment, serve  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"the service needs the package {error.name}", "type: pip install 'steering-vectorstore[service]'"
        ) from error
    from vectorstore.accounts.first import make_admin  # noqa: PLC0415 - as above

    options_from_environment()
    _check_free(host, port)
    settings = library.settings
    if upgrade:
        database.upgrade(settings.database_url)
    with _opened(library) as store:
        token = make_admin(store)
    # Worker processes find the library as any other program does.
    os.environ["STEER_DATABASE_URL"], os.environ["STEER_BLOBS_URL"] = settings.database_url, settings.blobs_url
    if token is not None:
        click.echo(f"The administrator's token, shown this once:\n\n  {token}\n", err=True)
    click.echo(f"Serving http://{host}:{port}", err=True)
    serve(host, port, workers)
    return Answer({"served": f"http://{host}:{port}"}, [])


def _check_free(host: str, port: int) -> None:
    """Say in one line that nobody can listen there, before anything is made; the server would say so in its log."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UnavailableError(
            f"nothing can listen at {host}:{port} ({error.strerror})", "give another --port, or --host"
        ) from error


def _opened(library: Library) -> Store:
    """Open the library, and say of an older schema what a service can do about it."""
    try:
        return library.open()
    except SchemaError as error:
        if database.current(library.settings.database_url) not in database.REVISIONS:
            raise
        raise SchemaError(error.problem, f"{error.hint}, or start with: steer serve --upgrade") from error
