"""`steer import`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

import click

from vectorstore.card import Card
from vectorstore.errors import InvalidInputError
from vectorstore.formats.import_file import EXTERNAL, Wanted, imported
from vectorstore.formats.keys import key_site
from vectorstore.formats.known_model import KnownModel
from vectorstore.formats.placing import Rows, Where
from vectorstore.formats.sae import Feature, feature_vector
from vectorstore.formats.sae_file import find_decoder
from vectorstore.formats.tensor_file import TensorFile, read_tensors
from vectorstore.place import SITES
from vectorstore.store import Store
from vectorstore.store.texts import split_name
from vectorstore.store.version import Saved
from vectorstore.tokens import Tokens
from vectorstore.vector import SteeringVector

from .about import About, about_options
from .answer import Answer, Part
from .command import command
from .library import Library, library_options
from .model import ModelChoice, notes, optional_model_options
from .progress import progress
from .show import directions_table
from .values import Layers, LayersType

_Make = Callable[[KnownModel | None], tuple[SteeringVector, Card]]
"""What is known of the model -> the vector of a file, and its card."""
_Told = Callable[[Saved, Card], list[str]]
"""What was saved -> notes about it."""


@command(
    "import",
    example="""steer import refusal.pt --name refusal --model demo --layer 14 --site resid_post --method caa
    steer import all_layers.npy --name honesty --like weddings --rows hidden_states --layer 10..20
    steer import sae_weights.safetensors --name paris --feature 1234 --like weddings --layer 8 --site resid_pre
    steer import weddings.safetensors --name weddings""",
)
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--name", required=True, metavar="NAME", help="What it shall be called: NAME or namespace/NAME.")
@optional_model_options
@click.option("--like", metavar="REF", help="Instead of --model: a version on the same model; no weights are loaded.")
@click.option("--layer", "layers", type=LayersType(), multiple=True, help="0-based: 18, -1, or 6..12; may be repeated.")
@click.option(
    "--site",
    type=click.Choice(SITES),
    help="Where in the layer. resid_post is a layer's output; resid_pre its input, which is hidden_states[layer]. "
    "[default: what the tensors' names say, or resid_pre]",
)
@click.option(
    "--key", "keys", multiple=True, metavar="KEY[=LAYER]", help="A tensor of the file, or a dictionary of them."
)
@click.option(
    "--rows",
    type=click.Choice(get_args(Rows)),
    help="What the rows of a matrix are: one per prompt token, one per layer, or what output_hidden_states gives, "
    "which is one per layer and a last one that belongs nowhere.",
)
@click.option(
    "--tokens",
    type=click.Choice(get_args(Tokens)),
    help="Which tokens it steers. [default: prompt_front with rows of positions, or all]",
)
@click.option("--method", default=EXTERNAL, show_default=True, metavar="NAME", help="How it was made, such as caa.")
@click.option(
    "--feature",
    type=click.IntRange(0),
    metavar="N",
    help="FILE is a sparse autoencoder, .safetensors or .npz: take the decoder's direction of feature N, at norm 1.",
)
@click.option("--as-stored", is_flag=True, help="Of a feature: keep the norm that its direction has in the file.")
@about_options
@library_options
def import_file(  # noqa: PLR0913 - options
    *,
    library: Library,
    choice: ModelChoice | None,
    about: About,
    path: Path,
    name: str,
    like: str | None,
    layers: tuple[Layers, ...],
    site: str | None,
    keys: tuple[str, ...],
    rows: Rows | None,
    tokens: Tokens | None,
    method: str,
    feature: int | None,
    as_stored: bool,
) -> Answer:
    """Save a vector of another tool, or one that `steer export` wrote.

    FILE is .safetensors, .npy, .npz, .pt, .pth or .bin. Nothing in it is ever run. The layers are those that its
    tensors' names say, as in layer.6 or blocks.6.hook_resid_pre, or --layer. Most tools mean a layer's output: say
    --site resid_post for them. Of a sparse autoencoder with gigabytes, --feature reads one direction.
    """
    split_name(name)
    where = Where(layers, site, rows)
    if feature is None:
        make, told = _tensors(path, Wanted(keys, where, tokens, method), choice, like, as_stored=as_stored)
    else:
        chosen = Feature(feature, where, as_stored, tokens or "all")
        make, told = _decoder(path, chosen, _only_key(keys, method), choice, like)
    with library.open() as store:
        vector, card = make(_model(store, choice, like))
        saved = store.save(name, vector, card, **vars(about))
    return _answer(saved, card, told(saved, card))


def _tensors(
    path: Path, wanted: Wanted, choice: ModelChoice | None, like: str | None, *, as_stored: bool
) -> tuple[_Make, _Told]:
    """Return what makes the vector of a file of tensors, and what is to be said of it, once all that is given suits."""
    if as_stored:
        raise InvalidInputError("--as-stored is about a feature, and none is given", "say which with --feature N")
    with progress(f"Reading {path.name}"):  # a .pt file takes torch, which takes seconds
        file = read_tensors(path)
    wanted.check(file)
    _check_model(path, choice, like, ours=file.blob is not None)
    return partial(imported, file, wanted), partial(_notes, file, wanted.where)


def _decoder(
    path: Path, feature: Feature, key: str | None, choice: ModelChoice | None, like: str | None
) -> tuple[_Make, _Told]:
    """Return the same for a feature of an autoencoder."""
    matrix = find_decoder(path, key)
    _check_model(path, choice, like)
    return partial(feature_vector, matrix, feature), _unknown_r


def _only_key(keys: tuple[str, ...], method: str) -> str | None:
    if len(keys) > 1:
        raise InvalidInputError(f"{len(keys)} keys for one decoder", "give one --key, or none")
    if method != EXTERNAL:
        raise InvalidInputError(f"the method is '{method[:60]}', and that of a feature is sae", "leave --method out")
    return keys[0] if keys else None


def _check_model(path: Path, choice: ModelChoice | None, like: str | None, *, ours: bool = False) -> None:
    given = (choice is not None) + (like is not None)
    if ours and given:
        raise InvalidInputError(f"{path.name} has a card that says its model", "leave --model and --like out")
    if not ours and given != 1:
        said = "both --model and --like are given" if given else f"{path.name} does not say which model it is for"
        raise InvalidInputError(said, "give --model REF, or --like a version on that model")


def _model(store: Store, choice: ModelChoice | None, like: str | None) -> KnownModel | None:
    if like is not None:
        return KnownModel.of_card(store.read(like)[1])
    if choice is None:
        return None
    with progress(f"Loading {choice.reference}") as bar, notes():
        from vectorstore.formats.measured import measured  # noqa: PLC0415 - torch, and only --model needs it

        return measured(*choice.load(bar))


def _answer(saved: Saved, card: Card, said: list[str]) -> Answer:
    version = saved.version
    document = {"created": saved.created, "version": version.to_json(), "card": card.to_json(), "notes": said}
    first = "Saved" if saved.created else "Nothing new: this is exactly"
    parts: list[Part] = [f"{first} {version.reference} ({version.digest[:19]})", directions_table(version)]
    return Answer(document, parts, said)


def _notes(file: TensorFile, where: Where, saved: Saved, card: Card) -> list[str]:
    said = []
    if file.blob is not None:
        if saved.version.blobs[0].digest != file.digest:
            said.append(f"{file.name} was written by another program; its bytes, and so its digest, are not kept")
        return said
    if where.site is None and where.rows != "hidden_states" and not _says_sites(card):
        said.append("taken as resid_pre, the layers' input; for directions of their output say --site resid_post")
    return said + _unknown_r(saved, card)


def _unknown_r(_saved: Saved, card: Card) -> list[str]:
    unknown = [str(place) for place in card.places if place.site != "head_out" and place not in card.residual_norms]
    said = "R is not known at {}: coefficients such as 0.1r need it, and --model measures it"
    return [said.format(unknown[0])] if unknown else []


def _says_sites(card: Card) -> bool:
    items = card.data.items or ()
    return all(key_site(key) for item in items for key in item["tensors"].values())
