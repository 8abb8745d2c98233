"""`steer methods`."""

from __future__ import annotations

from vectorstore.canonical import Json
from vectorstore.errors import InvalidInputError
from vectorstore.extract.params import Param
from vectorstore.extract.protocols import AnyMethod
from vectorstore.extract.registry import get_method, method_names

from .answer import Answer, Facts, Part
from .command import command


@command("methods", example="steer methods --json")
def methods() -> Answer:
    """List the extraction methods and their options.

    Those that other packages bring are listed too.
    """
    found: list[AnyMethod] = []
    notes: list[str] = []
    for name in method_names():
        try:
            found.append(get_method(name))
        except InvalidInputError as error:  # one broken plug-in hides no other method
            notes.append(str(error))
    document = {"methods": [_json(method) for method in found], "notes": notes}
    return Answer(document, [_facts(method) for method in found], notes)


def _facts(method: AnyMethod) -> Part:
    pairs = "any number of pairs" if method.max_pairs is None else f"at most {method.max_pairs} pair"
    return Facts(
        [
            ("", method.summary),
            ("source", method.source),
            ("takes", pairs if method.data == "pairs" else method.data),
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
        "max_pairs": method.max_pairs,
        "gradients": method.gradients,
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
