"""`steer compute`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import click

import vectorstore.extract
from vectorstore.card import Card
from vectorstore.errors import InvalidInputError
from vectorstore.extract.axis import APART, COSINE_TO_MEAN
from vectorstore.extract.finish import DTYPES
from vectorstore.extract.methods.actadd import ACTADD
from vectorstore.extract.methods.model_delta import COHERENCE, INCOHERENT
from vectorstore.extract.other import check_other
from vectorstore.extract.params import Param
from vectorstore.extract.protocols import AnyMethod
from vectorstore.extract.registry import get_method, method_names
from vectorstore.models.layers import resolve_layer
from vectorstore.models.pretrained import Model
from vectorstore.place import SITES, Place
from vectorstore.store.texts import split_name
from vectorstore.store.version import Saved

from .about import About, about_options
from .answer import Answer, Part
from .command import command
from .given import Given, given_options, remarks
from .library import Library, library_options
from .model import ModelChoice, model_options, notes
from .progress import progress
from .show import directions_table
from .values import Layers, LayersType

LARGE = 4  # times R; directions of ordinary tokens stay below twice R
PARAM = "param_"


def method_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for every setting that any extraction method declares."""
    declared: dict[str, dict[Param, list[str]]] = {}
    for name in method_names():
        with suppress(InvalidInputError):  # a plug-in that does not load says so when it is asked for
            for param in get_method(name).params:
                declared.setdefault(param.name, {}).setdefault(param, []).append(name)
    for params in reversed(declared.values()):
        function = _option(params)(function)
    return function


def _option(params: Mapping[Param, Sequence[str]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the one option for settings of one name; each method may have another default."""
    first = next(iter(params))
    if all(param.default is False for param in params):
        return click.option(first.option, f"{PARAM}{first.name}", flag_value="true", default=None, help=first.help)
    if len(params) == 1:
        said = f"{', '.join(params[first])}: {first.help} [default: {first.default!r}]"
    else:
        defaults = "; ".join(f"{', '.join(names)}: {param.default!r}" for param, names in params.items())
        help_ = "Where to read; `steer methods` explains." if first.name == "read" else first.help
        said = f"{help_} [default of {defaults}]"
    return click.option(first.option, f"{PARAM}{first.name}", metavar="VALUE", help=said)


@command(
    "compute",
    example="""steer compute weddings --model demo --layer 18 --positive ' weddings' --negative ' ' --preset strong=1
    steer compute mood --model demo --layer 12..20 --pairs mood.jsonl --method mean_difference --preset mild=0.1r""",
)
@click.argument("name")
@model_options
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Texts in one forward pass.")
@click.option(
    "--layer",
    "layers",
    type=LayersType(),
    multiple=True,
    required=True,
    help="0-based: 18, -1, or 6..12; may be repeated.",
)
@given_options
@click.option("--other", metavar="REF", help="The second model, for methods that compare two.")
@click.option("--method", default="actadd", show_default=True, metavar="NAME", help="See `steer methods`.")
@click.option("--site", type=click.Choice(SITES), help="Where in the layer.  [default: the method's, mostly resid_pre]")
@method_options
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="For methods that draw at random."
)
@click.option(
    "--store-dtype", type=click.Choice(list(DTYPES)), default="float32", show_default=True, help="Of the vector."
)
@about_options
@library_options
def compute(  # noqa: PLR0913 - options
    *,
    library: Library,
    choice: ModelChoice,
    about: About,
    given: Given,
    name: str,
    layers: tuple[Layers, ...],
    method: str,
    site: str | None,
    other: str | None,
    batch_size: int,
    seed: int,
    store_dtype: str,
    **options: str | None,
) -> Answer:
    """Compute a steering vector from contrast pairs, and save it.

    It becomes the next version of NAME (or namespace/NAME). One pair is given as --positive and
    --negative; mean_difference takes any number, from a file. `steer methods` says what each method takes.
    """
    split_name(name)
    chosen = get_method(method)
    data = given.items(chosen.data)
    params = _params(chosen, options)
    chosen.check_data(data, chosen.use(params, seed))
    check_other(chosen, other is not None)
    with library.open() as store, notes(), progress(f"Loading {choice.reference}") as bar:
        model, tokenizer = choice.load(bar)
        second = replace(choice, reference=other).load(bar)[0] if other else None
        numbers = _layers(model, layers)
        bar.say(f"Computing {name}")
        vector, card = vectorstore.extract.compute(
            model,
            tokenizer,
            data,
            layer=numbers,
            method=method,
            site=site,
            batch_size=batch_size,
            dtype=store_dtype,
            params=params,
            seed=seed,
            other=second,
            progress=bar.advance,
        )
        saved = store.save(name, vector, card, **vars(about))
    said = (note for notes in (_summed, _long, _apart, _incoherent, _useless) for note in notes(card))
    return _answer(saved, card, [*remarks(data), *said])


def _params(method: AnyMethod, options: Mapping[str, str | None]) -> dict[str, object]:
    """Return the method's settings that were given, each as the type it declares."""
    given = {name.removeprefix(PARAM): text for name, text in options.items() if text is not None}
    declared = {param.name: param for param in method.params}
    return {name: _typed(declared[name], text) if name in declared else text for name, text in given.items()}


def _typed(param: Param, text: str) -> object:
    if isinstance(param.default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return type(param.default)(text)
    except ValueError:
        return text  # the method says what it wants


def _layers(model: Model, ranges: tuple[Layers, ...]) -> list[int]:
    numbers: list[int] = []
    for first, last in ranges:
        start, stop = resolve_layer(model, first), resolve_layer(model, last)
        if start > stop:
            raise InvalidInputError(f"layers {first}..{last} run backwards", f"write {last}..{first}")
        numbers.extend(range(start, stop + 1))
    return numbers


def _answer(saved: Saved, card: Card, said_besides: Sequence[str]) -> Answer:
    version = saved.version
    document = {"created": saved.created, "version": version.to_json(), "card": card.to_json()}
    said = "Saved" if saved.created else "Nothing new: this is exactly"
    parts: list[Part] = [f"{said} {version.reference} ({version.digest[:19]})", directions_table(version)]
    return Answer(document, parts, said_besides)


def _summed(card: Card) -> list[str]:
    """Return what the user should know of many pairs that are added up: the method is the default one."""
    if card.method.name != ACTADD.name or card.data.count == 1:
        return []
    return [f"actadd adds up what its {card.data.count} pairs give; for what they have in common use mean_difference"]


def _apart(card: Card) -> list[str]:
    """Return what the user should know of a direction that is hardly what its pairs have in common."""
    place, cosine = _lowest(card, COSINE_TO_MEAN)
    if cosine >= APART:
        return []
    problem = f"the direction at {place} has a cosine of {cosine:.2f} with the mean difference of the pairs"
    return [f"{problem}: it is little of what they have in common; compare with mean_difference or pca_center"]


def _incoherent(card: Card) -> list[str]:
    """Return what the user should know of a difference of two models that is hardly the same for any two texts."""
    place, coherence = _lowest(card, COHERENCE)
    if coherence >= INCOHERENT:
        return []
    problem = f"the difference at {place} has a coherence of {coherence:.2f}"
    return [f"{problem}: it depends on the text, and the vector is little of it; try other layers"]


def _useless(card: Card) -> list[str]:
    """Return what the user should know of a trained direction that did the targets held out no good."""
    for figures in card.figures.values():
        before, after = figures.get("held_out_before"), figures.get("held_out")
        if before is not None and after is not None and after >= before:
            problem = (
                f"the targets held out have a cross-entropy of {after:.3g} with the vector, and {before:.3g} without"
            )
            return [f"{problem}: it did not learn what they have in common; give more targets, or another --lr"]
    return []


def _lowest(card: Card, figure: str) -> tuple[Place | None, float]:
    """Return the place where a figure is lowest, and the figure; infinity where no place has it."""
    told = ((place, figures[figure]) for place, figures in card.figures.items() if figure in figures)
    return min(told, key=lambda each: each[1], default=(None, math.inf))


def _long(card: Card) -> list[str]:
    """Return what the user should know of norms that no text gives by itself."""
    ratios = {
        place: norm / card.residual_norms[place] for place, norm in card.norms.items() if place in card.residual_norms
    }
    worst = max(ratios, key=ratios.__getitem__, default=None)
    if worst is None or ratios[worst] < LARGE:
        return []
    problem = f"the direction at {worst} is {ratios[worst]:.1f} times R: a token it was read at is an attention sink"
    return [f"{problem} (a repeated padding token, say); try prompts of one length, or another --pad-token"]
