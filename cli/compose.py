"""`steer compose`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import click

import vectorstore.compose
from vectorstore.canonical import Json
from vectorstore.compose.blend import parents, to_vector
from vectorstore.compose.notices import notices
from vectorstore.compose.report import Report, StepReport
from vectorstore.errors import InvalidInputError
from vectorstore.part import PlanTerm
from vectorstore.place import Place
from vectorstore.plan import Plan
from vectorstore.reference import short_name
from vectorstore.store.version import Saved
from vectorstore.vector import direction_norm

from .about import About, about_options
from .answer import Answer, Part, Table
from .command import command
from .describe import number
from .library import Library, library_options

SHOWN_COSINES = 30


@command(
    "compose",
    example="""steer compose 'weddings:strong + 0.1r*sentiment'
    steer compose '2*weddings - calm[6..12]' --save mix --label topic=party
    steer compose 'orthogonal(weddings, calm)' --save pure --as vector""",
)
@click.argument("expression")
@click.option("--save", "name", metavar="NAME", help="Save it, with every reference pinned.")
@click.option(
    "--as",
    "kind",
    type=click.Choice(("recipe", "vector")),
    help="Save it as a recipe (the default), or its sum as one vector.",
)
@click.option(
    "--force", is_flag=True, help="Let vectors of other architectures or vocabularies, but one shape, go together."
)
@about_options
@library_options
def compose(  # noqa: PLR0913 - options
    library: Library, expression: str, name: str | None, kind: str | None, *, force: bool, about: About
) -> Answer:
    """Show what an expression does to each layer; save it as a recipe.

    For each step: the norm of what is added, the residual norm R there, and the cosines between the terms; terms that
    pull against each other are marked. What only adds can be saved as one vector too, with --as vector.
    """
    if name is None and (about or kind):
        raise InvalidInputError("--as, labels, presets and the like belong to what is saved", "add --save NAME")
    with library.look() as store:
        recipe = vectorstore.compose.pin(store, expression)  # once: what is shown is what is saved
        plan = vectorstore.compose.compose(store, recipe, force=force)
        saved = None
        if name and kind == "vector":
            saved = store.save(name, *to_vector(plan, force=force), parents=parents(plan), **vars(about))
        elif name:
            saved = store.save_recipe(name, recipe, **vars(about))
        against = notices(store, plan)
    report = vectorstore.compose.report(plan)
    said = [*against, *report.notes]
    document = report.to_json() | {"terms": [_term_json(term) for term in plan.terms], "notes": said}
    if saved:
        document |= {"saved": saved.version.to_json() | {"new": saved.created}}
    return Answer(document, [*plan_tables(plan, report), *_saved_text(saved)], said)


def _saved_text(saved: Saved | None) -> list[str]:
    if saved is None:
        return []
    return [f"Saved {saved.version.reference}" if saved.created else f"{saved.version.reference} is exactly this"]


def plan_tables(plan: Plan, report: Report) -> list[Part]:
    """Return what people see of a plan: its terms, what is done at each place, and the cosines between terms."""
    if not report.steps:
        return ["Everything cancels: the model stays as it is."]
    parts: list[Part] = [_terms(plan), _steps(report)]
    return [*parts, *_cosines(report)]


def _steps(report: Report) -> Table:
    rows = [_step(step, depth) for step, depth in _flat(report)]
    only_adds = all(step.operator == "add" for step in report.steps)
    columns = ("step", "site", "layer", "tokens", "norm", "R", "norm/R", "interference", "conflict")
    return Table(
        columns,
        [("" if only_adds else row[0], *row[1:]) for row in rows],
        right=("layer", "norm", "R", "norm/R", "interference"),
        title="what is added" if only_adds else "what is done, in order",
    )


def _flat(report: Report) -> Iterator[tuple[StepReport, int]]:
    """Yield every step with its depth: what a gate opens comes after it, one deeper."""
    for step in report.steps:
        inner: StepReport | None = step
        depth = 0
        while inner:
            yield inner, depth
            inner, depth = inner.inner, depth + 1


def _step(step: StepReport, depth: int) -> tuple[str, ...]:
    return (
        "  " * depth + _operator(step),
        step.place.site,
        str(step.place.layer),
        step.tokens if len(step.shape) == 1 else f"{step.tokens} ({step.shape[0]})",
        number(step.norm),
        number(step.residual_norm),
        number(step.ratio),
        number(step.interference) if len(step.terms) > 1 else "",
        "yes" if any(cosine.conflict for cosine in step.cosines) else "",
    )


def _operator(step: StepReport) -> str:
    """Return `ablate`, `clamp 1.5` or `gate > 2`."""
    sign = "> " if step.operator == "gate" else ""
    return " ".join((step.operator, *(f"{sign}{value:g}" for value in step.params.values())))


def _terms(plan: Plan) -> Table:
    rows = [(short_name(term.label), term.tokens, *_factors(term)) for term in plan.terms]
    return Table(("term", "tokens", "coefficient", "in r"), rows, right=("coefficient", "in r"), title="terms")


def _factors(term: PlanTerm) -> tuple[str, str]:
    """Return the raw number and the number in r, or their ranges over the layers."""
    values: Mapping[str, Mapping[str, float | None]] = _term_json(term)["factors"]
    return _range(value["raw"] for value in values.values()), _range(value["r"] for value in values.values())


def _range(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = f"{min(known):.3g}", f"{max(known):.3g}"
    return low if low == high else f"{low} to {high}"


def _cosines(report: Report) -> list[Part]:
    """Return the cosines between terms; of many, the conflicts first and then the largest."""
    pairs = [(step.place, cosine) for step, _ in _flat(report) for cosine in step.cosines]
    left_out = len(pairs) - SHOWN_COSINES
    if left_out > 0:
        pairs = sorted(pairs, key=lambda pair: (not pair[1].conflict, -abs(pair[1].cosine)))[:SHOWN_COSINES]
    rows = [
        (
            str(place),
            short_name(cosine.left),
            short_name(cosine.right),
            f"{cosine.cosine:+.3f}",
            "yes" if cosine.conflict else "",
        )
        for place, cosine in pairs
    ]
    table = Table(
        ("place", "term", "and", "cosine", "conflict"), rows, right=("cosine",), title="cosines between terms"
    )
    return [table, f"… and {left_out} smaller ones: see --json"] if left_out > 0 else [table] if rows else []


def _term_json(term: PlanTerm) -> Json:
    return {
        "label": term.label,
        "versions": [{"version": each.label, "digest": each.digest} for each in term.ingredients],
        "tokens": term.tokens,
        "factors": {str(place): _factor(term, place, float(factor)) for place, factor in term.factors.items()},
    }


def _factor(term: PlanTerm, place: Place, raw: float) -> Json:
    residual_norm = term.residual_norm(place)
    norm = direction_norm(term.directions[place])
    return {"raw": raw, "r": raw * norm / residual_norm if residual_norm else None}
