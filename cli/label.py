"""`steer label set|remove`."""

from __future__ import annotations

import click

from .answer import Answer
from .command import group, subcommand
from .describe import labels_text
from .library import Library, library_options
from .values import LabelType


@group("label", example="steer label set weddings topic=weddings")
def label() -> None:
    """Set or remove labels, such as topic=weddings.

    `steer list --label topic=weddings` finds what has them.
    """


@subcommand(label, "set", example="steer label set weddings@2 topic=weddings")
@click.argument("reference", metavar="REF")
@click.argument("pair", metavar="KEY=VALUE", type=LabelType())
@library_options
def set_label(library: Library, reference: str, pair: tuple[str, str]) -> Answer:
    """Label the version REF, or change a label's value."""
    with library.look() as store:
        version = store.set_label(reference, *pair)
    return Answer(version.to_json(), [f"{version.reference} has {labels_text(version)}"])


@subcommand(label, "remove", example="steer label remove weddings@2 topic")
@click.argument("reference", metavar="REF")
@click.argument("key", metavar="KEY")
@library_options
def remove_label(library: Library, reference: str, key: str) -> Answer:
    """Remove a label from the version REF."""
    with library.look() as store:
        version = store.remove_label(reference, key)
    return Answer(version.to_json(), [f"{version.reference} has {labels_text(version) or 'no labels'}"])
