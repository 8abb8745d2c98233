"""Recipe: an expression with every reference pinned to a version's digest and every preset to its number."""

from __future__ import annotations

from dataclasses import dataclass

from vectorstore.canonical import Json, canonical_bytes, is_digest, strict_loads
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.fields import Fields
from vectorstore.manifest import ARTIFACT_TYPES
from vectorstore.preset import Preset
from vectorstore.reference import check_name

RECIPE_VERSION = 1
MAX_TERMS = 10_000
_AGAIN = "get the recipe again from where it came"


@dataclass(frozen=True)
class Term:
    """One reference of the expression, pinned.

    Attributes:
        reference: as written, in canonical text: `love@prod[6..12]:strong`.
        namespace, name: what the version is called.
        digest: of its manifest, whole.
        kind: `vector` or `recipe`.
        preset: what the preset meant when it was pinned, or None where none was written.
    """

    reference: str
    namespace: str
    name: str
    digest: str
    kind: str
    preset: Preset | None = None

    def to_json(self) -> Json:
        """Return the canonical form."""
        return {**vars(self), "preset": self.preset.to_json() if self.preset else None}

    @classmethod
    def from_json(cls, value: object) -> Term:
        """Read the canonical form.

        Raises:
            IntegrityError: when a part is missing, unknown or not of its type.
        """
        fields = Fields(value, "a term of the recipe")
        fields.only(set(cls.__dataclass_fields__))
        preset = fields.maybe("preset", dict)
        try:
            term = cls(
                reference=fields.text("reference"),
                namespace=check_name(fields.text("namespace"), "namespace"),
                name=check_name(fields.text("name")),
                digest=fields.text("digest"),
                kind=fields.text("kind"),
                preset=Preset.from_json(preset) if preset is not None else None,
            )
        except InvalidInputError as error:
            raise IntegrityError(f"a term of the recipe is wrong: {error.problem}", _AGAIN) from error
        if not is_digest(term.digest) or term.kind not in ARTIFACT_TYPES:
            raise IntegrityError(f"the recipe's term '{term.reference[:80]}' has no digest or no kind", _AGAIN)
        return term


@dataclass(frozen=True)
class Recipe:
    """What `steer compose --save` keeps: evaluating it always gives the same plan, whatever moves meanwhile.

    Attributes:
        text: the expression as written.
        terms: one for each reference, in order of appearance.
    """

    text: str
    terms: tuple[Term, ...]

    def to_json(self) -> Json:
        """Return the canonical form."""
        return {"version": RECIPE_VERSION, "text": self.text, "terms": [term.to_json() for term in self.terms]}

    def to_bytes(self) -> bytes:
        """Return the canonical bytes: the recipe's blob."""
        return canonical_bytes(self.to_json())

    @classmethod
    def from_json(cls, value: object) -> Recipe:
        """Read the canonical form.

        Raises:
            IntegrityError: when a part is missing, unknown or not of its type.
        """
        fields = Fields(value, "the recipe")
        fields.only({"version", "text", "terms"})
        if (version := fields.integer("version")) != RECIPE_VERSION:
            raise IntegrityError(f"the recipe is of version {version}, not {RECIPE_VERSION}", "upgrade this program")
        values = fields.sequence("terms", dict)
        if not 0 < len(values) <= MAX_TERMS:
            raise IntegrityError(f"the recipe has {len(values)} terms", f"1 to {MAX_TERMS} are allowed")
        return cls(fields.text("text"), tuple(map(Term.from_json, values)))

    @classmethod
    def from_bytes(cls, data: bytes) -> Recipe:
        """Read canonical bytes.

        Raises:
            IntegrityError: for anything that `to_bytes` would not have written, byte for byte.
        """
        recipe = cls.from_json(strict_loads(data, "the recipe"))
        if recipe.to_bytes() != data:
            raise IntegrityError("the recipe is not in its canonical form", _AGAIN)
        return recipe
