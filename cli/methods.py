"""`steer methods`."""

from __future__ import annotations

import click

from vectorstore.canonical import Json
from vectorstore.errors import InvalidInputError
from vectorstore.extract.params import Param
from vectorstore.extract.protocols import AnyMethod
from vectorstore.extract.registry import get_method, method_names
from vectorstore.kinds import KINDS
from vectorstore.place import SITES

from .answer import Answer, Facts, Part
from .command import command

_PROTOCOLS = {
    "activations": "the activations of one place",
    "moments": "the mean activations of one place; memory does not grow with the data",
    "places": "the activations of all places",
    "model": "the model itself",
}


@command(
    "methods",
    example="""steer methods
    steer methods caa lat""",
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
def methods(names: tuple[str, ...]) -> Answer:
    """List the extraction methods and their options.

    With names these methods alone. Those that other packages bring are listed too.
    """
    found = [get_method(name) for name in names]
    notes: list[str] = []
    for name in () if names else method_names():
        try:
            found.append(get_method(name))
        except InvalidInputError as error:  # one broken plug-in hides no other method
            notes.append(str(error))
    document = {"methods": [_json(method) for method in found], "notes": notes}
    return Answer(document, [_facts(method) for method in found], notes)


def _facts(method: AnyMethod) -> Part:
    number = "any number of" if method.max_items is None else f"at most {method.max_items} of"
    noun = KINDS[method.data].noun
    needs = [*(["gradients"] if method.gradients else []), *(["a second model (--other)"] if method.compares else [])]
    return Facts(
        [
            ("", method.summary),
            ("source", method.source),
            ("takes", f"{number} {noun}s: {KINDS[method.data].schema()}"),
            ("kind", f"a function of {_PROTOCOLS[method.protocol]}"),
            ("needs", ", ".join(needs)),
            ("sites", "" if method.sites == SITES else ", ".join(method.sites)),
            ("applies", f"{method.apply.operator} to {method.apply.tokens} tokens"),
            *((param.option, f"{param.help} (default: {param.default!r})") for param in method.params),
        ],
        title=f"{method.name}, version {method.version}",
    )


def _json(method: AnyMethod) -> Json:
    return {
        "name": method.name,
        "version": method.version,
        "summary": method.summary,
        "source": method.source,
        "data": method.data,
        "max_items": method.max_items,
        "protocol": method.protocol,
        "gradients": method.gradients,
        "compares": method.compares,
        "sites": list(method.sites),
        "apply": {"tokens": method.apply.tokens, "operator": method.apply.operator},
        "params": [_param(param) for param in method.params],
    }


def _param(param: Param) -> Json:
    return {
        "name": param.name,
        "option": param.option,
        "default": param.default,
        "choices": list(param.choices),
        "help": param.help,
    }
