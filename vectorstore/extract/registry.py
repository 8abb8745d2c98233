"""Extraction methods by name: the built-in ones, and those of other distributions by entry point."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

from vectorstore.errors import InvalidInputError
from vectorstore.extract.methods import BUILT_IN
from vectorstore.extract.protocols import METHODS, AnyMethod

GROUP = "vectorstore.methods"


def method_names() -> tuple[str, ...]:
    """Return the names of all methods, built-in ones first; loads no plug-in."""
    return (*BUILT_IN, *(name for name in sorted(entry_points(group=GROUP).names) if name not in BUILT_IN))


def get_method(name: str) -> AnyMethod:
    """Return the method called `name`; built-in names cannot be replaced.

    Raises:
        InvalidInputError: when there is none, or its plug-in does not load.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    for entry in entry_points(group=GROUP, name=name):
        return _load(entry)
    near = get_close_matches(name, method_names(), n=1)
    known = f"known: {', '.join(method_names())}"
    raise InvalidInputError(f"no extraction method '{name}'", f"did you mean {near[0]}? {known}" if near else known)


def _load(entry: EntryPoint) -> AnyMethod:
    distribution = entry.dist.name if entry.dist else "an unknown distribution"
    try:
        method = entry.load()
    except Exception as error:
        raise InvalidInputError(
            f"method '{entry.name}' of {distribution} does not load ({type(error).__name__}: {error})",
            f"upgrade or uninstall {distribution}",
        ) from error
    if not isinstance(method, METHODS) or method.name != entry.name:
        kinds = ", ".join(kind.__name__ for kind in METHODS)
        raise InvalidInputError(
            f"entry point '{entry.name}' of {distribution} is no extraction method of that name",
            f"let {entry.value} be one of {kinds} with name='{entry.name}'",
        )
    return method
