"""`llama70b syllogism check`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from llama70b.acceptance import printable
from llama70b.cli._common import (
    NEGATIVE,
    ApiKey,
    AsJson,
    BaseUrl,
    Model,
    WakeLines,
    argument_or_stdin,
    endpoint_of,
    guarded,
    out,
    print_json,
)
from llama70b.client import Client
from llama70b.reasoning.assisted import AssistedResult, check_assisted, completer, worth_asking
from llama70b.syllogism import ArgumentResult, check_argument, verbalise

app = typer.Typer(help="Decide syllogisms exactly; no model and no endpoint needed.", no_args_is_help=True)

_VERDICTS = {
    "entailed": ("it follows", "green"),
    "contradicted": ("the premises rule it out", "red"),
    "undetermined": ("it does not follow; the premises leave it open", "yellow"),
    "inconsistent_premises": ("the premises contradict each other", "red"),
    "refused": ("not decided: it could not be read for certain", "magenta"),
}


class ImportChoice(StrEnum):
    """The conventions of existential import."""

    ALL_TERMS = "all_terms"
    NONE = "none"


@app.callback()
def main() -> None:
    """Decide syllogisms exactly; no model and no endpoint needed."""


@app.command("check")
def check(
    argument: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARGUMENT]...", help="Premises and conclusion, in English or Chinese."),
    ] = None,
    *,
    import_: Annotated[
        ImportChoice, typer.Option("--import", help="all_terms: every class named has a member; none: it may be empty.")
    ] = ImportChoice.ALL_TERMS,
    assist: Annotated[
        bool,
        typer.Option("--assist", help="Ask the model about sentences that cannot be read; each answer is guarded."),
    ] = False,
    votes: Annotated[int, typer.Option("--votes", min=1, help="With --assist: how often to ask about each.")] = 1,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Read an argument and decide it exactly.

    Exit code 0: decided, whatever the verdict; 1: something could not be read for certain, so nothing is decided.
    No model is needed; with --assist one is asked, and only if a sentence could not be read.

    Examples:
        llama70b syllogism check "All men are mortal. Socrates is a man. So Socrates is mortal."

        llama70b syllogism check --import none --json < argument.txt

        llama70b syllogism check --assist < argument.txt
    """
    with guarded():
        text = argument_or_stdin(argument, "argument")
        result = check_argument(text, import_=import_.value)
        assisted: AssistedResult | None = None
        if assist:
            assisted = AssistedResult(result)
            if worth_asking(result):
                endpoint = endpoint_of(base_url, api_key, model)
                with Client(endpoint, on_progress=WakeLines(endpoint)) as client:
                    assisted = check_assisted(text, completer(client), import_=import_.value, votes=votes)
            result = assisted.result
        if as_json:
            print_json(assisted.to_dict() if assisted else result.to_dict())
        else:
            _show(result, out())
            _show_assisted(assisted, out())
        if result.verdict == "refused":
            raise typer.Exit(NEGATIVE)


def _show(result: ArgumentResult, console: Console) -> None:
    words, colour = _VERDICTS[result.verdict]
    console.print(Text.assemble((result.verdict, f"bold {colour}"), f": {words}"))
    for span in result.refused:
        _line(console, "refused", f"\u201c{span.text}\u201d: {span.message}")
    if result.reading is not None:
        for number, premise in enumerate(result.reading.premises, start=1):
            _line(console, f"premise {number}", verbalise(premise))
        if result.reading.conclusion is not None:
            _line(console, "conclusion", verbalise(result.reading.conclusion))
    for statement in result.follows:
        _line(console, "follows", verbalise(statement))
    if result.form is not None:
        figure = f", figure {result.result.figure}" if result.result and result.result.figure else ""
        _line(console, "form", f"{result.form}{figure}")
    if result.countermodel is not None:
        _line(console, "countermodel", f"{result.countermodel}")
    if result.needed_premises:
        _line(console, "rests on", ", ".join(f"premise {position + 1}" for position in result.needed_premises))
    if result.result is not None and result.result.other_verdict is not None:
        other = "none" if result.import_ == "all_terms" else "all_terms"
        _line(console, f"--import {other}", result.result.other_verdict.value)
    for assumption in result.assumptions:
        _line(console, "assumed", assumption)
    console.print()
    console.print(printable(result.explanation), markup=False)


def _show_assisted(assisted: AssistedResult | None, console: Console) -> None:
    if assisted is None:
        return
    for reading in assisted.readings:
        _line(console, "model read", f"\u201c{reading.source}\u201d as \u201c{reading.words}\u201d")
    for left, right in assisted.aligned:
        _line(console, "model joined", f"\u201c{left}\u201d and \u201c{right}\u201d")
    for source, why in assisted.doubts:
        _line(console, "model asked", f"\u201c{source}\u201d: not accepted, {why}")


def _line(console: Console, label: str, words: str) -> None:
    console.print(Text.assemble((f"{label:<14}", "bold"), printable(words)))
