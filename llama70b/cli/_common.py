"""What all commands share: options, the two consoles, errors as one line, exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from llama70b.acceptance import printable
from llama70b.endpoint import Endpoint
from llama70b.errors import ConnectionFailed, Llama70BError
from llama70b.types import ColdStartProgress

OK, NEGATIVE, TROUBLE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done; done, and the answer is no; could not be done; Ctrl-C."""

_SAY_EVERY_S = 15.0
_LOCAL_S, _REMOTE_S = 4.0, 60.0


class State:
    """What was given before the command's name."""

    debug = False


BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="Endpoint, like https://host/v1. [default: $LLAMA70B_BASE_URL]"),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="Its key; other users of this machine can see it here, the environment is safer. "
        "[default: $LLAMA70B_API_KEY]",
    ),
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Served name. [default: $LLAMA70B_MODEL, or the 70B's]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def endpoint_of(base_url: str | None, api_key: str | None, model: str | None) -> Endpoint:
    """Build the endpoint from options and environment."""
    return Endpoint.from_env(base_url=base_url, api_key=api_key, model=model)


def out() -> Console:
    """Return the console for results. Colour and width follow terminal, pipe and NO_COLOR."""
    return Console(soft_wrap=not sys.stdout.isatty(), highlight=False)


def err() -> Console:
    """Return the console for progress and errors."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one object, readable; never coloured, so that it is the same in a pipe and on a terminal."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def note(message: str) -> None:
    """Say something beside the result, on standard error."""
    err().print(message, style="dim", markup=False)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Turn what goes wrong into one line and an exit code.

    Raises:
        typer.Exit: With code 2 for an error of ours, 130 for Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        err().print("interrupted", style="yellow")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is wrong, and nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(OK) from None
    except Llama70BError as error:
        if State.debug:
            err().print(printable(traceback.format_exc()), markup=False)
        report(error)
        raise typer.Exit(TROUBLE) from None


def report(error: Llama70BError) -> None:
    """Print an error as one line, and what to do as a second."""
    console = err()
    console.print("error:", style="bold red", end=" ")
    console.print(printable(error.message), markup=False)
    if error.hint:
        console.print("  " + printable(error.hint), style="dim", markup=False)


class WakeLines:
    """Tells of a cold start in lines, for logs; on a terminal the client's own bar does it better.

    Gives up where nobody even accepts a connection: a sleeping endpoint does (its front answers 503, or holds the
    request), so that is a wrong address or a stopped server, and half an hour of waiting would not help.

    Args:
        endpoint: Whom is waited for.
        patient: Wait all the same: the user has said how long.
    """

    def __init__(self, endpoint: Endpoint, *, patient: bool = False) -> None:
        self._endpoint = endpoint
        self._patience = float("inf") if patient else _LOCAL_S if endpoint.base_url.startswith("http:") else _REMOTE_S
        self._next = 0.0
        self._refused_since: float | None = None

    def __call__(self, progress: ColdStartProgress) -> None:
        """Say a step, if it is time to.

        Raises:
            ConnectionFailed: Nobody has accepted a connection for too long.
        """
        if not progress.detail.startswith("connect"):
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = progress.elapsed_s
        elif progress.elapsed_s - self._refused_since > self._patience:
            raise ConnectionFailed(
                f"nobody answers at {self._endpoint.base_url}",
                hint="is the address right, and the server up? `llama70b local` starts a small one on this machine",
            )
        if sys.stderr.isatty() or (progress.state == "waking" and progress.elapsed_s < self._next):
            return
        self._next = progress.elapsed_s + _SAY_EVERY_S
        about = f" of about {progress.estimate_s:.0f} s" if progress.estimate_s else ""
        note(f"{progress.state}: {progress.elapsed_s:.0f} s{about} ({progress.detail})")


def argument_or_stdin(words: list[str] | None, what: str) -> str:
    """Return the words given, followed by standard input if that is piped (or asked for with `-`).

    Raises:
        typer.BadParameter: Neither holds anything.
    """
    given = " ".join(words or []).strip()
    explicit = given == "-"
    text = "" if explicit else given
    if explicit or not sys.stdin.isatty():
        piped = sys.stdin.read().strip() if explicit or not given or _has_input() else ""
        text = "\n\n".join(part for part in (text, piped) if part)
    if not text:
        raise typer.BadParameter(f"no {what}: give it as an argument or on standard input")
    return text


def _has_input() -> bool:
    """Whether standard input is a pipe or a file: then it belongs to the text. Never waits for a silent one."""
    import select  # noqa: PLC0415 - only here
    import stat  # noqa: PLC0415 - only here

    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
        if stat.S_ISREG(mode):
            return True
        return stat.S_ISFIFO(mode) and bool(select.select([sys.stdin], [], [], 0.2)[0])
    except (OSError, ValueError):  # no descriptor, or a platform that cannot ask
        return False
