"""`steer export`."""

from __future__ import annotations

from pathlib import Path

import click

from vectorstore.formats.export_file import export_file
from vectorstore.manifest import ITEMS_BLOB

from .answer import Answer
from .command import command
from .library import Library, library_options


@command("export", example="steer export weddings@2 --to weddings.safetensors")
@click.argument("reference", metavar="REF")
@click.option(
    "--to",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to write; it ends in .safetensors.",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@library_options
def export(library: Library, reference: str, path: Path, *, force: bool) -> Answer:
    """Write a vector to a file, byte for byte as the library keeps it.

    The file is a safetensors file with the card inside; `steer import` takes it as it is. What people said about the
    version, its presets too, stays in the library: `steer bundle create` takes it along.
    """
    with library.look() as store:
        version = export_file(store, reference, path, force=force)
    blob = version.blobs[0]
    apart = any(entry.media_type == ITEMS_BLOB for entry in version.blobs)
    notes = ["what it was computed from stays in the library: it is too large for the card"] if apart else []
    if version.presets:
        named = ", ".join(version.presets)
        notes.append(f"its presets stay in the library ({named}); give them to `steer import` with --preset")
    document = {
        "version": version.to_json(),
        "file": str(path),
        "digest": blob.digest,
        "size": blob.size,
        "notes": notes,
    }
    return Answer(document, [f"Wrote {version.reference} to {path} ({blob.size} bytes, {blob.digest[:19]})"], notes)
