"""There: a version as a remote describes it. Every name and number passes our own grammar before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vectorstore.canonical import is_digest
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.fields import Fields
from vectorstore.identity import ModelIdentity
from vectorstore.manifest import ARTIFACT_TYPES
from vectorstore.preset import Preset
from vectorstore.reference import Reference, check_name
from vectorstore.store.receive import MAX_NUMBER

AGAIN = "tell whoever runs the remote"


@dataclass(frozen=True)
class Place:
    """Where a version is at the remote, and which it is."""

    namespace: str
    name: str
    number: int
    digest: str

    def __str__(self) -> str:
        """`team/love@2`."""
        return f"{self.full_name}@{self.number}"

    @property
    def full_name(self) -> str:
        """`team/love`."""
        return f"{self.namespace}/{self.name}"

    @property
    def pinned(self) -> str:
        """The reference that means it, whatever it is called later: `team/love@sha256:…`."""
        return f"{self.full_name}@{self.digest}"


@dataclass(frozen=True)
class There(Place):
    """A version at the remote, with what is said of it there.

    Attributes:
        kind: `vector` or `recipe`.
        labels, presets, description, yanked, yank_reason, deprecation: as they are there now.
        model: that it was computed on; None for recipes.
        needs: what it pins and its parents, where that was asked for.
    """

    kind: str
    labels: Mapping[str, str]
    presets: Mapping[str, Preset]
    description: str
    yanked: bool
    yank_reason: str
    deprecation: str | None
    model: ModelIdentity | None
    needs: tuple[Place, ...] = ()

    def require(self, asked: Reference) -> There:
        """Return this version, where it can be what was asked for.

        Raises:
            IntegrityError: when it cannot.
        """
        same = (asked.namespace, asked.name) == (self.namespace, self.name)
        if not same or asked.version not in (None, self.number) or not self.digest.startswith(asked.digest or ""):
            raise IntegrityError(f"the remote answers with {self} {self.digest[:19]} to {asked}", AGAIN)
        return self


def read_place(value: object) -> Place:
    """Read where a version is.

    Raises:
        IntegrityError: for anything else.
    """
    return _place(Fields(value, "a version of the remote"))


def read_there(value: object) -> There:
    """Read the document of a version.

    Raises:
        IntegrityError: for anything else.
    """
    fields = Fields(value, "a version of the remote")
    kind = fields.text("kind")
    if kind not in ARTIFACT_TYPES:
        raise IntegrityError(f"a version of the remote is a {kind[:40]}", "upgrade this program")
    try:
        presets = {
            check_name(name, "preset"): Preset.from_json(preset)
            for name, preset in fields.mapping("presets", dict).items()
        }
    except InvalidInputError as error:
        raise IntegrityError(f"a preset of the remote is wrong: {error.problem}", AGAIN) from error
    model = fields.maybe("model", dict)
    related = (part for key in ("pins", "parents") for part in fields.maybe(key, list) or ())
    return There(
        **vars(_place(fields)),
        kind=kind,
        labels=MappingProxyType(dict(fields.mapping("labels", str))),
        presets=MappingProxyType(presets),
        description=fields.text("description"),
        yanked=fields.maybe("yanked", bool) or False,
        yank_reason=fields.text("yank_reason"),
        deprecation=fields.maybe("deprecation", str),
        model=None if model is None else ModelIdentity.from_json(Fields(model, "the model of a version")),
        needs=tuple(map(read_place, related)),
    )


def _place(fields: Fields) -> Place:
    try:
        namespace = check_name(fields.text("namespace"), "namespace")
        name = check_name(fields.text("name"))
    except InvalidInputError as error:
        raise IntegrityError(f"the remote names a version wrongly: {error.problem}", AGAIN) from error
    number, digest = fields.integer("number"), fields.text("digest")
    if not is_digest(digest) or not 0 < number <= MAX_NUMBER:
        raise IntegrityError(f"the remote gives {namespace}/{name} no digest, or no number", AGAIN)
    return Place(namespace, name, number, digest)
