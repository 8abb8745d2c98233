"""`steer list` and `steer history`: pages of versions."""

from __future__ import annotations

from pathlib import Path

import click

from vectorstore.store.version import Page

from .answer import Answer, Table
from .command import command
from .describe import VERSION_COLUMNS, versions_table_rows
from .library import Library, library_options
from .values import LabelType, mapping

_LIMIT = click.option("--limit", default=50, show_default=True, metavar="N", help="At most so many, up to 1000.")
_AFTER = click.option("--after", metavar="CURSOR", help="Go on after this cursor of the page before.")


@command("list", example="steer list --label topic=weddings --text 'wed*'")
@click.argument("namespace", required=False)
@click.option("--label", "labels", type=LabelType(), multiple=True, help="Having this label; may be repeated.")
@click.option("--model", metavar="REF", help="Computed on the model that was asked for like this.")
@click.option("--method", metavar="NAME", help="Computed by this extraction method.")
@click.option("--text", metavar="WORDS", help="Having all these words in name, description, labels or model.")
@click.option("--kind", type=click.Choice(["vector", "recipe"]), help="Only vectors, or only recipes.")
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
    text: str | None,
    kind: str | None,
    limit: int,
    after: str | None,
) -> Answer:
    """List the newest version of every name.

    With NAMESPACE, only those in it. Newest first.
    """
    with library.look() as store:
        page = store.list(
            namespace,
            labels=mapping(labels, "label"),
            model=_recorded(model),
            method=method,
            text=text,
            kind=kind,
            limit=limit,
            after=after,
        )
    filtered = any((namespace, labels, model, method, text, kind, after))
    hint = f"; whole words are looked for, try --text '{text}*'" if text and not text.endswith("*") else ""
    empty = f"nothing matches{hint}" if filtered else "the library is empty; make a vector with `steer compute`"
    return _answer(page, empty)


@command("history", example="steer history weddings")
@click.argument("name")
@_LIMIT
@_AFTER
@library_options
def history(library: Library, name: str, limit: int, after: str | None) -> Answer:
    """List all versions of a name.

    Newest first, those that were yanked too.
    """
    with library.look() as store:
        return _answer(store.history(name, limit=limit, after=after), "there are no older ones")


def _recorded(model: str | None) -> str | None:
    """Return a model's reference as cards keep it: a folder's own name, a hub id without its revision."""
    if model is None:
        return None
    try:
        path = Path(model).expanduser()
        return path.resolve().name if path.exists() else model.partition("@")[0]
    except (OSError, RuntimeError, ValueError):  # no path at all: too long, of nobody's home, with a zero byte
        return model


def _answer(page: Page, empty: str) -> Answer:
    document = {"versions": [version.to_json() for version in page.versions], "cursor": page.cursor}
    if not page.versions:
        return Answer(document, notes=[empty])
    rows = versions_table_rows(page.versions)
    notes = [f"there are more: add --after {page.cursor}"] if page.cursor else []
    table = Table(
        VERSION_COLUMNS,
        rows,
        whole=("method", "where", "created"),
        optional=("aliases", "presets", "labels", "created"),
    )
    return Answer(document, [table], notes)
