"""`steer bake`."""

from __future__ import annotations

from pathlib import Path

import click

from vectorstore.canonical import Json
from vectorstore.compose import compose
from vectorstore.compose.pins import located
from vectorstore.errors import InvalidInputError
from vectorstore.expression import references
from vectorstore.hooks.baking import Baked, bake, save_baked
from vectorstore.hooks.baking.folder import check_target
from vectorstore.models.identity import identify
from vectorstore.parser import parse
from vectorstore.reference import short_name
from vectorstore.store import Store

from .answer import Answer, Facts
from .command import command
from .library import Library, library_options
from .model import ModelChoice, model_options, notes
from .progress import progress


@command(
    "bake",
    example="""steer bake weddings:strong --model demo --to ./steered
    steer bake 'ablate(at(refusal[14], 0, resid_pre))' --model ./llama --to ./ablated""",
)
@click.argument("expression")
@model_options
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder to write: a new one, or an empty one.",
)
@click.option(
    "--force", is_flag=True, help="Bake also where the vector was computed on other weights of the same shape."
)
@library_options
def bake_model(*, library: Library, choice: ModelChoice, expression: str, folder: Path, force: bool) -> Answer:
    """Write an expression into a model's weights for plain transformers.

    The model is saved to a folder that needs no code but transformers. Vectors become biases, ablations projections of
    the weights; the result computes what the hooked model computes, but for rounding. What an architecture cannot take
    up exactly is refused, with the reason. The folder gets a model card, and steering.json, which says what went in.
    """
    check_target(folder)
    with library.look() as store, notes() as said, progress(f"Loading {choice.reference}") as bar:
        _check(store, expression)
        model, tokenizer = choice.load(bar)
        plan = compose(store, expression, model=identify(model, tokenizer), force=force)
        if not plan.steps:
            raise InvalidInputError(f"nothing is left of '{expression}'", "bake an expression that does something")
        bar.say("Baking")
        baked = bake(model, plan, force=force)
        bar.say(f"Writing {folder}")
        record = save_baked(baked, tokenizer, folder, store)
    document = {"folder": str(folder), **record, "notes": said}
    return Answer(document, [f"Baked {expression} into {folder}", _facts(baked, record)], said)


def _facts(baked: Baked, record: Json) -> Facts:
    config = ", ".join(f"{name} {str(value).lower()}" for name, value in baked.config.items())
    return Facts(
        [
            ("made of", ", ".join(short_name(each["version"]) for each in record["versions"])),
            ("steps", ", ".join(f"{step['operator']} at {step['place']}" for step in record["steps"])),
            ("parameters", f"{len(baked.changed)} changed"),
            ("config", f"{config}; {len(baked.zeros)} biases are new and zero" if baked.zeros else config),
            ("difference", f"{baked.difference:.1g} of the largest logit from the hooked model, on a probe"),
            ("effect", f"{baked.effect:.2g} of it, from the model as it was"),
        ]
    )


def _check(store: Store, expression: str) -> None:
    """Refuse what does not parse, and names that are not there, before the model is loaded."""
    for reference in references(parse(expression)):
        with located(expression, reference.column):
            store.resolve(reference)
