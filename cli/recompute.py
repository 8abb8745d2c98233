"""`steer recompute`."""

from __future__ import annotations

from dataclasses import replace

import click

from vectorstore.errors import IntegrityError, exit_code
from vectorstore.extract.recompute import Repetition, check_repeatable, repeat
from vectorstore.reference import parse_reference
from vectorstore.store.version import Version

from .answer import Answer, Part, Table
from .command import command
from .describe import number
from .library import Library, library_options
from .model import ModelChoice, notes, recorded_model_options
from .progress import progress

DIFFERS = exit_code(IntegrityError(""))


@command(
    "recompute",
    example="""steer recompute weddings@2
    steer recompute mood --model ./fine-tune --tolerance 0.2""",
)
@click.argument("asked", metavar="REF")
@recorded_model_options
@click.option("--other", metavar="REF", help="The second model, for methods that compare two.")
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Texts in one forward pass.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="NUMBER",
    help="The relative difference that agrees.  [default: 0.001 in float32, 0.05 in bfloat16]",
)
@library_options
def recompute(  # noqa: PLR0913 - options
    *,
    library: Library,
    choice: ModelChoice,
    asked: str,
    other: str | None,
    batch_size: int,
    tolerance: float | None,
) -> Answer:
    """Compute a version again from its card, and say whether it agrees.

    REF is a name, or name@2, name@alias, name@sha256:… Method, settings, seed and data are those of the card; so is the
    model, unless --model names another. Nothing is saved. The program ends with 6 where a direction differs.
    """
    with library.look() as store:
        version = store.resolve(parse_reference(asked).plain())
        vector, card = store.read(version)
    check_repeatable(card, version.reference)
    choice = choice.as_recorded(card)
    with notes() as said, progress(f"Loading {choice.reference}") as bar:
        model, tokenizer = choice.load(bar)
        second = replace(choice, reference=other).load(bar)[0] if other else None
        bar.say(f"Computing {version.reference} again")
        repeated = repeat(
            vector,
            card,
            model,
            tokenizer,
            other=second,
            batch_size=batch_size,
            tolerance=tolerance,
            progress=bar.advance,
        )
    if repeated.fit != "same":
        said.append(f"this model has other weights than {card.model.reference}, which it was computed on")
    return _answer(version, repeated, said)


def _answer(version: Version, repeated: Repetition, said: list[str]) -> Answer:
    document = {
        "reference": version.reference,
        "digest": version.digest,
        "agrees": repeated.agrees,
        "tolerance": repeated.tolerance,
        "fit": repeated.fit,
        "places": [
            {"site": place.site, "layer": place.layer, **agreement.to_json()}
            for place, agreement in repeated.places.items()
        ],
        "notes": said,
    }
    rows = [
        (
            place.site,
            str(place.layer),
            f"{agreement.cosine:.6f}",
            number(agreement.difference),
            "all bits" if agreement.identical else "yes" if agreement.agrees else "no",
        )
        for place, agreement in repeated.places.items()
    ]
    columns = ("site", "layer", "cosine", "difference", "agrees")
    verdict = "agrees" if repeated.agrees else f"differs by more than {repeated.tolerance:g}"
    parts: list[Part] = [
        f"{version.reference} computed again {verdict}",
        Table(columns, rows, right=columns[1:4], title="directions"),
    ]
    return Answer(document, parts, said, exit_code=0 if repeated.agrees else DIFFERS)
