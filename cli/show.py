"""`steer show`."""

from __future__ import annotations

import click

from vectorstore.card import Card
from vectorstore.client.where import SLASHES
from vectorstore.place import layers_text
from vectorstore.preset import Preset
from vectorstore.recipe import Recipe
from vectorstore.reference import parse_reference
from vectorstore.store.version import Version

from .answer import Answer, Facts, Part, Table
from .command import command
from .describe import labels_text, number, other_unit, preset_text
from .library import Library, library_options

SHOWN_ITEMS = 5
SHOWN_TEXT = 200
SHOWN_PLACES = 3


@command("show", example="steer show weddings@2")
@click.argument("reference", metavar="REF")
@library_options
def show(library: Library, reference: str) -> Answer:
    """Show all that is known about a version.

    REF is a name, or name@2, name@alias, name@sha256:…, or acme//team/name: what a remote says of it.
    """
    wanted = parse_reference(reference).plain()
    if wanted.remote:
        from .browse import show as remote_show  # noqa: PLC0415 - what speaks to remotes is seldom used here

        return remote_show(library.settings, wanted)
    with library.look() as store:
        version = store.resolve(wanted)
        if version.kind == "recipe":
            return _recipe(version, store.read_recipe(version))
        _, card = store.read(version)
        return _vector(version, card)


def directions_table(version: Version) -> Table:
    """Return where the directions are, and how long beside the residual stream."""
    rows = [
        (
            place.site,
            str(place.layer),
            str(direction.width) if direction.positions is None else f"{direction.positions} x {direction.width}",
            number(direction.norm),
            number(direction.residual_norm),
            number(direction.norm / direction.residual_norm) if direction.residual_norm else "",
        )
        for place, direction in version.directions.items()
    ]
    columns = ("site", "layer", "shape", "norm", "R", "norm/R")
    return Table(columns, rows, right=columns[1:], title="directions")


def _vector(version: Version, card: Card) -> Answer:
    parts: list[Part] = [version.reference, Facts([*said_facts(version), *_computed(card)]), directions_table(version)]
    if version.presets:
        parts.append(presets_table(version))
    if card.data.items:
        parts.append(_items(card))
    return Answer(version.to_json() | {"card": card.to_json()}, parts)


def _recipe(version: Version, recipe: Recipe) -> Answer:
    rows = [
        (
            term.reference,
            f"{term.namespace}/{term.name}",
            term.kind,
            term.digest[:19],
            preset_text(term.preset) if term.preset else "",
        )
        for term in recipe.terms
    ]
    parts: list[Part] = [
        version.reference,
        Facts([("expression", recipe.text), *said_facts(version)]),
        Table(("term", "name", "kind", "pinned to", "preset"), rows, title="terms"),
    ]
    if version.presets:
        parts.append(presets_table(version))
    return Answer(version.to_json() | {"recipe": recipe.to_json()}, parts)


def said_facts(version: Version) -> list[tuple[str, str]]:
    """Return what people say about it, and its identity."""
    return [
        ("description", version.description),
        ("digest", version.digest),
        ("created", f"{version.created_at.astimezone():%Y-%m-%d %H:%M}"),
        ("authors", ", ".join(version.authors)),
        ("license", version.license),
        ("aliases", ", ".join(f"@{alias}" for alias in version.aliases)),
        ("labels", labels_text(version)),
        ("yanked", (version.yank_reason or "yes") if version.yanked else ""),
        ("deprecated", version.deprecation or ""),
    ]


def _computed(card: Card) -> list[tuple[str, str]]:
    """Return what the computation fixed."""
    model, method = card.model, card.method
    params = "".join(f", {name}={value!r}" for name, value in method.params.items())
    revision = f" @ {model.revision[:12]}" if model.revision else ""
    bos = "none" if model.bos_token_id is None else str(model.bos_token_id)
    return [
        ("model", f"{model.describe()}{revision}"),
        ("", f"{model.architecture}, {model.dtype}, BOS token {bos}, weights {model.fingerprint[:19]}"),
        ("method", f"{method.name} (version {method.version}){params}"),
        ("data", f"{_count_text(card)}, {card.data.digest[:19]}"),
        ("read at", card.read.positions),
        ("applies", f"{card.apply.operator} to {card.apply.tokens} tokens"),
        ("measured", _measured(card)),
        ("made with", ", ".join(f"{name} {number}" for name, number in card.versions.items())),
    ]


def _measured(card: Card) -> str:
    """Return what the method measured at the first places, such as the threshold of a condition."""
    told = [
        f"{place}: {', '.join(f'{name} {value:.4g}' for name, value in sorted(figures.items()))}"
        for place, figures in card.figures.items()
    ]
    return f"{'; '.join(told[:SHOWN_PLACES])}{'; …' if told[SHOWN_PLACES:] else ''}"


def _bare(version: Version) -> str:
    """Return the reference without its number: what people write before a preset."""
    return version.reference.partition("@")[0]


def presets_table(version: Version, remote: str = "") -> Table:
    """Return the presets, and what their coefficients are in the other unit; of a remote's version, if one is named."""
    before = f"{remote}{SLASHES}" if remote else ""
    rows = [
        (
            f"{before}{_bare(version)}:{name}",
            str(preset.coefficient),
            _other_unit_text(preset, version),
            layers_text(range(preset.layers[0], preset.layers[1] + 1)) if preset.layers else "all layers",
            preset.tokens or "",
        )
        for name, preset in version.presets.items()
    ]
    return Table(("preset", "coefficient", "is", "on", "tokens"), rows, right=("coefficient",), title="presets")


def _other_unit_text(preset: Preset, version: Version) -> str:
    bounds = other_unit(preset, version)
    if bounds is None:
        return ""
    unit = "r" if preset.coefficient.unit == "raw" else ""
    low, high = (f"{bound:.3g}{unit}" for bound in bounds)
    return low if low == high else f"{low} to {high}"


def _items(card: Card) -> Table:
    items = card.data.items or ()
    keys = {key for item in items[:SHOWN_ITEMS] for key in item}
    columns = sorted(keys, key=lambda key: (key != "positive", key))
    rows = [tuple(_item_text(item.get(column, "")) for column in columns) for item in items[:SHOWN_ITEMS]]
    more = f" (the first {SHOWN_ITEMS} of {len(items)})" if len(items) > SHOWN_ITEMS else ""
    return Table(columns, rows, title=f"{card.data.kind}{more}")


def _item_text(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}…"


def _count_text(card: Card) -> str:
    return f"1 {card.data.kind.removesuffix('s')}" if card.data.count == 1 else f"{card.data.count} {card.data.kind}"
