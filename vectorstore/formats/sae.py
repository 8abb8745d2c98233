"""A feature of a sparse autoencoder as a steering vector: its row of the decoder, and a card that says which."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vectorstore.card import Apply, Card, Data, MethodUse, ReadPositions
from vectorstore.codec import check_card
from vectorstore.errors import InvalidInputError
from vectorstore.formats.import_file import UNKNOWN
from vectorstore.formats.known_model import KnownModel
from vectorstore.formats.picking import Picked
from vectorstore.formats.placing import Where, place
from vectorstore.formats.sae_file import Matrix, find_decoder
from vectorstore.plan import check_tokens
from vectorstore.tokens import Tokens
from vectorstore.vector import SteeringVector, direction_norm

SAE = "sae"
STORED_NORM = "stored_norm"


@dataclass(frozen=True)
class Feature:
    """What is said about a feature.

    Attributes:
        number: its 0-based index.
        where: the one layer and the site that the autoencoder was trained at.
        as_stored: whether the direction keeps the norm that it has in the file, rather than 1.
        tokens: which tokens it steers.
    """

    number: int
    where: Where
    as_stored: bool = False
    tokens: Tokens = "all"

    def __post_init__(self) -> None:
        """Refuse what does not say one place: one layer too far is another space, and nothing would show it."""
        layers = self.where.layers
        if self.where.site is None or len(layers) != 1 or layers[0][0] != layers[0][1]:
            raise InvalidInputError(
                "an autoencoder is of one site at one layer, and they are not both said",
                "give what it was trained at, such as --layer 12 --site resid_post",
            )
        if self.where.rows is not None:
            raise InvalidInputError("the rows of a decoder are its features", "leave --rows out")


def import_feature(  # noqa: PLR0913 - two things, and settings by keyword
    path: str | Path,
    model: KnownModel | None = None,
    *,
    feature: int,
    layer: int,
    site: str,
    key: str | None = None,
    as_stored: bool = False,
    tokens: Tokens = "all",
) -> tuple[SteeringVector, Card]:
    """Return the decoder's direction of one feature, at norm 1, and its card. No more of the matrix is read.

    Args:
        path: the autoencoder's weights, `.safetensors` or `.npz`.
        model: what it was trained on: `measured(model, tokenizer)`, or `KnownModel.of_card(card)`.
        feature: its 0-based number.
        layer: the layer it was trained at; negatives count from the end.
        site: the site there: `resid_post` for `hook_resid_post` of the same layer.
        key: the decoder's name; found by itself where it is `W_dec` or `decoder.weight`.
        as_stored: keep the norm that the direction has in the file.
        tokens: which tokens are steered.

    Raises:
        NotFoundError: for a file or decoder that is not there.
        InvalidInputError: for a feature or layer out of range, or a tensor that is no decoder.
        IntegrityError: for a file that is damaged, or has NaN there.
        MisfitError: for a decoder of another width than the model has at the site.
        UnavailableError: when the file cannot be read.
    """
    wanted = Feature(feature, Where(((layer, layer),), site), as_stored, tokens)
    return feature_vector(find_decoder(path, key), wanted, model)


def feature_vector(decoder: Matrix, wanted: Feature, model: KnownModel | None) -> tuple[SteeringVector, Card]:
    """Return what `import_feature` does, of a decoder that was found.

    Raises:
        InvalidInputError, IntegrityError, MisfitError, UnavailableError: as `import_feature` does.
    """
    if model is None:
        raise InvalidInputError(
            f"{decoder.path.name} does not say which model it is for",
            "give --model REF, or --like a version on that model",
        )
    name, direction = decoder.feature(wanted.number, _width(model, wanted.where.site))
    (at,) = place([Picked(name, direction, None)], wanted.where, model.identity)
    check_tokens(direction.shape, at, wanted.tokens)
    norm = direction_norm(direction)
    if not wanted.as_stored:
        direction = (direction.astype(np.float64) / norm).astype(np.float32)
    vector = SteeringVector({at: direction})
    item = {"file": decoder.path.name, "digest": _digest(decoder.path), "tensors": {str(at): name}}
    card = Card(
        model=model.identity,
        method=MethodUse(SAE, "1", {"feature": wanted.number, "as_stored": wanted.as_stored}),
        data=Data.of("file", (item,)),
        read=ReadPositions(UNKNOWN),
        apply=Apply(wanted.tokens),
        norms=vector.norms,
        residual_norms=model.residual_norms(vector.places),
        versions=model.versions,
        figures={at: {STORED_NORM: norm}},
    )
    check_card(vector, card)
    return vector, card


def _width(model: KnownModel, site: str | None) -> int:
    widths = model.identity.widths
    if site is None or site not in widths:
        raise InvalidInputError(f"{model.identity.describe()} has no site {site}", f"choose {', '.join(widths)}")
    return widths[site]


def _digest(path: Path) -> str:
    """Return the digest of a file of any size, which takes a second for each gigabyte or two, and no memory."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
