"""The command `llama70b`: its options, its commands."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from llama70b import __version__
from llama70b.cli import _ask, _chat, _check, _doctor, _endpoint, _eval, _local, _syllogism, _usage
from llama70b.cli._common import State

_EPILOG = """\
Exit codes: 0 done; 1 done, and the answer is no (a test failed, not serving, not readable); 2 it could not be done
(usage, configuration, endpoint); 130 Ctrl-C. Results go to standard output, progress and errors to standard error.
NO_COLOR is respected.
"""

app = typer.Typer(
    name="llama70b",
    help="A self-hosted Llama-3.3-70B: wake it, ask it, check it.\n\nThe endpoint comes from LLAMA70B_BASE_URL and "
    "LLAMA70B_API_KEY, or from --base-url and --api-key. `llama70b local` starts a small one on this machine.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would print secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llama70b {__version__}")
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep what was given before the command's name."""
    State.debug = debug


app.command("wake")(_endpoint.wake)
app.command("status")(_endpoint.status)
app.command("ask")(_ask.ask)
app.command("chat")(_chat.chat)
app.command("check")(_check.check)
app.command("doctor")(_doctor.doctor)
app.command("local")(_local.local)
_syllogism.app.command("eval")(_eval.evaluate)
app.add_typer(_syllogism.app, name="syllogism")
app.add_typer(_usage.app, name="usage")
app.command("recommend")(_usage.recommend)


def run() -> None:
    """Run the command line; ends the process. What it asks is in the ledger, unless LLAMA70B_LEDGER is off."""
    os.environ.setdefault("LLAMA70B_LEDGER", "on")
    app(prog_name="llama70b")
