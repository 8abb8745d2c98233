"""`steer bundle create|verify|apply`."""

from __future__ import annotations

from pathlib import Path

import click

from vectorstore.transfer.bundle import apply_bundle, create_bundle, verify_bundle

from .answer import Answer, Facts, Part, Table
from .command import group, subcommand
from .library import Library, library_options
from .oci import arrived_answer
from .progress import progress
from .values import size_text

FILE = click.Path(path_type=Path)


@group(
    "bundle",
    example="""steer bundle create weddings acme/mix@prod --to vectors.tar
    steer bundle verify vectors.tar
    steer bundle apply vectors.tar --dry-run""",
)
def bundle() -> None:
    """Carry versions with all that they need to another library.

    They travel in one file, an OCI image layout in a tar archive: other programs for OCI artifacts read it too. The
    same versions give the same file, byte for byte.
    """


@subcommand(bundle, "create", example="steer bundle create weddings acme/mix@prod --to vectors.tar")
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@click.option("--to", "path", required=True, type=FILE, metavar="FILE", help="The file to write.")
@click.option("--aliases", is_flag=True, help="Put in which aliases they have.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@library_options
def create(library: Library, references: tuple[str, ...], path: Path, *, aliases: bool, force: bool) -> Answer:
    """Write versions to a file, with all that they pin and what they were made from.

    What was said about a version when it was saved goes with it: its description, license, authors, labels and presets.
    What was changed since stays here.
    """
    with library.look() as store:
        written = create_bundle(store, references, path, aliases=aliases, force=force)
    document = written.to_json() | {"versions": [version.to_json() for version in written.versions]}
    rows = [(version.reference, version.kind, version.digest[:19]) for version in written.versions]
    line = f"Wrote {len(rows)} versions to {path} ({size_text(written.size)})"
    return Answer(document, [Table(("version", "kind", "digest"), rows, whole=("version", "digest")), line])


@subcommand(bundle, "verify", example="steer bundle verify vectors.tar")
@click.argument("path", metavar="FILE", type=FILE)
@library_options
def verify(library: Library, path: Path) -> Answer:  # noqa: ARG001 - every command takes the options; no library is needed
    """Check every byte of a bundle, and that nothing is missing; no library is needed.

    It ends with 6 where anything is wrong.
    """
    verified = verify_bundle(path)
    parts: list[Part] = [Facts([("versions", ", ".join(verified.versions)), ("blobs", str(verified.blobs))])]
    if verified.ok:
        parts.append(f"{path} is sound ({size_text(path.stat().st_size)})")
    else:
        parts.append(Table(("about", "problem"), verified.problems, title=f"{path} is not sound"))
    return Answer(verified.to_json(), parts, exit_code=0 if verified.ok else 6)


@subcommand(bundle, "apply", example="steer bundle apply vectors.tar --as team")
@click.argument("path", metavar="FILE", type=FILE)
@click.option(
    "--as", "namespace", metavar="NAMESPACE", help="Let all of them live there; otherwise where they came from."
)
@click.option("--renumber", is_flag=True, help="Let each have the next number of its name, instead of its own.")
@click.option("--dry-run", is_flag=True, help="Only say what would come in.")
@library_options
def apply(library: Library, path: Path, namespace: str | None, *, renumber: bool, dry_run: bool) -> Answer:
    """Bring the versions of a bundle in; what is here already is not touched.

    Nothing comes in where anything in the file is wrong, or a name or number contradicts what is here.
    """
    with library.open() as store, progress(f"Reading {path.name}") as bar:
        arrived = apply_bundle(
            store, path, namespace=namespace, renumber=renumber, dry_run=dry_run, advance=bar.advance
        )
    return arrived_answer(arrived)
