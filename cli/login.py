"""`steer login` and `steer logout`."""

from __future__ import annotations

import os
import sys
import webbrowser

import click

from vectorstore.client.credentials import check_token, forget_token, keep_token, variable
from vectorstore.client.remote import Remote, find_remote
from vectorstore.errors import InvalidInputError
from vectorstore.settings import Settings

from .answer import Answer
from .command import command
from .progress import progress


@command(
    "login",
    example="""steer login acme
    steer login acme --sso
    pass show acme | steer login acme --token-stdin""",
)
@click.argument("name", metavar="REMOTE")
@click.option("--token-stdin", is_flag=True, help="Read the token from stdin, rather than ask for it.")
@click.option("--sso", is_flag=True, help="Sign in with the remote's OpenID provider, in the browser.")
def login(name: str, *, token_stdin: bool, sso: bool) -> Answer:
    """Keep the token for a remote.

    It is checked, and kept in a file of STEER_HOME that only you can read. STEER_TOKEN_ACME overrides it for the remote
    acme.
    """
    from vectorstore.client.connection import Connection  # noqa: PLC0415 - httpx takes a while to import
    from vectorstore.client.library import Library  # noqa: PLC0415 - as above

    home = Settings.load().home
    remote = find_remote(home, name)
    if sso and token_stdin:
        raise InvalidInputError("--sso and --token-stdin are two ways to sign in", "choose one")
    token = check_token(_signed_in(remote) if sso else _read(name, from_stdin=token_stdin))
    with progress(f"Asking {name}"), Connection(remote, token) as connection:
        me = Library(connection).me()
    keep_token(home, remote, token)
    notes = [f"{variable(name)} is set, and counts more"] if os.environ.get(variable(name)) else []
    return Answer({"remote": name, "url": remote.url, "me": me}, [f"{me.get('user')} at {name}"], notes)


@command("logout", example="steer logout acme")
@click.argument("name", metavar="REMOTE")
def logout(name: str) -> Answer:
    """Forget the token for a remote.

    It stays good for whoever else has it: revoke it at the service too.
    """
    forgotten = forget_token(Settings.load().home, name)
    said = f"the token for {name} is forgotten" if forgotten else f"there was no token for {name}"
    return Answer({"remote": name, "forgotten": forgotten}, [said])


def _signed_in(remote: Remote) -> str:
    from vectorstore.client.connection import Connection  # noqa: PLC0415 - httpx takes a while to import
    from vectorstore.client.sso import browser_token  # noqa: PLC0415 - as above

    with Connection(remote) as connection:
        return browser_token(connection, _open)


def _open(url: str) -> None:
    click.echo(f"Sign in with your browser: {url}", err=True)
    webbrowser.open(url)


def _read(name: str, *, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().strip()
    if not sys.stdin.isatty():
        raise InvalidInputError("stdin is no terminal to ask for the token on", "pipe the token to --token-stdin")
    token: str = click.prompt(f"Token for {name}", hide_input=True, err=True)
    return token.strip()
