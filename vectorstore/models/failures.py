"""What can go wrong while a model loads, said in one line: the libraries' errors turned into ours."""

from __future__ import annotations

import difflib
import json
import pickle
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from huggingface_hub import errors as hub
from safetensors import SafetensorError

from vectorstore.errors import (
    IntegrityError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    UnavailableError,
    VectorstoreError,
)

_OTHER_WAYS = "or give a folder, a .gguf file or 'demo'"


class _Rule(NamedTuple):
    """Which errors of a library mean what; `words` must occur in the message where they are given."""

    causes: tuple[type[BaseException], ...]
    words: str
    error: type[VectorstoreError]
    problem: str
    hint: str


_RULES = (
    _Rule(
        (hub.GatedRepoError,),
        "",
        NotAllowedError,
        "model '{name}' is gated on the Hugging Face hub",
        "accept its terms at https://huggingface.co/{id} and set HF_TOKEN",
    ),
    _Rule(
        (hub.RevisionNotFoundError,),
        "",
        NotFoundError,
        "model '{name}' has no such revision",
        "name a branch, a tag or a commit after the @",
    ),
    _Rule(
        (hub.RepositoryNotFoundError,),
        "",
        NotFoundError,
        "there is no model '{name}' on the Hugging Face hub, or it is private",
        f"check the spelling, set HF_TOKEN, {_OTHER_WAYS}",
    ),
    _Rule((hub.HFValidationError,), "", InvalidInputError, "'{name}' is not a hub id", "write owner/model@revision"),
    _Rule(
        (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, ConnectionError, TimeoutError),
        "",
        UnavailableError,
        "model '{name}' is not in the local cache, and the Hugging Face hub cannot be reached",
        f"check the network and HF_HUB_OFFLINE, {_OTHER_WAYS}",
    ),
    _Rule(
        (hub.HfHubHTTPError,), "", UnavailableError, "the Hugging Face hub refused '{name}' ({reason})", "try it later"
    ),
    _Rule(
        (SafetensorError, pickle.UnpicklingError, EOFError, struct.error, json.JSONDecodeError, UnicodeDecodeError),
        "",
        IntegrityError,
        "a file of model '{name}' is damaged ({reason})",
        "get the model again from where it came",
    ),
    _Rule(
        (MemoryError, torch.OutOfMemoryError),
        "",
        UnavailableError,
        "there is not enough memory for model '{name}'",
        "load it with --dtype bfloat16 (Python: dtype='bfloat16'), or take a smaller one",
    ),
    _Rule(
        (ValueError,),
        "trust_remote_code",
        InvalidInputError,
        "model '{name}' runs code of its own",
        "read that code, then load it with --trust-remote-code (Python: trust_remote_code=True)",
    ),
    _Rule(
        (ValueError, KeyError),
        "does not recognize this architecture",
        InvalidInputError,
        "the installed transformers does not know the architecture of '{name}'",
        "upgrade it with `pip install -U transformers`",
    ),
    _Rule(
        (ValueError,),
        "Unrecognized configuration class",
        InvalidInputError,
        "'{name}' is not a causal language model",
        "choose a model that generates text",
    ),
    _Rule(
        (OSError,),
        "no file named",
        NotFoundError,
        "model '{name}' has no weights",
        "get its model.safetensors too, or name another model",
    ),
    _Rule((ImportError,), "", UnavailableError, "model '{name}' needs a package ({reason})", "install it with pip"),
)


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn what the libraries raise while `name` loads into one of our errors.

    Raises:
        VectorstoreError: of the fitting class, with what to do next.
    """
    try:
        yield
    except VectorstoreError:
        raise
    except Exception as error:
        raise _translate(error, name) from error


def _translate(error: Exception, name: str) -> VectorstoreError:
    chain = list(_chain(error))
    for rule in _RULES:
        for link in chain:
            if isinstance(link, rule.causes) and rule.words in str(link):
                values = {"name": name, "id": name.partition("@")[0], "reason": first_line(link)}
                hint = "did you mean demo?" if _OTHER_WAYS in rule.hint and _like_demo(name) else rule.hint
                return rule.error(rule.problem.format(**values), hint.format(**values))
    return InvalidInputError(f"model '{name}' cannot be loaded ({first_line(error)})", "choose another model")


def _like_demo(name: str) -> bool:
    return bool(difflib.get_close_matches(name.lower(), ["demo"]))


def first_line(error: BaseException) -> str:
    """Return the first line of the message, shortened, or the error's name where there is none."""
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:200].rstrip(".") if lines else type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
