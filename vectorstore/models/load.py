"""Load a causal language model and its tokenizer from a reference."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vectorstore.errors import InvalidInputError, NotFoundError, UnavailableError
from vectorstore.models.demo import Progress, read_demo
from vectorstore.models.failures import first_line
from vectorstore.models.identity import Origin, is_path, public_name, remember
from vectorstore.models.pretrained import Loaded, Source, read
from vectorstore.models.tokenizer import prepare

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

DEMO = "demo"

_HUB_ID = re.compile(r"(?P<id>[\w][\w.-]*(/[\w][\w.-]*)?)(@(?P<revision>[\w][\w./-]*))?", re.ASCII)


def load_model(
    reference: str,
    *,
    device: str = "cpu",
    dtype: Dtype = "auto",
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a model in eval mode and a tokenizer whose plain call puts BOS first.

    Args:
        reference: `demo`; a folder; a `.gguf` file; or a hub id with an optional `@revision`. The hub's own settings
            hold (HF_TOKEN, HF_HUB_OFFLINE, HF_HOME).
        device: as torch names it: `cpu`, `cuda`, `cuda:1`, `mps`.
        dtype: "auto" is the checkpoint's own; float32 for GGUF files and the demo, which are de-quantised.
        trust_remote_code: run code that comes with the model.
        progress: is told what takes time.

    Raises:
        NotFoundError: the model, its weights or its tokenizer are not there.
        NotAllowedError: the model is gated.
        UnavailableError: the hub or the device cannot be used, or a package or memory is missing.
        InvalidInputError: the reference cannot be read, or is no causal language model.
        IntegrityError: a file is damaged.
    """
    target, weights = _device(device), _dtype(dtype)
    say = progress or _ignore
    model, tokenizer = _read(reference, weights, say, trust_remote_code=trust_remote_code)
    prepare(tokenizer)
    if model.generation_config is not None and model.generation_config.pad_token_id is None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    remember(model, _origin(reference, model, tokenizer))
    _move(model, target)
    return model, tokenizer


def source(reference: str) -> Source:
    """Return where `reference` (not `demo`) is to be read from.

    Raises:
        NotFoundError: for a path that is not there.
        InvalidInputError: for what is neither a path nor a hub id.
    """
    path = Path(os.path.expanduser(reference))  # noqa: PTH111 - Path's own raises for an unknown user
    if reference.endswith(".gguf"):
        if not path.is_file():
            raise NotFoundError(f"there is no file {reference}", "check the path")
        return Source(path.name, str(path.parent), gguf_file=path.name)
    if reference and path.exists():
        if not (path / "config.json").is_file():
            raise NotFoundError(f"{reference} is no folder with a config.json", "name a folder that holds a model")
        return Source(path.resolve().name, str(path))
    if reference.startswith((".", "~", "/")):
        raise NotFoundError(f"there is no folder {reference}", "name a folder, a .gguf file or a hub id")
    match = _HUB_ID.fullmatch(reference)
    if match is None:
        raise InvalidInputError(
            f"'{reference}' is not a model", "give demo, a folder, a .gguf file or OWNER/MODEL@REVISION"
        )
    return Source(reference, match["id"], match["revision"])


def _read(reference: str, dtype: torch.dtype | str, progress: Progress, *, trust_remote_code: bool) -> Loaded:
    if reference == DEMO:
        model, tokenizer = read_demo(progress)
        if isinstance(dtype, torch.dtype):
            nn.Module.to(model, dtype)
        return model, tokenizer
    where = source(reference)
    progress(f"Loading {where.name}")
    return read(where, dtype, trust_remote_code=trust_remote_code)


def _origin(reference: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Origin:
    if reference == DEMO:
        return Origin(DEMO, None, tokenizer)
    if is_path(reference):  # its name may have an @ of its own
        return Origin(public_name(reference), None, tokenizer)
    return Origin(reference.partition("@")[0], getattr(model.config, "_commit_hash", None), tokenizer)


def _dtype(name: str) -> torch.dtype | str:
    if name not in get_args(Dtype):
        raise InvalidInputError(f"'{name}' is not a dtype", f"choose one of {', '.join(get_args(Dtype))}")
    return name if name == "auto" else getattr(torch, name)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UnavailableError(f"device '{name}' cannot be used ({first_line(error)})", "use --device cpu") from error
    return device


def _move(model: nn.Module, device: torch.device) -> None:
    try:
        model.to(device)
    except torch.OutOfMemoryError as error:
        raise UnavailableError(
            f"device '{device}' has not enough memory for the model", "load it in bfloat16, or use --device cpu"
        ) from error


def _ignore(_line: str) -> None: ...
