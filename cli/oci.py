"""OCI registries: what `steer push` and `steer pull` do with an address that begins with oci://."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from vectorstore.transfer.address import SCHEME
from vectorstore.transfer.registry import pull, push

from .answer import Answer
from .bundle import arrived_answer
from .library import Library
from .progress import progress
from .values import size_text


def plain_http_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--plain-http`."""
    return click.option(
        "--plain-http/--https",
        default=None,
        help="Speak http to an oci:// registry; otherwise only to this machine.",
    )(function)


def is_oci(address: str) -> bool:
    """Return whether this is an address in an OCI registry."""
    return address.startswith(SCHEME)


def push_oci(
    library: Library, references: Sequence[str], url: str, *, aliases: bool, plain_http: bool | None
) -> Answer:
    """Push versions to a registry."""
    with library.look() as store, progress(f"Pushing to {url}") as bar:
        pushed = push(store, references, url, aliases=aliases, plain_http=plain_http, advance=bar.advance)
    sent = f"{pushed.sent} blobs sent ({size_text(pushed.size)}), {pushed.present} were there"
    return Answer(
        pushed.to_json(), [f"Pushed {', '.join(pushed.versions)} to {pushed.url} ({pushed.digest[:19]}): {sent}"]
    )


def pull_oci(  # noqa: PLR0913 - each is an option
    library: Library, url: str, *, namespace: str | None, renumber: bool, dry_run: bool, plain_http: bool | None
) -> Answer:
    """Pull what a tag of a registry names."""
    with library.open() as store, progress(f"Pulling from {url}") as bar:
        arrived = pull(
            store,
            url,
            namespace=namespace,
            renumber=renumber,
            dry_run=dry_run,
            plain_http=plain_http,
            advance=bar.advance,
        )
    return arrived_answer(arrived)
