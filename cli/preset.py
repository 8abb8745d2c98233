"""`steer preset set|remove`."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import click

from vectorstore.errors import InvalidInputError
from vectorstore.preset import Preset
from vectorstore.tokens import Tokens

from .answer import Answer
from .command import group, subcommand
from .describe import presets_text
from .library import Library, library_options
from .values import Layers, LayersType, PresetType


@group("preset", example="steer preset set weddings strong=0.15r")
def preset() -> None:
    """Set or remove presets: named coefficients, such as love:strong.

    A coefficient is a number that multiplies the direction (2); or, with the unit r, the norm that the direction gets,
    in multiples of the residual norm R of its layer (0.15r).
    """


@subcommand(
    preset,
    "set",
    example="""steer preset set weddings strong=0.15r
    steer preset set weddings@2 gentle=0.05r --layers 6..12 --tokens prompt""",
)
@click.argument("reference", metavar="REF")
@click.argument("named", metavar="NAME=COEFFICIENT", type=PresetType())
@click.option("--layers", type=LayersType(), help="Only these layers: 6, or 6..12.")
@click.option("--tokens", type=click.Choice(get_args(Tokens)), help="Only these tokens, instead of what the card says.")
@library_options
def set_preset(
    library: Library, reference: str, named: tuple[str, Preset], layers: Layers | None, tokens: Tokens | None
) -> Answer:
    """Keep a named coefficient with the version REF, or change one."""
    if layers and layers[0] < 0:
        raise InvalidInputError(f"a preset on layer {layers[0]}", "count its layers from 0")
    name, coefficient = named
    with library.look() as store:
        version = store.set_preset(reference, name, replace(coefficient, layers=layers, tokens=tokens))
    return Answer(version.to_json(), [f"{version.reference} has {presets_text(version)}"])


@subcommand(preset, "remove", example="steer preset remove weddings@2 strong")
@click.argument("reference", metavar="REF")
@click.argument("name", metavar="NAME")
@library_options
def remove_preset(library: Library, reference: str, name: str) -> Answer:
    """Remove a preset from the version REF."""
    with library.look() as store:
        version = store.remove_preset(reference, name)
    return Answer(version.to_json(), [f"{version.reference} has {presets_text(version) or 'no presets'}"])
