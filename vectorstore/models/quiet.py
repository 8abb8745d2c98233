"""Keep the libraries' warnings, log lines and progress bars from the user while a model loads."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers, huggingface_hub, gguf and Python's warnings, and put everything back afterwards.

    This holds for the whole process, so other threads are silent meanwhile too. stderr itself is left alone: a status
    line of our own may be running there.
    """
    with warnings.catch_warnings(), _no_logging(), _no_bars():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _no_logging() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _no_bars() -> Iterator[None]:
    # Every library builds its bars on tqdm, and some of them (GGUF) behind no switch of their own.
    original = tqdm.__init__

    def silent(self: Any, *args: Any, **options: Any) -> None:  # noqa: ANN401 - tqdm's own arguments
        original(self, *args, **options | {"disable": True})

    tqdm.__init__ = silent
    try:
        yield
    finally:
        tqdm.__init__ = original
