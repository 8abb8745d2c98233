"""A catalogue made up: rows as the store keeps them, for as many versions as one likes.

Seven versions in ten begin a name, the others go on with one. Namespaces, models, words and labels follow Zipf's law;
beside them, RARE labels, authors and words are on about 50 versions each, however many there are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import numpy as np

COMMON_LABELS = (
    ("lang", ("en", "de", "fr", "es"), (0.60, 0.20, 0.12, 0.08), 1.0),
    ("stage", ("draft", "reviewed", "released"), (0.5, 0.3, 0.2), 1.0),
    ("tone", ("warm", "cold", "formal", "playful"), (0.4, 0.3, 0.2, 0.1), 0.7),
)
METHODS = ("mean_difference", "actadd", "pca", "ace", "probe", "gradient")
NAMESPACES, MODELS, AUTHORS, WORDS = 50, 20, 2000, 20_000
NEW_NAMES, ALIASED, ONE_LAYER, SOMETHING_RARE = 0.7, 0.3, 0.8, 0.4  # shares of the versions
RARE_MATCHES = 50
CHUNK = 20_000
COLUMNS = {
    "namespaces": "id name created_at event_seq event_hash",
    "artifacts": "id namespace_id name kind created_at next_version",
    "blobs": "digest size state leased_until verified_at",
    "versions": "id namespace_id artifact_id full_name number digest created_at newest yanked_at description license "
    "method model_reference fingerprint architecture tokenizer_digest layer_count d_model model",
    "version_blobs": "version_id position digest size media_type",
    "version_sites": "version_id site layer width positions norm residual_norm",
    "summaries": "version_id summary",
    "aliases": "artifact_id alias version_id",
    "authors": "version_id position author",
    "labels": "version_id key value",
    "presets": "version_id name coefficient unit first_layer last_layer tokens",
    "version_search": "version_id words",
}
Rows = dict[str, list[tuple]]
_START = datetime(2026, 1, 1, tzinfo=UTC)
_WORD = re.compile(r"[^\W_]+")


def zipf(count: int) -> np.ndarray:
    """Return the probabilities of `count` things."""
    weights = 1 / np.arange(1, count + 1)
    return weights / weights.sum()


def digest(what: str, number: int) -> str:
    """Return a digest."""
    return f"sha256:{sha256(f'{what}{number}'.encode()).hexdigest()}"


def moment(number: int) -> str:
    """Return a moment, later for larger numbers."""
    return (_START + timedelta(seconds=number)).strftime("%Y-%m-%d %H:%M:%S.%f")


class Catalogue:
    """The shape of a catalogue, and the rows of it.

    Attributes:
        size: number of versions.
        names: number of names.
        name_of: the name of each version, by number from 0.
        number: the version's number within its name.
        newest: whether it is the newest of its name.
        space_of: the namespace of each name.
        aliased: whether the version has the alias `prod`.
        rare: how many labels, authors and words are rare.
    """

    def __init__(self, size: int, seed: int = 7) -> None:
        """Draw what belongs to the whole."""
        self.size = size
        self.random = random = np.random.default_rng(seed)
        begins = random.random(size) < NEW_NAMES
        begins[0] = True
        self.names = int(begins.sum())
        known = np.cumsum(begins)
        self.name_of = np.where(begins, known - 1, (random.random(size) * known).astype(int))
        self.newest = np.zeros(size, bool)
        last = np.full(self.names, -1)
        last[self.name_of] = np.arange(size)  # of several writes to one place, numpy keeps the last
        self.newest[last] = True
        order = np.argsort(self.name_of, kind="stable")
        starts = np.concatenate(([0], np.cumsum(np.bincount(self.name_of, minlength=self.names))[:-1]))
        self.number = np.empty(size, int)
        self.number[order] = np.arange(size) - starts[self.name_of[order]] + 1
        self.space_of = random.choice(NAMESPACES, self.names, p=zipf(NAMESPACES))
        self.aliased = self.newest & (random.random(size) < ALIASED)
        self.rare = max(int(size * SOMETHING_RARE * NEW_NAMES / RARE_MATCHES), 1)

    def full_name(self, name: int) -> str:
        """Return `space3/concept-17`."""
        return f"space{self.space_of[name]}/concept-{name}"

    def chunks(self) -> Iterator[Rows]:
        """Yield the rows of all tables, in an order that foreign keys allow."""
        first: Rows = {table: [] for table in COLUMNS}
        first["namespaces"] = [(n + 1, f"space{n}", moment(0), 0, "") for n in range(NAMESPACES)]
        yield first
        counts = np.bincount(self.name_of, minlength=self.names)
        for start in range(0, self.names, CHUNK):
            names = range(start, min(start + CHUNK, self.names))
            yield first | {
                "namespaces": [],
                "artifacts": [
                    (n + 1, int(self.space_of[n]) + 1, f"concept-{n}", "vector", moment(n), int(counts[n]) + 1)
                    for n in names
                ],
            }
        for start in range(0, self.size, CHUNK):
            yield self._versions(range(start, min(start + CHUNK, self.size)))

    def _versions(self, numbers: range) -> Rows:
        rows: Rows = {table: [] for table in COLUMNS}
        drawn = self._drawn(len(numbers))
        for index, n in enumerate(numbers):
            self._version(rows, n, {key: values[index] for key, values in drawn.items()})
        return rows

    def _drawn(self, count: int) -> dict[str, np.ndarray]:
        random = self.random
        return {
            "words": random.choice(WORDS, (count, 12), p=zipf(WORDS)),
            "model": random.choice(MODELS, count, p=zipf(MODELS)),
            "method": random.choice(len(METHODS), count, p=zipf(len(METHODS))),
            "author": random.choice(AUTHORS, (count, 2), p=zipf(AUTHORS)),
            "layers": np.where(random.random(count) < ONE_LAYER, 1, 4),
            "layer": random.integers(0, 28, count),
            "rare": np.where(random.random((count, 3)) < SOMETHING_RARE, random.integers(0, self.rare, (count, 3)), -1),
            **{key: random.choice(len(values), count, p=p) for key, values, p, _ in COMMON_LABELS},
            **{f"has {key}": random.random(count) < share for key, _, _, share in COMMON_LABELS},
            "topic": random.choice(3000, count, p=zipf(3000)),
        }

    def _version(self, rows: Rows, n: int, drawn: dict) -> None:
        number, name, model = n + 1, int(self.name_of[n]), int(drawn["model"])
        rare_label, rare_word, rare_author = map(int, drawn["rare"])
        words = " ".join(f"w{word}" for word in drawn["words"]) + (f" rare{rare_word}" if rare_word >= 0 else "")
        labels = {key: values[drawn[key]] for key, values, *_ in COMMON_LABELS if drawn[f"has {key}"]}
        labels["topic"] = f"topic{drawn['topic']}"
        if rare_label >= 0:
            labels["batch"] = f"b{rare_label}"
        authors = dict.fromkeys(f"author{author}" for author in drawn["author"])
        if rare_author >= 0:
            authors[f"guest{rare_author}"] = None
        reference, method = f"org/model-{model}", METHODS[drawn["method"]]
        manifest, vector = digest("manifest", n), digest("vector", n)
        site = "resid_pre" if n % 10 else "mlp_out"
        layers = sorted(int(drawn["layer"] + layer) % 28 for layer in range(drawn["layers"]))
        rows["blobs"] += ((blob, 9000, "live", moment(n), moment(n)) for blob in (manifest, vector))
        rows["versions"].append(
            (
                *(number, int(self.space_of[name]) + 1, name + 1, self.full_name(name), int(self.number[n]), manifest),
                *(moment(n), bool(self.newest[n]), None, words, "MIT", method, reference, digest("model", model)),
                *("LlamaForCausalLM", digest("tokenizer", model), 28, 2048, _identity(model)),
            )
        )
        rows["version_blobs"].append((number, 0, vector, 9000, "application/vnd.steering-vectorstore.vector"))
        rows["version_sites"] += ((number, site, layer, 2048, None, 3.5, 90.0) for layer in layers)
        rows["authors"] += ((number, position, author) for position, author in enumerate(authors))
        rows["labels"] += ((number, key, value) for key, value in labels.items())
        rows["presets"].append((number, "strong", "0.15", "r", None, None, None))
        if self.aliased[n]:
            rows["aliases"].append((name + 1, "prod", number))
        summary = {
            "name": self.full_name(name),
            "number": int(self.number[n]),
            "digest": manifest,
            "method": method,
            "created_at": datetime.fromisoformat(moment(n)).replace(tzinfo=UTC).isoformat(),
            "blobs": [["application/vnd.steering-vectorstore.vector", vector, 9000]],
            "model": _identity(model),
            "directions": [[site, layer, 2048, None, 3.5, 90.0] for layer in layers],
            "labels": dict(sorted(labels.items())),
            "aliases": ["prod"] if self.aliased[n] else [],
            "presets": [["strong", "0.15", "r", None, None, None]],
            "description": words,
            "license": "MIT",
            "authors": list(authors),
            "yanked": False,
        }
        rows["summaries"].append((number, json.dumps(summary, separators=(",", ":"))))
        if self.newest[n]:
            said = " ".join((f"concept-{name}", words, *labels, *labels.values(), *authors, method, reference))
            rows["version_search"].append((number, " ".join(_WORD.findall(f"{said} LlamaForCausalLM".lower()))))


def _identity(model: int) -> str:
    sites = ("resid_pre", "resid_post", "attn_out", "mlp_out", "head_out")
    return json.dumps(
        {
            "reference": f"org/model-{model}",
            "revision": None,
            "architecture": "LlamaForCausalLM",
            "layer_count": 28,
            "widths": dict.fromkeys(sites, 2048),
            "dtype": "float32",
            "tokenizer_digest": digest("tokenizer", model),
            "fingerprint": digest("model", model),
            "bos_token_id": 1,
        }
    )
