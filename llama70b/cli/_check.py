"""`llama70b check`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown

from llama70b.acceptance import CHECKS, Check, Report, printable, run_checks, to_markdown
from llama70b.cli._common import (
    NEGATIVE,
    ApiKey,
    AsJson,
    BaseUrl,
    Model,
    WakeLines,
    endpoint_of,
    guarded,
    note,
    out,
    report,
)
from llama70b.client import Client
from llama70b.endpoint import Endpoint
from llama70b.errors import ConfigurationError, Llama70BError

SIBLING_MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def check(
    *,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    model: Model = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help=f"Run this test only: {', '.join(c.name for c in CHECKS)}."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the report there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the acceptance tests of the original deployment and print their report.

    Four questions: a greeting, code (run in a sandbox), Chinese, logic. Each with tokens, seconds, time to first token,
    tokens per second, pass or fail and why, beside the original report's figures. With LLAMA8B_BASE_URL set the small
    sibling is asked too, for a column beside; it does not decide. Exit code 0: all passed; 1: one failed; 2: the
    endpoint could not be asked.

    Examples:
        llama70b check

        llama70b check --json --output report.json

        llama70b check --only logic --only code
    """
    with guarded():
        checks = _chosen(only)
        found = _run(endpoint_of(base_url, api_key, model), checks)
        sibling = _sibling(checks)
        if as_json:
            object_ = found.as_dict() | {"sibling": sibling.as_dict() if sibling else None}
            text = json.dumps(object_, ensure_ascii=False, indent=2) + "\n"
        else:
            text = to_markdown(found, sibling)
        if output is not None:
            _write(output, text)
            note(f"report written to {output}")
        elif as_json or not sys.stdout.isatty():
            sys.stdout.write(text)
        else:
            out().print(Markdown(text))
        if not found.passed:
            raise typer.Exit(NEGATIVE)


def _chosen(only: list[str] | None) -> tuple[Check, ...]:
    names = [one.name for one in CHECKS]
    unknown = [name for name in only or () if name not in names]
    if unknown:
        raise typer.BadParameter(f"no test is called {unknown[0]!r}; there are {', '.join(names)}")
    return tuple(one for one in CHECKS if not only or one.name in only)


def _run(endpoint: Endpoint, checks: tuple[Check, ...]) -> Report:
    with Client(endpoint, on_progress=WakeLines(endpoint)) as client:
        return run_checks(client, checks=checks, on_check=lambda one: note(f"{endpoint.model}: {one.title} ..."))


def _sibling(checks: tuple[Check, ...]) -> Report | None:
    """Ask the small sibling, if there is one; its troubles are said and decide nothing."""
    if not os.environ.get("LLAMA8B_BASE_URL", "").strip():
        return None
    try:
        name = os.environ.get("LLAMA8B_MODEL", "").strip() or SIBLING_MODEL
        return _run(Endpoint.from_env(prefix="LLAMA8B", model=name), checks)
    except Llama70BError as error:
        note("the sibling (LLAMA8B_BASE_URL) could not be asked; its column is left out:")
        report(error)
        return None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {printable(str(path))}: {error.strerror}") from error
