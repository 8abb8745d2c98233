"""Placing: where in a model the tensors of a file belong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal, get_args

from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.formats.keys import key_site
from vectorstore.formats.picking import Picked, listed
from vectorstore.identity import ModelIdentity
from vectorstore.place import SITES, Place, layers_text
from vectorstore.vector import Array, direction_norm

Rows = Literal["positions", "layers", "hidden_states"]
"""What the rows of a matrix are: one for each prompt position, or for each layer; or all that `output_hidden_states`
gives, where row i is the input of layer i and the last comes after the final norm and belongs nowhere."""

Ranges = Sequence[tuple[int, int]]
"""First and last layer, both included; negatives count from the end."""


@dataclass(frozen=True)
class Where:
    """What is said about where the tensors belong.

    Attributes:
        layers: their layers, or those of them that are wanted; none for all that the file has.
        site: of all of them; None for what their names say, or else `resid_pre`.
        rows: what the rows of a matrix are.
    """

    layers: Ranges = ()
    site: str | None = None
    rows: Rows | None = None

    def __post_init__(self) -> None:
        """Refuse words that are none."""
        if self.site is not None and self.site not in SITES:
            raise InvalidInputError(f"no site '{self.site}'", f"choose {', '.join(SITES)}")
        if self.rows is not None and self.rows not in get_args(Rows):
            raise InvalidInputError(f"rows cannot be '{self.rows}'", f"choose {', '.join(get_args(Rows))}")


def check_rows(picked: Iterable[Picked], rows: Rows | None) -> None:
    """Refuse matrices whose rows could be anything, and words about rows where there are none.

    Raises:
        InvalidInputError: saying what to type.
    """
    for tensor in picked:
        shape = list(tensor.array.shape)
        if tensor.array.ndim == 1 and rows is not None:
            raise InvalidInputError(f"{_name(tensor)} has shape {shape}, and no rows", "leave --rows out")
        if tensor.array.ndim != 1 and shape[0] > 1 and rows is None:
            raise InvalidInputError(
                f"{_name(tensor)} has shape {shape}, and does not say what its rows are",
                "say --rows positions (one per prompt token), layers, or hidden_states (layers + 1)",
            )


def place(picked: Sequence[Picked], where: Where, model: ModelIdentity) -> dict[Place, Picked]:
    """Return the tensors `[d]` or `[t, d]` by their places in `model`.

    Raises:
        InvalidInputError: when it is not clear where one belongs, or there is no such layer or site.
        MisfitError: for a width that is not the model's.
    """
    check_rows(picked, where.rows)
    wanted = _numbers(where.layers, model)
    tensors = [part for tensor in picked for part in _parts(tensor, where.rows, wanted, model)]
    placed = _placed(_chosen(tensors, wanted, model), where)
    for at, tensor in placed.items():
        _check(at, tensor, model)
    return placed


def layer_number(model: ModelIdentity, layer: int) -> int:
    """Return the 0-based number of `layer`, which counts from the end when it is negative.

    Raises:
        InvalidInputError: when the model has no such layer.
    """
    count = model.layer_count
    if not -count <= layer < count:
        raise InvalidInputError(
            f"layer {layer} is out of range for {model.describe()}",
            f"choose 0..{count - 1}, or -{count}..-1 from the end",
        )
    return layer % count


def _numbers(ranges: Ranges, model: ModelIdentity) -> list[int]:
    numbers: list[int] = []
    for first, last in ranges:
        start, stop = layer_number(model, first), layer_number(model, last)
        if start > stop:
            raise InvalidInputError(f"layers {first}..{last} run backwards", f"write {last}..{first}")
        numbers.extend(range(start, stop + 1))
    return list(dict.fromkeys(numbers))


def _parts(tensor: Picked, rows: Rows | None, wanted: Sequence[int], model: ModelIdentity) -> list[Picked]:
    """Return the tensor itself, or a part for each layer that its rows are."""
    array = tensor.array
    if array.ndim == 1 or rows == "positions":
        return [tensor]
    if rows is None:
        return [replace(tensor, array=array[0])]
    if tensor.layer is not None:
        raise InvalidInputError(f"{_name(tensor)} is of layer {tensor.layer}, and its rows too", "say one of the two")
    numbers = _row_layers(tensor, rows, wanted, model)
    return [Picked(f"{tensor.key}[{row}]", array[row], layer) for row, layer in enumerate(numbers)]


def _row_layers(tensor: Picked, rows: Rows, wanted: Sequence[int], model: ModelIdentity) -> Sequence[int]:
    found, count = len(tensor.array), model.layer_count
    if found == count + (rows == "hidden_states"):
        return range(count)  # the row after the final norm is left out
    if rows == "layers" and found == len(wanted):
        return wanted
    if rows == "hidden_states":
        raise InvalidInputError(f"{_name(tensor)} has {found} rows", f"hidden states of {count} layers are {count + 1}")
    raise InvalidInputError(
        f"{_name(tensor)} has {found} rows, and {model.describe()} has {count} layers",
        "say which layers they are with --layer, such as 0..11; or say --rows hidden_states for layers + 1",
    )


def _chosen(tensors: Sequence[Picked], wanted: Sequence[int], model: ModelIdentity) -> list[Picked]:
    """Return the tensors, each with its layer, of those that are wanted."""
    if len(tensors) == 1 and tensors[0].layer is None:
        return [replace(tensors[0], layer=_only(tensors[0], wanted))]
    if len(tensors) == len(wanted) and all(tensor.key.endswith("]") for tensor in tensors):  # a list, in its order
        return [replace(tensor, layer=layer) for tensor, layer in zip(tensors, wanted, strict=True)]
    if nameless := [tensor for tensor in tensors if tensor.layer is None]:
        raise InvalidInputError(
            f"several tensors, and the name of {_name(nameless[0])} says no layer: {_listed(tensors)}",
            "choose with --key NAME, or NAME=LAYER; of a list, say all layers with --layer",
        )
    by_layer = {id(tensor): layer_number(model, tensor.layer or 0) for tensor in tensors}
    if missing := sorted(set(wanted) - set(by_layer.values())):
        raise InvalidInputError(
            f"no tensor of layer {missing[0]}: there is {layers_text(set(by_layer.values()))}",
            f"to put one elsewhere, write --key {tensors[0].key}={missing[0]}",
        )
    resolved = [replace(tensor, layer=by_layer[id(tensor)]) for tensor in tensors]
    return [tensor for tensor in resolved if not wanted or tensor.layer in wanted]


def _only(tensor: Picked, wanted: Sequence[int]) -> int:
    if len(wanted) != 1:
        said = f"{len(wanted)} layers are given" if wanted else "no layer is given"
        raise InvalidInputError(f"{said} for {_name(tensor)}", "say where it belongs, such as --layer 14")
    return wanted[0]


def _placed(tensors: Sequence[Picked], where: Where) -> dict[Place, Picked]:
    places = [Place(_site(tensor, where), tensor.layer or 0) for tensor in tensors]
    at, times = Counter(places).most_common(1)[0]
    if times > 1:
        raise InvalidInputError(f"{times} tensors for {at}: {_listed(tensors)}", "choose with --key NAME")
    return dict(zip(places, tensors, strict=True))


def _site(tensor: Picked, where: Where) -> str:
    said = "resid_pre" if where.rows == "hidden_states" else None if where.site else key_site(tensor.key)
    if where.rows == "hidden_states" and where.site not in (None, said):
        raise InvalidInputError(f"hidden states are resid_pre, and the site is {where.site}", "leave --site out")
    return where.site or said or SITES[0]


def _check(at: Place, tensor: Picked, model: ModelIdentity) -> None:
    width = model.widths.get(at.site)
    if width is None:
        raise InvalidInputError(f"{model.describe()} has no site {at.site}", f"choose {', '.join(model.widths)}")
    if tensor.array.shape[-1] != width:
        raise MisfitError(
            f"{_name(tensor)} has width {tensor.array.shape[-1]}, and {at.site} of {model.describe()} has {width}",
            "name the model that it was computed on",
        )
    norm = direction_norm(tensor.array)
    if norm == 0 or not isfinite(norm):
        raise InvalidInputError(
            f"{_name(tensor)} has norm {norm:g} at {at}", "choose the layers that have a direction with --layer"
        )


def _name(tensor: Picked) -> str:
    return f"'{tensor.key[:80]}'" if tensor.key else "the tensor"


def _listed(tensors: Iterable[Picked]) -> str:
    arrays: dict[str, Array] = {tensor.key: tensor.array for tensor in tensors}
    return listed(arrays)
