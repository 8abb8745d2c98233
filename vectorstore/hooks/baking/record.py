"""Record: what a baked model was made of, for programs (steering.json) and for people (README.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version as version_of

import numpy as np
from transformers import PreTrainedTokenizerBase

import vectorstore
from vectorstore.canonical import Json
from vectorstore.errors import NotFoundError
from vectorstore.hooks.baking.bake import Baked
from vectorstore.models.identity import fingerprint
from vectorstore.models.tokenizer import first_id
from vectorstore.part import Ingredient
from vectorstore.plan import Step
from vectorstore.store import Store

FORMAT = 1
_LOADED = (
    "Plain transformers loads it:\n`AutoModelForCausalLM.from_pretrained(FOLDER)`. Every token is steered, always."
)


def record_of(baked: Baked, tokenizer: PreTrainedTokenizerBase, store: Store | None = None) -> Json:
    """Return what the model was made of; with a store also licenses and authors of the versions.

    It says nothing of when, where or by whom, so that the same plan in the same model gives the same record.
    """
    plan = baked.plan
    first = first_id(tokenizer)
    return {
        "format": FORMAT,
        "expression": plan.text,
        "steps": [_step(step) for step in plan.steps],
        "versions": [_version(each, store) for each in plan.ingredients],
        "recipes": dict(plan.recipes),
        "presets": {name: preset.to_json() for name, preset in plan.presets.items()},
        "base": baked.base.to_json(),
        "fingerprint": fingerprint(baked.model),
        "changed": list(baked.changed),
        "zeros": list(baked.zeros),
        "config": dict(baked.config),
        "difference": baked.difference,
        "effect": baked.effect,
        "begins_with": None if first is None else str(tokenizer.convert_ids_to_tokens(first)),
        "made_with": {
            "vectorstore": vectorstore.__version__,
            **{name: version_of(name) for name in ("torch", "transformers")},
        },
    }


def readme(record: Json) -> str:
    """Return the model card of a record."""
    base = record["base"]
    at = f" at revision `{base['revision']}`" if base["revision"] else f" (fingerprint {base['fingerprint'][:19]})"
    parts = [
        _front(record),
        f"# {_plain(base['reference'])}, steered",
        f"This is `{_plain(base['reference'])}`{at} with steering vectors written into its weights. {_LOADED}",
        f"    {_plain(record['expression'])}" if record["expression"] else "",
        _steps(record),
        _versions(record),
        _made(record),
        "Licenses: the base model's, and those of the versions above. Nothing was measured of its quality.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def record_text(record: Json) -> str:
    """Return the bytes of steering.json, as text."""
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def _step(step: Step) -> Json:
    return {
        "operator": step.operator,
        "place": str(step.place),
        "tokens": step.tokens,
        "norm": float(np.linalg.norm(step.direction.astype(np.float64))),
        "params": dict(step.params),
    }


def _version(ingredient: Ingredient, store: Store | None) -> Json:
    card = ingredient.card
    entry: Json = {
        "version": ingredient.label,
        "digest": ingredient.digest,
        "method": card.method.name,
        "computed_on": card.model.reference,
        "fingerprint": card.model.fingerprint,
    }
    if store is None or not ingredient.digest:
        return entry
    try:
        found = store.resolve(ingredient.label)
    except NotFoundError:  # deleted since it was read
        return entry
    return entry | {"license": found.license, "authors": list(found.authors), "description": found.description}


def _front(record: Json) -> str:
    reference = str(record["base"]["reference"])
    base = [f"base_model: {json.dumps(reference)}"] if reference.count("/") == 1 else []
    return "\n".join(["---", *base, "library_name: transformers", "tags:", "- steering-vectors", "---"])


def _steps(record: Json) -> str:
    rows = [
        [step["operator"], step["place"], f"{step['norm']:.4g}", str(step["params"].get("value", ""))]
        for step in record["steps"]
    ]
    return _section("What it does", ("operator", "place", "norm", "value"), rows)


def _versions(record: Json) -> str:
    rows = [
        [
            *(each["version"], each["digest"][:19], each["method"], each["computed_on"]),
            *(each.get("license") or "not stated", ", ".join(each.get("authors", ()))),
        ]
        for each in record["versions"]
    ]
    columns = ("version", "digest", "method", "computed on", "license", "authors")
    return _section("What it is made of", columns, rows) if rows else ""


def _section(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join([f"## {title}", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _made(record: Json) -> str:
    made, first = record["made_with"], record["begins_with"]
    config = ", ".join(f"`{name}` is {json.dumps(value)}" for name, value in record["config"].items())
    probe = f"{record['difference']:.1g} of the largest; steering changed them by {record['effect']:.2g}"
    lines = [
        f"By steering-vectorstore {made['vectorstore']}, torch {made['torch']}, transformers {made['transformers']}.",
        f"Parameters that changed: {len(record['changed'])}. Biases that are new and zero: {len(record['zeros'])}.",
        f"In config.json, {config}." if config else "",
        f"On a probe, its logits differ from those of the model with hooks by {probe}.",
        f"Its tokenizer puts {_plain(first)} before a text." if first else "Its tokenizer puts nothing before a text.",
    ]
    return "\n".join(["## How it was made", "", *(f"- {line}" for line in lines if line)])


def _plain(text: str) -> str:
    """Return text of others for one line of Markdown: no line breaks, no cells, no markup of its own."""
    line = "".join(char if char.isprintable() else " " for char in str(text))
    return line.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
