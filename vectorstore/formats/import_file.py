"""Import: a file that people already have becomes a vector with a card that says what is known, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vectorstore.card import Apply, Card, Data, MethodUse, ReadPositions
from vectorstore.codec import check_card
from vectorstore.errors import InvalidInputError
from vectorstore.formats.known_model import KnownModel
from vectorstore.formats.picking import Picked, pick
from vectorstore.formats.placing import Rows, Where, check_rows, place
from vectorstore.formats.tensor_file import TensorFile, read_tensors
from vectorstore.place import Place
from vectorstore.plan import check_tokens
from vectorstore.reference import MAX_NAME
from vectorstore.store.texts import check_text
from vectorstore.tokens import Tokens
from vectorstore.vector import SteeringVector

EXTERNAL = "external"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Wanted:
    """What is said about a file of somebody else's tensors.

    Attributes:
        keys: which of them are meant.
        where: where they belong.
        tokens: which tokens they steer; None for what their shape says.
        method: how they were made.
    """

    keys: tuple[str, ...] = ()
    where: Where = field(default_factory=Where)
    tokens: Tokens | None = None
    method: str = EXTERNAL

    def check(self, file: TensorFile) -> None:
        """Refuse what can be refused before a model is loaded.

        Raises:
            InvalidInputError, NotFoundError, IntegrityError: as `import_file` does.
        """
        check_text("method", self.method, MAX_NAME)
        if not self.method:
            raise InvalidInputError("the method is empty", "name it, such as caa, or leave it out")
        if file.blob is None:
            check_rows(pick(file, self.keys), self.where.rows)
        elif self != Wanted():
            raise InvalidInputError(
                f"{file.name} is a steering vector with a card that says what it is",
                "give its name alone; layers, sites and methods are not to be said again",
            )


def import_file(  # noqa: PLR0913 - two things, and settings by keyword with defaults
    path: str | Path,
    model: KnownModel | None = None,
    *,
    layer: int | Sequence[int] = (),
    site: str | None = None,
    keys: Sequence[str] = (),
    rows: Rows | None = None,
    tokens: Tokens | None = None,
    method: str = EXTERNAL,
) -> tuple[SteeringVector, Card]:
    """Return the steering vector of a file, and its card.

    A blob of ours brings its own card, and needs no model. Layers named by the tensors' keys need not be given.

    Args:
        path: `.safetensors`, `.npy`, `.npz`, `.pt`, `.pth` or `.bin`.
        model: what the directions belong to: `measured(model, tokenizer)`, or `KnownModel.of_card(card)`.
        layer: where they belong, or which of them are wanted; 0-based, negatives count from the end.
        site: `resid_pre` is a layer's input, and `hidden_states[i]`; `resid_post` its output. By default what the keys
            say, or else `resid_pre`.
        keys: the tensors that are meant: `name`, or `name=6`.
        rows: what the rows of a matrix are.
        tokens: which tokens are steered; by default `prompt_front` for `[t, d]`, `all` for `[d]`.
        method: how the directions were made, as the card shall say.

    Raises:
        NotFoundError: for a file or key that is not there.
        InvalidInputError: when it is not clear what belongs where.
        IntegrityError: for a file that is damaged, wants to run code, or has NaN.
        MisfitError: for a width that is not the model's.
    """
    layers = [layer] if isinstance(layer, int) else layer
    where = Where(tuple((number, number) for number in layers), site, rows)
    return imported(read_tensors(path), Wanted(tuple(keys), where, tokens, method), model)


def imported(file: TensorFile, wanted: Wanted, model: KnownModel | None) -> tuple[SteeringVector, Card]:
    """Return the steering vector of a file that was read, and its card.

    Raises:
        InvalidInputError, IntegrityError, MisfitError, NotFoundError: as `import_file` does.
    """
    wanted.check(file)
    if file.blob is not None:
        if model is not None:
            raise InvalidInputError(f"{file.name} has a card that says its model", "leave the model out")
        return file.blob
    if model is None:
        raise InvalidInputError(
            f"{file.name} does not say which model it is for", "give --model REF, or --like a version on that model"
        )
    placed = place(pick(file, wanted.keys), wanted.where, model.identity)
    vector = SteeringVector({at: tensor.array for at, tensor in placed.items()})
    card = Card(
        model=model.identity,
        method=MethodUse(wanted.method, UNKNOWN),
        data=Data.of("file", (_item(file, placed),)),
        read=ReadPositions(UNKNOWN),
        apply=Apply(_tokens(vector, wanted.tokens)),
        norms=vector.norms,
        residual_norms=model.residual_norms(vector.places),
        versions=model.versions,
    )
    check_card(vector, card)
    return vector, card


def _item(file: TensorFile, placed: dict[Place, Picked]) -> dict[str, object]:
    keys = {str(at): tensor.key for at, tensor in placed.items()}
    return {"file": file.name, "digest": file.digest, "tensors": keys}


def _tokens(vector: SteeringVector, tokens: Tokens | None) -> Tokens:
    by_position = any(direction.ndim > 1 for direction in vector.directions.values())
    chosen = tokens or ("prompt_front" if by_position else "all")
    for at, direction in vector.directions.items():
        check_tokens(direction.shape, at, chosen)
    return chosen
