"""Folder: a baked model on the disk, whole or not at all, for plain transformers."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from stat import S_IMODE

from safetensors import SafetensorError
from sqlalchemy.orm import Session
from transformers import PreTrainedTokenizerBase

from vectorstore.canonical import Json
from vectorstore.errors import ConflictError, NotFoundError, UnavailableError, VectorstoreError
from vectorstore.hooks.baking.bake import Baked
from vectorstore.hooks.baking.record import readme, record_of, record_text
from vectorstore.models.failures import first_line
from vectorstore.models.quiet import quiet
from vectorstore.store import Store
from vectorstore.store.blobs.folders import sync_folder
from vectorstore.store.changes import Change
from vectorstore.store.schema import VersionRow
from vectorstore.store.version import Version

RECORD = "steering.json"


def save_baked(
    baked: Baked, tokenizer: PreTrainedTokenizerBase, folder: str | Path, store: Store | None = None
) -> Json:
    """Write a baked model to `folder`, and return the record of what it is made of.

    In the folder: the model and the tokenizer as transformers saves them; README.md, a model card; and steering.json,
    the record. All is written beside, synced, and then given its name.

    Args:
        baked: from `bake`.
        tokenizer: the model's, as `load_model` gives it: its plain call puts BOS first, and will after loading too.
        folder: a new one, or an empty one.
        store: tells licenses and authors of the versions, and gets an event `version.bake` for each version and recipe.

    Raises:
        ConflictError: when there is something at `folder` already.
        NotFoundError: when the folder above it is not there.
        UnavailableError: when the disk cannot take it, or the library cannot record it; then the model is written.
    """
    path = Path(folder)
    check_target(path)
    record = record_of(baked, tokenizer, store)
    with _beside(path) as new:
        with quiet():
            baked.model.save_pretrained(new)
            tokenizer.save_pretrained(new)
        (new / RECORD).write_text(record_text(record), "utf-8")
        (new / "README.md").write_text(readme(record), "utf-8")
    if store is not None:
        _tell(store, baked, {"folder": path.resolve().name, "base": baked.base.reference} | _short(record))
    return record


def check_target(path: Path) -> None:
    """Check that a folder can be made at `path`.

    Raises:
        ConflictError, NotFoundError: as for `save_baked`.
    """
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise ConflictError(f"{path} is there already, and not empty", "give the name of a new folder")
    if not path.resolve().parent.is_dir():
        raise NotFoundError(f"there is no folder {path.parent}", "make it first")


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a new folder that becomes `path` where all goes well, and is removed otherwise."""
    target = path.resolve()
    new = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        new.mkdir()
        yield new
        mode = S_IMODE((new / RECORD).stat().st_mode)
        for file in new.iterdir():
            file.chmod(mode)  # safetensors leaves the weights to their owner alone
            sync_folder(file)
        sync_folder(new)
        check_target(path)
        new.replace(target)
        sync_folder(target.parent)
    except (OSError, SafetensorError) as error:
        raise _unwritable(path, error) from error
    except VectorstoreError:
        raise
    except Exception as error:
        if "os error" not in str(error):  # tokenizers' own, a plain Exception
            raise
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _unwritable(path: Path, error: Exception) -> UnavailableError:
    why = (error.strerror if isinstance(error, OSError) else "") or first_line(error)
    return UnavailableError(
        f"cannot write {path} ({why})", "check that its folder can be written and the disk has space"
    )


def _short(record: Json) -> Json:
    return {"fingerprint": record["fingerprint"], "expression": record["expression"]}


def _tell(store: Store, baked: Baked, what: Json) -> None:
    """Add an event for each version and recipe that went in; one that was deleted since has none."""
    plan = baked.plan
    for label in dict.fromkeys([each.label for each in plan.ingredients if each.digest] + [*plan.recipes]):
        try:
            store.change(label, partial(_baked, what=what))
        except NotFoundError:
            continue


def _baked(_session: Session, _row: VersionRow, _version: Version, what: Json) -> Change:
    return Change("version.bake", None, what)
