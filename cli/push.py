"""`steer push`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from vectorstore.client.push import Pushed, Target
from vectorstore.client.push import push as send
from vectorstore.errors import InvalidInputError

from .answer import Answer
from .command import command
from .library import Library, library_options
from .oci import is_oci, plain_http_option, push_oci
from .progress import progress
from .proposal import asked_note
from .remotes import connected
from .values import size_text


@command(
    "push",
    example="""steer push weddings acme//team/weddings
    steer push team/love@2 team/calm acme --alias prod
    steer push team/love oci://registry.example.com/team/vectors:v1""",
)
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@click.argument("target", metavar="TARGET")
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="Let it mean them there; it moves. Repeatable.")
@plain_http_option
@library_options
def push(
    library: Library, references: tuple[str, ...], target: str, aliases: tuple[str, ...], *, plain_http: bool | None
) -> Answer:
    """Send versions to a remote, with all that they need.

    TARGET is REMOTE, REMOTE//NAMESPACE/ or REMOTE//NAMESPACE/NAME: with a namespace all go there, else each goes to
    its own. What they pin and their parents go along. Bytes that are there are not sent again; after a cut, the same
    command goes on where it was.

    To oci://REGISTRY/REPOSITORY:TAG they go to any OCI registry, with the credentials of STEER_OCI_USERNAME and
    STEER_OCI_PASSWORD, or of `docker login`.
    """
    if is_oci(target):
        return push_oci(library, references, target, aliases=aliases, plain_http=plain_http)
    if plain_http is not None:
        raise InvalidInputError("--plain-http is for oci://", "the URL of a remote says how it is spoken to")
    where = Target.parse(target)
    with library.look() as store, connected(library.settings, where.remote) as there, progress("Pushing") as bar:
        pushed = send(store, there, references, where, aliases=aliases, advance=bar.advance)
    notes = [asked_note(where.remote, *each) for each in pushed.proposed.items()]
    return Answer(pushed.to_json(), _lines(pushed), notes)


def _lines(pushed: Pushed) -> list[str]:
    lines = [*_listed(pushed.new, "went to"), *_listed(pushed.present, "was there:")]
    lines += [f"@{alias.partition('@')[2]} is {alias.partition('@')[0]} there" for alias in pushed.aliases]
    return [*lines, f"{size_text(pushed.sent)} sent to {pushed.remote}"]


def _listed(versions: Mapping[str, str], said: str) -> list[str]:
    return [f"{here} {said} {there}" for here, there in versions.items()]
