"""`steer generate`."""

from __future__ import annotations

import sys

import click

from vectorstore.canonical import check_text
from vectorstore.compose import compose
from vectorstore.compose.notices import notices
from vectorstore.compose.pins import located
from vectorstore.errors import InvalidInputError
from vectorstore.expression import references
from vectorstore.hooks.writer import Sampling, Writer
from vectorstore.models.chat import chat_prompt
from vectorstore.models.identity import identify
from vectorstore.parser import parse
from vectorstore.store import Store

from .answer import Answer, Sides
from .command import command
from .library import Library, library_options
from .model import ModelChoice, model_options, notes
from .progress import progress
from .sampling import sampling_options


@command(
    "generate",
    example="""steer generate 'I went up to my friend and said' --model demo --steer weddings:strong --compare
    echo 'What did you do today?' | steer generate - --model demo --steer '2*calm' --chat --temperature 0.7""",
)
@click.argument("prompt")
@model_options
@click.option(
    "--steer", "expression", required=True, metavar="EXPRESSION", help="What to steer with: 'love:strong + 2*calm'."
)
@click.option("--compare", is_flag=True, help="Show what the model writes unsteered beside it.")
@click.option(
    "--chat/--raw", help="Render the prompt with the model's chat template, or take it as it is (the default)."
)
@click.option("--system", metavar="TEXT", help="The system message of a chat.")
@sampling_options
@click.option("--truncate", is_flag=True, help="Let a prompt shorter than the vector take the rows that fall inside.")
@click.option(
    "--force", is_flag=True, help="Steer also where the vector was computed on other weights of the same shape."
)
@library_options
def generate(  # noqa: PLR0913 - options
    *,
    library: Library,
    choice: ModelChoice,
    sampling: Sampling,
    prompt: str,
    expression: str,
    system: str | None,
    compare: bool,
    chat: bool,
    truncate: bool,
    force: bool,
) -> Answer:
    """Generate text with a model that is steered.

    PROMPT is the text to go on from; - reads it from stdin. Text is chosen greedily unless --temperature is given; then
    --seed repeats it.
    """
    prompt = _read(prompt)
    check_text(system or "", "the system message")
    if system is not None and not chat:
        raise InvalidInputError("a system message belongs to a chat", "add --chat")
    with library.look() as store, notes() as said, progress(f"Loading {choice.reference}") as bar:
        _check(store, expression)
        model, tokenizer = choice.load(bar)
        plan = compose(store, expression, model=identify(model, tokenizer), force=force)
        text = chat_prompt(tokenizer, prompt, system) if chat else prompt
        said.extend(notices(store, plan))
        writer = Writer(model, tokenizer, sampling, bar.advance)
        bar.say("Writing")
        unsteered = writer.write(text) if compare else None
        steered = writer.write(text, plan, truncate=truncate, force=force)
    document = {
        "model": choice.reference,
        "prompt": text,
        "steer": expression,
        "versions": [{"version": each.label, "digest": each.digest} for each in plan.ingredients],
        "sampling": vars(sampling),
        "unsteered": unsteered,
        "steered": steered,
        "notes": said,
    }
    if unsteered is None:
        return Answer(document, [steered], said)
    return Answer(document, [Sides([("unsteered", unsteered), (expression, steered)])], said)


def _check(store: Store, expression: str) -> None:
    """Refuse what does not parse, and names that are not there, before the model is loaded."""
    for reference in references(parse(expression)):
        with located(expression, reference.column):
            store.resolve(reference)


def _read(prompt: str) -> str:
    text = sys.stdin.read().rstrip("\n") if prompt == "-" else prompt
    if not text:
        raise InvalidInputError("the prompt is empty", "write a text to go on from")
    return check_text(text, "the prompt")
