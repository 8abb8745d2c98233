"""The edge: whatever happens inside becomes one line on stderr and an exit code; a traceback only when asked for."""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections.abc import Callable

import click

from vectorstore.errors import InvalidInputError, UnavailableError, VectorstoreError, exit_code

INTERRUPTED = 130
DEBUG = "STEER_DEBUG"


def run(program: Callable[[], object], *, as_json: bool) -> int:
    """Run `program` and return the exit code; what it raises goes to stderr, and to stdout as JSON if asked for."""
    try:
        code = program()
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place that can turn it into a line
        return _report(error, as_json=as_json)
    return code if isinstance(code, int) else 0


def _report(error: Exception, *, as_json: bool) -> int:
    known = _known(error)
    if known is None:
        return _report_bug(error, as_json=as_json)
    _forget_broken_output()
    click.echo(f"error: {known}", err=True)
    code = exit_code(known)
    if as_json:
        _echo_json(type(known).__name__, known.problem, known.hint, code, getattr(known, "column", None))
    return code


def _report_bug(error: Exception, *, as_json: bool) -> int:
    what = VectorstoreError(
        f"this is a bug in steer: {type(error).__name__}: {error}",
        f"set {DEBUG}=1 to see where it is, and report it",
    )
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    click.echo(f"error: {what}", err=True)
    if as_json:
        _echo_json("Bug", what.problem, what.hint, 1)
    return 1


def _known(error: Exception) -> VectorstoreError | None:
    """Return `error` as one of ours, or None for a bug."""
    if isinstance(error, VectorstoreError):
        return error
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return UnavailableError(
            f"{where}{error.strerror or error}", "check that the folder can be written and the disk has space"
        )
    if isinstance(error, ModuleNotFoundError) and error.name in ("torch", "transformers"):
        return UnavailableError(
            f"{error.name} is not installed", f"pip install {error.name}, without which no model runs"
        )
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        return UnavailableError("there is not enough memory", "use a smaller --batch-size, or --dtype bfloat16")
    return None


def _usage(error: click.ClickException) -> InvalidInputError:
    message = error.format_message().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "steer"
    hint = f"see: {path} --help"
    if path.endswith(" compose") and isinstance(error, click.NoSuchOption):
        hint = "an expression that begins with a minus needs a space before it: ' -love'"
    elif path.endswith(" compose") and "extra argument" in message:
        hint = "put the whole expression in quotes: 'love + calm'"
    return InvalidInputError(f"{message[:1].lower()}{message[1:]}", hint)


def _echo_json(kind: str, problem: str, hint: str, code: int, column: int | None = None) -> None:
    document = {"kind": kind, "problem": problem, "hint": hint, "exit_code": code}
    click.echo(json.dumps({"error": document if column is None else document | {"column": column}}, indent=2))


def _forget_broken_output() -> None:
    """Let a stdout that cannot be written not fail once more when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = io.StringIO()
