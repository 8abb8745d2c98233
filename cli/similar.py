"""`steer similar`."""

from __future__ import annotations

import click

from vectorstore.place import Place
from vectorstore.store.nearest.neighbour import Neighbour, Similar
from vectorstore.store.nearest.similar import LIMIT
from vectorstore.store.nearest.similar import similar as find_similar

from .answer import Answer, Table
from .command import command
from .describe import labels_text, number
from .library import Library, library_options
from .progress import progress


@command(
    "similar",
    example="""steer similar weddings
    steer similar weddings@2 --layer 18 --limit 20""",
)
@click.argument("reference", metavar="REF")
@click.option("--site", metavar="NAME", help="Compare at this site alone.")
@click.option("--layer", type=int, metavar="N", help="Compare at this layer alone; REF may say so too: weddings[18].")
@click.option("--limit", default=LIMIT, show_default=True, metavar="N", help="At most so many at each place.")
@library_options
def similar(library: Library, reference: str, site: str | None, layer: int | None, limit: int) -> Answer:
    """Find the vectors that point nearest to a version's.

    Compared are all versions of the same model at the same sites and layers, by cosine, whatever its sign. Several
    places make one table, each version at the place where it is nearest; --json lists every place.
    """
    with library.look() as store, progress("Comparing directions"):
        found = find_similar(store, reference, site=site, layer=layer, limit=limit)
    return Answer(found.to_json(), _tables(found, limit), found.notes)


def _tables(found: Similar, limit: int) -> list[Table]:
    nearest = found.nearest(limit)
    if not nearest:
        return []
    where = f"at {found.places[0].place}" if len(found.places) == 1 else f"at any of its {len(found.places)} places"
    rows = [_row(place if len(found.places) > 1 else None, neighbour) for place, neighbour in nearest]
    return [
        Table(
            ("version", "cosine", "at", "norm", "is", "method", "labels"),
            rows,
            right=("cosine", "norm"),
            whole=("at", "is", "method"),
            optional=("is", "method", "labels"),
            title=f"nearest to {found.version.reference}, {where}",
        )
    ]


def _row(place: Place | None, neighbour: Neighbour) -> tuple[str, ...]:
    version = neighbour.version
    words = (neighbour.relation, "same name" if neighbour.same_name else "", "yanked" if version.yanked else "")
    return (
        version.reference,
        f"{neighbour.cosine:+.4f}",
        str(place or ""),
        number(neighbour.norm),
        ", ".join(filter(None, words)),
        version.method or "",
        labels_text(version),
    )
