"""`steer list` and `steer history`: pages of versions."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import get_args

import click

from vectorstore.client.where import SLASHES
from vectorstore.place import SITES
from vectorstore.reference import parse_reference
from vectorstore.store.lists.filter import Filter
from vectorstore.store.lists.listing import LIMIT, Sort
from vectorstore.store.lists.listing import list_versions as find_versions
from vectorstore.store.version import Page

from .answer import Answer, Table
from .command import command
from .describe import VERSION_COLUMNS, versions_table_rows
from .library import Library, library_options
from .pages import going_on
from .values import LabelType, mapping

_LIMIT = click.option("--limit", default=LIMIT, show_default=True, metavar="N", help="At most so many, up to 1000.")
_AFTER = click.option("--after", metavar="CURSOR", help="Go on after this cursor of the page before.")


@command("list", example="steer list --label topic=weddings --text 'wed*'")
@click.argument("namespace", required=False)
@click.option("--label", "labels", type=LabelType(), multiple=True, help="Having this label; may be repeated.")
@click.option("--model", metavar="REF", help="Computed on the model that was asked for like this.")
@click.option("--method", metavar="NAME", help="Computed by this extraction method.")
@click.option("--layer", type=int, metavar="N", help="With a direction at this layer.")
@click.option("--site", type=click.Choice(SITES), help="With a direction at this site (and layer).")
@click.option("--author", metavar="NAME", help="Of this author.")
@click.option("--text", metavar="WORDS", help="Having all these words in name, description, labels or model.")
@click.option("--kind", type=click.Choice(["vector", "recipe"]), help="Only vectors, or only recipes.")
@click.option("--sort", type=click.Choice(get_args(Sort)), default="newest", show_default=True, help="In this order.")
@_LIMIT
@_AFTER
@library_options
def list_versions(  # noqa: PLR0913 - options
    *,
    library: Library,
    namespace: str | None,
    labels: tuple[tuple[str, str], ...],
    model: str | None,
    method: str | None,
    layer: int | None,
    site: str | None,
    author: str | None,
    text: str | None,
    kind: str | None,
    sort: Sort,
    limit: int,
    after: str | None,
) -> Answer:
    """List the newest version of every name.

    With NAMESPACE, only those in it; with REMOTE//NAMESPACE, those of a remote, and with REMOTE// its namespaces.
    """
    wanted = Filter(namespace, mapping(labels, "label"), _recorded(model), method, layer, site, author, text, kind)
    if namespace and SLASHES in namespace:
        from .browse import newest  # noqa: PLC0415 - what speaks to remotes takes longer to import than a list takes

        return newest(library.settings, wanted, sort, limit, after)
    with closing(library.catalogue()) as database, database.look() as connection:
        page = find_versions(connection, wanted, sort=sort, limit=limit, after=after)
    filtered = wanted != Filter() or after is not None
    hint = f"; whole words are looked for, try --text '{text}*'" if text and not text.endswith("*") else ""
    empty = f"nothing matches{hint}" if filtered else "the library is empty; make a vector with `steer compute`"
    return versions_answer(page, empty)


@command("history", example="steer history weddings")
@click.argument("name")
@_LIMIT
@_AFTER
@library_options
def history(library: Library, name: str, limit: int, after: str | None) -> Answer:
    """List all versions of a name.

    Newest first, those that were yanked too. NAME may be of a remote: acme//team/love.
    """
    if SLASHES in name:
        from .browse import history as remote_history  # noqa: PLC0415 - as above

        return remote_history(library.settings, parse_reference(name).plain(), limit, after)
    with library.look() as store:
        return versions_answer(store.history(name, limit=limit, after=after), "there are no older ones")


def _recorded(model: str | None) -> str | None:
    """Return a model's reference as cards keep it: a folder's own name, a hub id without its revision."""
    if model is None:
        return None
    try:
        path = Path(model).expanduser()
        return path.resolve().name if path.exists() else model.partition("@")[0]
    except (OSError, RuntimeError, ValueError):  # no path at all: too long, of nobody's home, with a zero byte
        return model


def versions_answer(page: Page, empty: str, remote: str = "") -> Answer:
    """Return a page of versions as a table: of the library, or of the remote of this name."""
    document = {"versions": [version.to_json() for version in page.versions], "cursor": page.cursor}
    document |= {"remote": remote} if remote else {}
    if not page.versions:
        return Answer(document, notes=[empty])
    before = f"{remote}{SLASHES}" if remote else ""
    rows = [(f"{before}{first}", *others) for first, *others in versions_table_rows(page.versions)]
    table = Table(
        VERSION_COLUMNS,
        rows,
        whole=("method", "where", "created"),
        optional=("aliases", "presets", "labels", "created"),
    )
    return Answer(document, [table], going_on(page.cursor))
