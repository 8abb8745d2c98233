"""`steer diff`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from vectorstore.canonical import Json, canonical_bytes, is_digest
from vectorstore.preset import Preset
from vectorstore.store.diff import diff as compare
from vectorstore.store.difference import Diff, Difference, DirectionPair, Items
from vectorstore.vector import Array, direction_norm

from .answer import Answer, Part, Table
from .command import command
from .describe import number, preset_text
from .library import Library, library_options

SHOWN_ITEMS = 5
SHOWN_TEXT = 200
SHOWN_JSON = 48  # of lists and objects, such as every text's tokens; --json has all of it


@command(
    "diff",
    example="""steer diff weddings@1 weddings@2
    steer diff weddings[18] sentiment[18]""",
)
@click.argument("left", metavar="REF")
@click.argument("right", metavar="OTHER")
@library_options
def diff(library: Library, left: str, right: str) -> Answer:
    """Show in what two versions differ.

    What the computation fixed or the recipe pins, the data, what people say about them, and for vectors the norms,
    cosine and distance at every place.
    """
    with library.look() as store:
        found = compare(store, left, right)
        return Answer(found.to_json(), _parts(found), found.notes)


def _parts(found: Diff) -> list[Part]:
    parts: list[Part] = [_summary(found)]
    if found.fixed:
        parts.append(_differences(found, found.fixed, "the recipe" if found.left.kind == "recipe" else "fixed"))
    if found.items is not None:
        parts += _items(found, found.items)
    if found.movable:
        parts.append(_differences(found, found.movable, "may change"))
    if found.directions and not found.same_blobs:
        parts.append(_directions(found.directions))
    return parts


def _summary(found: Diff) -> str:
    both = f"{found.left.reference} and {found.right.reference}"
    if found.same_version:
        return f"{both} are one version"
    if found.same_blobs:
        return f"{both} have the very same bytes"
    if found.directions and all(pair.equal for pair in found.directions):
        return f"{both} have equal directions"
    return f"{both} differ"


def _differences(found: Diff, differences: Sequence[Difference], title: str) -> Table:
    rows = [(one.part, _part_text(one.part, one.left), _part_text(one.part, one.right)) for one in differences]
    return Table((title, found.left.reference, found.right.reference), rows)


def _items(found: Diff, items: Items) -> list[Part]:
    if not items.removed and not items.added:
        return ["data: the same items in another order"]
    tables = ((found.left.reference, items.removed), (found.right.reference, items.added))
    return [_only(name, only) for name, only in tables if only]


def _only(name: str, items: Sequence[Json]) -> Table:
    more = f" (the first {SHOWN_ITEMS} of {len(items)})" if len(items) > SHOWN_ITEMS else ""
    keys = {key for item in items[:SHOWN_ITEMS] for key in item}
    columns = sorted(keys, key=lambda key: (key != "positive", key))
    rows = [tuple(_text(item.get(column)) for column in columns) for item in items[:SHOWN_ITEMS]]
    return Table(columns, rows, title=f"data of {name} alone{more}")


def _directions(pairs: Sequence[DirectionPair]) -> Table:
    rows = [
        (
            str(pair.place),
            _norm(pair.left),
            _norm(pair.right),
            "" if pair.cosine is None else f"{pair.cosine:+.4f}",
            "equal" if pair.equal else number(pair.distance),
            _shapes(pair),
        )
        for pair in pairs
    ]
    columns = ("place", "norm", "norm of the other", "cosine", "distance", "shape")
    return Table(columns, rows, right=columns[1:5], whole=("shape",), title="directions")


def _norm(direction: Array | None) -> str:
    return "none" if direction is None else number(direction_norm(direction))


def _shapes(pair: DirectionPair) -> str:
    """Return the shapes where they differ; rows, then width."""
    shapes = [f"{side.dtype} {list(side.shape)}" for side in (pair.left, pair.right) if side is not None]
    return " / ".join(shapes) if len(set(shapes)) > 1 else ""


def _part_text(part: str, value: Any) -> str:  # noqa: ANN401 - any JSON
    """Return one side of a difference: presets and pins in words, all else as it is."""
    if value is None:
        return "none"
    if part.startswith("residual_norms."):
        return f"{value:.8g}"  # float32 has no more
    if part.startswith("presets."):
        return preset_text(Preset.from_json(value))
    if part.startswith("terms."):
        preset = f", {preset_text(Preset.from_json(value['preset']))}" if value["preset"] else ""
        return f"{value['version']} ({value['digest'][:19]}){preset}"
    return _text(value)


def _text(value: object) -> str:
    """Return a JSON value as text: texts as Python writes them, nothing for what is not there."""
    if value is None:
        return ""
    if isinstance(value, str) and is_digest(value):
        return value[:19]
    single = isinstance(value, str | bool | int | float)
    text, most = (repr(value), SHOWN_TEXT) if single else (canonical_bytes(value).decode(), SHOWN_JSON)
    return text if len(text) <= most else f"{text[:most]}…"
