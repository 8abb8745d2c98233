"""About: the options that say something about a version when it is saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any

import click

from vectorstore.preset import Preset
from vectorstore.reference import check_name
from vectorstore.store.texts import check_label

from .values import LabelType, PresetType, mapping


@dataclass(frozen=True)
class About:
    """What people say about a version.

    Attributes:
        presets: named coefficients.
        labels: `key=value`.
        description, license, authors: for readers.
    """

    presets: Mapping[str, Preset]
    labels: Mapping[str, str]
    description: str
    license: str
    authors: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse before any work what saving would refuse after it."""
        for name in self.presets:
            check_name(name, "preset")
        for key, value in self.labels.items():
            check_label(key, value)

    def __bool__(self) -> bool:
        """Whether anything was said."""
        return any(asdict(self).values())


def about_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--preset`, `--label`, `--description`, `--license` and `--author`; the function gets `about`."""

    @click.option(
        "--preset", "presets", type=PresetType(), multiple=True, help="A named coefficient: mild=2, big=0.15r."
    )
    @click.option("--label", "labels", type=LabelType(), multiple=True, help="A label, such as topic=weddings.")
    @click.option("--description", default="", metavar="TEXT", help="What it is, for readers.")
    @click.option("--license", default="", metavar="SPDX", help="Its license, such as CC-BY-4.0.")
    @click.option("--author", "authors", multiple=True, metavar="NAME", help="Who made it; may be repeated.")
    @wraps(function)
    def with_about(*args: Any, presets: Any, labels: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click's values
        about = About(
            presets=mapping(presets, "preset"),
            labels=mapping(labels, "label"),
            description=kwargs.pop("description"),
            license=kwargs.pop("license"),
            authors=kwargs.pop("authors"),
        )
        return function(*args, about=about, **kwargs)

    return with_about
