"""Describe: versions in words and numbers, as the tables show them."""

from __future__ import annotations

from collections.abc import Iterable

from vectorstore.coefficient import Coefficient
from vectorstore.place import layers_text
from vectorstore.preset import Preset
from vectorstore.store.version import Direction, Version


def versions_table_rows(versions: Iterable[Version]) -> list[tuple[str, ...]]:
    """Return a row for each version, to go under VERSION_COLUMNS."""
    return [
        (
            version.reference,
            version.model_reference or "",
            version.method or version.kind,
            places_text(version),
            presets_text(version),
            ", ".join(version.aliases),
            labels_text(version),
            f"{version.created_at:%Y-%m-%d}",
        )
        for version in versions
    ]


VERSION_COLUMNS = ("version", "model", "method", "where", "presets", "aliases", "labels", "created")


def places_text(version: Version) -> str:
    """Return `resid_pre 6..12`; nothing for recipes."""
    if not version.directions:
        return ""
    layers = layers_text(version.layers).split(" ", 1)[1]
    return f"{', '.join(version.sites)} {layers}"


def presets_text(version: Version) -> str:
    """Return `mild 2, strong 0.15r`."""
    return ", ".join(f"{name} {preset.coefficient}" for name, preset in version.presets.items())


def preset_text(preset: Preset) -> str:
    """Return `0.15r on layers 6..12 of last tokens`."""
    on_layers = f" on {layers_text(range(preset.layers[0], preset.layers[1] + 1))}" if preset.layers else ""
    return f"{preset.coefficient}{on_layers}{f' of {preset.tokens} tokens' if preset.tokens else ''}"


def labels_text(version: Version) -> str:
    """Return `topic=weddings, tone=warm`."""
    return ", ".join(f"{key}={value}" for key, value in version.labels.items())


def number(value: float | None) -> str:
    """Return four significant digits; nothing for None."""
    return "" if value is None else f"{value:.4g}"


def other_unit(preset: Preset, version: Version) -> tuple[float, float] | None:
    """Return the smallest and largest coefficient that say the same in the other unit, over the preset's directions.

    None where there is no R, or nothing to convert.
    """
    layers = preset.layers or (0, max(version.layers, default=0))
    chosen = [d for place, d in version.directions.items() if layers[0] <= place.layer <= layers[1]]
    values = [_convert(preset.coefficient, direction) for direction in chosen]
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known and len(known) == len(values) else None


def _convert(coefficient: Coefficient, direction: Direction) -> float | None:
    if not direction.residual_norm or not direction.norm:
        return None
    ratio = direction.norm / direction.residual_norm
    value = float(coefficient.number)
    return value / ratio if coefficient.unit == "r" else value * ratio
