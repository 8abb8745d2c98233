"""`steer remote add|list|remove`."""

from __future__ import annotations

import click

from vectorstore.client.credentials import find_token, forget_token
from vectorstore.client.remote import Remote, add_remote, read_remotes, remove_remote
from vectorstore.settings import Settings, absolute_path

from .answer import Answer, Table
from .command import group, subcommand


@group("remote", example="steer remote add acme https://vectors.acme.com")
def remote() -> None:
    """Add, list or remove the stores of others: acme in acme//team/love.

    They are kept in remotes.toml in STEER_HOME.
    """


@subcommand(remote, "add", example="steer remote add acme https://vectors.acme.com --ca acme.pem")
@click.argument("name")
@click.argument("url")
@click.option("--ca", default="", metavar="FILE", help="Certificates to check it against, instead of the system's.")
@click.option("--insecure", is_flag=True, help="Let tokens go to another machine over http, unencrypted.")
def add(name: str, url: str, ca: str, *, insecure: bool) -> Answer:
    """Let NAME mean the service at URL."""
    made = Remote(name, url, str(absolute_path(ca)) if ca else "", insecure)
    add_remote(Settings.load().home, made)
    return Answer(made.to_json(), [f"{name} is {made.url}; next: steer login {name}"])


@subcommand(remote, "list", example="steer remote list")
def list_remotes() -> Answer:
    """List the remotes, and for which there is a token."""
    home = Settings.load().home
    remotes = read_remotes(home)
    signed_in = {name: find_token(home, each) is not None for name, each in remotes.items()}
    document = {"remotes": [each.to_json() | {"signed_in": signed_in[name]} for name, each in remotes.items()]}
    if not remotes:
        return Answer(document, notes=["there are no remotes; type: steer remote add NAME URL"])
    rows = [(name, each.url, "yes" if signed_in[name] else "no") for name, each in remotes.items()]
    return Answer(document, [Table(("remote", "url", "signed in"), rows, whole=("url",))])


@subcommand(remote, "remove", example="steer remote remove acme")
@click.argument("name")
def remove(name: str) -> Answer:
    """Forget the remote NAME, and its token; what was pulled from it stays."""
    home = Settings.load().home
    removed = remove_remote(home, name)
    forget_token(home, name)
    return Answer(removed.to_json(), [f"{name} was {removed.url}"])
