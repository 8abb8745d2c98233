"""OCI registries: what `steer push` and `steer pull` do with an address that begins with oci://."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from vectorstore.errors import InvalidInputError
from vectorstore.transfer.address import SCHEME

from .answer import Answer
from .library import Library
from .progress import progress
from .values import size_text

if TYPE_CHECKING:
    from vectorstore.transfer.arrive import Arrived

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

plain_http_option: Decorator = click.option(
    "--plain-http/--https", default=None, help="Speak http to an oci:// registry; otherwise only to this machine."
)
renumber_option: Decorator = click.option(
    "--renumber",
    is_flag=True,
    help="Let versions have the next number, where theirs is taken; from oci://, all of them.",
)


def is_oci(address: str) -> bool:
    """Return whether this is an address in an OCI registry."""
    return address.startswith(SCHEME)


def push_oci(
    library: Library, references: Sequence[str], url: str, *, aliases: Sequence[str], plain_http: bool | None
) -> Answer:
    """Push versions to a registry.

    Raises:
        InvalidInputError: for aliases, which a registry has none of.
    """
    from vectorstore.transfer.registry import push  # noqa: PLC0415 - help needs no network

    _refuse_aliases(aliases)
    _quiet()
    with library.look() as store, progress(f"Pushing to {url}") as bar:
        pushed = push(store, references, url, plain_http=plain_http, advance=bar.advance)
    lines = [f"{reference} went to {pushed.url}" for reference in pushed.versions]
    sent = f"{size_text(pushed.size)} sent in {pushed.sent} blobs; {pushed.present} were there"
    return Answer(pushed.to_json(), [*lines, f"{sent}; it is {pushed.digest}"])


def pull_oci(  # noqa: PLR0913 - each is an option
    library: Library,
    addresses: Sequence[str],
    *,
    namespace: str | None,
    aliases: Sequence[str],
    renumber: bool,
    plain_http: bool | None,
) -> Answer:
    """Pull what a tag of a registry names.

    Raises:
        InvalidInputError: for aliases, and for more than one address.
    """
    from vectorstore.transfer.registry import pull  # noqa: PLC0415 - as above

    _refuse_aliases(aliases)
    if len(addresses) > 1:
        raise InvalidInputError("an oci:// address stands alone", "pull them one by one")
    _quiet()
    with library.open() as store, progress(f"Pulling from {addresses[0]}") as bar:
        arrived = pull(
            store, addresses[0], namespace=namespace, renumber=renumber, plain_http=plain_http, advance=bar.advance
        )
    return arrived_answer(arrived)


def arrived_answer(arrived: Arrived) -> Answer:
    """Return what came in, of a registry or a bundle, as an answer."""
    came, was_set = ("would come in", "would be set") if arrived.dry else ("came in", "was set")
    lines = [f"{reference} {came}" for reference in arrived.new]
    lines += [f"{reference} is here" for reference in arrived.present]
    lines += [f"{alias} {was_set}" for alias in arrived.aliases]
    notes = [f"{alias} means another version here, and stays" for alias in arrived.kept]
    return Answer(arrived.to_json(), lines, notes)


def _refuse_aliases(aliases: Sequence[str]) -> None:
    if aliases:
        raise InvalidInputError("a registry has tags, not aliases", "leave --alias out, and name the tag: oci://…:prod")


def _quiet() -> None:
    """Let requests be tried again without a word: where structlog is installed, it would be told on stdout."""
    from stamina.instrumentation import set_on_retry_hooks  # noqa: PLC0415 - as above

    set_on_retry_hooks(())
