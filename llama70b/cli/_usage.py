"""`llama70b usage` and `llama70b recommend`."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from llama70b.acceptance import printable
from llama70b.cli._common import AsJson, guarded, note, out, print_json
from llama70b.cost.prices import Deployment, Price, deployment_from_env
from llama70b.cost.reconcile import ModalBilling
from llama70b.errors import ConfigurationError
from llama70b.ledger import NS, Ledger, export, ledger_path
from llama70b.report.advice import DEFAULT_VALUE_PER_HOUR, Advice, ModalAutoscaler, advise
from llama70b.report.figures import Container, Spread, Usage, usage
from llama70b.report.words import advice_lines, hours, money

app = typer.Typer(help="What every run took and cost, from the ledger.", invoke_without_command=True)

LedgerFile = Annotated[
    Path | None, typer.Option("--ledger", metavar="FILE", help="The ledger. [default: $LLAMA70B_LEDGER]")
]
Since = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="30d, 12h, or a date like 2026-11-01 (UTC); all: everything.")
]
PricePerHour = Annotated[
    float | None,
    typer.Option("--price", min=0, metavar="DOLLARS", help="An hour of the 70B's container. [default: $LLAMA70B_...]"),
]
Window = Annotated[
    float | None, typer.Option("--window", min=0, metavar="SECONDS", help="Scaledown window it is deployed with.")
]
ValueOfWaiting = Annotated[
    float, typer.Option("--value-of-waiting", min=0, metavar="DOLLARS", help="What an hour of waiting is worth.")
]


class Format(StrEnum):
    """What `export` writes."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@app.callback()
def show(
    context: typer.Context,
    *,
    ledger: LedgerFile = None,
    since: Since = "30d",
    price: PricePerHour = None,
    window: Window = None,
    value_of_waiting: ValueOfWaiting = DEFAULT_VALUE_PER_HOUR,
    modal_app: Annotated[
        str | None, typer.Option("--modal-app", metavar="NAME", help="Compare with Modal's bill of this app.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write one page with plots.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what every run took and cost.

    A ledger is written by every process that has LLAMA70B_LEDGER set, and by this command line.

    Examples:
        llama70b usage --since 7d

        llama70b usage --html usage.html

        llama70b usage export --format csv -o usage.csv
    """
    if context.invoked_subcommand is not None:
        return
    with guarded():
        from_ns = since_ns(since)
        opened = opened_ledger(ledger)
        rows = opened.runs(since_ns=from_ns)
        if modal_app is not None:
            opened.add(ModalBilling(modal_app).bills(max(from_ns, rows[0].started_ns if rows else 0), time.time_ns()))
        bills = [bill for bill in opened.bills() if bill.from_ns >= from_ns]
        known = deployments(price, window)
        dropped = sum(drop.count for drop in opened.drops(since_ns=from_ns))
        found = usage(rows, deployment_of=known, bills=bills, until_ns=time.time_ns(), dropped=dropped)
        advice = advise(rows, deployment_of=known, value_per_hour=value_of_waiting)
        if html is not None:
            _write_page(html, found, advice)
        if as_json:
            print_json({"usage": found.as_dict(), "advice": advice.as_dict()})
        elif html is None:
            print_usage(found, out())


@app.command("export")
def export_(
    *,
    format_: Annotated[Format, typer.Option("--format", help="Parquet needs the extra `parquet`.")] = Format.JSONL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there. [default: standard output]")
    ] = None,
    ledger: LedgerFile = None,
    since: Since = "all",
    texts: Annotated[bool, typer.Option("--texts", help="With the prompts, where the ledger has them.")] = False,
) -> None:
    """Write the rows as JSON lines, CSV or Parquet."""
    with guarded():
        rows = opened_ledger(ledger).runs(since_ns=since_ns(since), texts=texts)
        if output is None:
            export(rows, format_.value, sys.stdout.buffer)
            sys.stdout.flush()
            return
        try:
            with output.open("wb") as file:
                count = export(rows, format_.value, file)
        except OSError as error:
            raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from error
        note(f"{count} rows written to {output}")


@app.command("prune")
def prune(
    days: Annotated[float, typer.Argument(min=0, help="Delete runs older than so many days.")],
    *,
    ledger: LedgerFile = None,
) -> None:
    """Delete old runs."""
    with guarded():
        count = opened_ledger(ledger).prune(days, now_ns=time.time_ns())
        note(f"{count} runs deleted")


def recommend(
    *,
    ledger: LedgerFile = None,
    since: Since = "90d",
    price: PricePerHour = None,
    window: Window = None,
    value_of_waiting: ValueOfWaiting = DEFAULT_VALUE_PER_HOUR,
    apply: Annotated[
        str | None,
        typer.Option("--apply", metavar="APP/FUNCTION", help="Set the window on Modal; a redeploy resets it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Advise on scaledown window, warm hours, profile and the 8B, from the ledger.

    Says nothing that the evidence does not carry: below 30 pauses only the break-even window, and no change whose
    saving is not certain. Nothing is changed without --apply.

    Examples:
        llama70b recommend --value-of-waiting 20

        llama70b recommend --apply llama70b/serve
    """
    with guarded():
        rows = opened_ledger(ledger).runs(since_ns=since_ns(since))
        advice = advise(rows, deployment_of=deployments(price, window), value_per_hour=value_of_waiting)
        if as_json:
            print_json(advice.as_dict())
        else:
            for line in advice_lines(advice):
                out().print(f"• {printable(line)}", markup=False)
        if apply is not None:
            _apply(apply, advice)


def _apply(target: str, advice: Advice) -> None:
    app_name, slash, function = target.partition("/")
    if not slash or not app_name or not function:
        raise ConfigurationError(f"--apply {target!r} names no function", hint="like llama70b/serve")
    windows = [one.window.recommended_s for one in advice.endpoints if one.window.recommended_s is not None]
    if len(windows) != 1:
        raise ConfigurationError(f"{len(windows)} windows are advised, so none is applied")
    seconds = round(windows[0])
    ModalAutoscaler(app_name, function).set_window(seconds)
    note(f"scaledown_window={seconds} set; a redeploy resets it, so put it into the profile as scaledown_window_s")


def opened_ledger(path: Path | None) -> Ledger:
    """Return the ledger that an option or the environment names."""
    named = path if path is not None else ledger_path(unless_said=True)
    if named is None:
        raise ConfigurationError("the ledger is off", hint="unset LLAMA70B_LEDGER, or give --ledger FILE")
    return Ledger(named)


_UNITS = {"d": 86_400, "h": 3_600, "m": 60}


def since_ns(text: str) -> int:
    """Return the moment that `--since` means, UTC nanoseconds."""
    if text == "all":
        return 0
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)([dhm])", text):
        return time.time_ns() - round(float(found[1]) * _UNITS[found[2]] * NS)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--since {text!r} is no time", hint="like 30d, 12h, 2026-11-01 or all") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * NS


def deployments(price: float | None, window: float | None) -> Callable[[str], Deployment]:
    """Return what is known of the containers: options first, for the 70B, then the environment."""

    def known(model: str) -> Deployment:
        found = deployment_from_env(model=model)
        if found.size == "70b" and price is not None:
            found = replace(found, price=Price.per_hour(price, "--price"))
        if found.size == "70b" and window is not None:
            found = replace(found, window_s=window, source="--window")
        return found

    return known


def _write_page(path: Path, found: Usage, advice: Advice) -> None:
    from llama70b.report.html import page  # noqa: PLC0415 - an extra

    try:
        path.write_text(page(found, advice), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    note(f"report written to {path}")


def print_usage(found: Usage, console: Console) -> None:
    """Print the figures as tables."""
    if not found.runs:
        console.print("no runs")
        return
    ends = ", ".join(f"{count} {outcome}" for outcome, count in found.outcomes.items())
    console.print(f"{found.since} to {found.until}: {found.runs} runs ({ends})")
    guessed = f", of {found.estimated_runs} runs guessed" if found.estimated_runs else ""
    console.print(f"tokens: {found.prompt_tokens:,} read, {found.completion_tokens:,} written{guessed}")
    if found.errors:
        console.print("errors: " + ", ".join(f"{name} {count}" for name, count in found.errors.items()))
    if found.dropped:
        console.print(f"{found.dropped} rows were lost", style="yellow")
    for one in found.containers:
        console.print()
        console.print(f"{printable(one.model)} at {printable(one.endpoint)}", style="bold", markup=False)
        console.print(_container_table(one))
        _print_beside(one, console)
    if found.first_token_s or found.tokens_per_s:
        console.print()
        console.print(_spread_table(found))
    if found.routing:
        table = _table("served", "reason", "runs")
        for served, reason, count in found.routing:
            table.add_row(printable(served), printable(reason), f"{count}")
        console.print(table)


def _print_beside(one: Container, console: Console) -> None:
    if one.price_per_hour is None:
        console.print("no price is known: set LLAMA70B_PROFILE or LLAMA70B_PRICE_PER_HOUR, or give --price")
        return
    console.print(
        f"at ${one.price_per_hour:.2f}/h ({one.price_source}), window {one.window_s:g} s ({one.window_source}): "
        f"{money(one.usd_per_run)} a run, {money(one.usd_per_mtok)} a million tokens",
        markup=False,
    )
    if one.kappa is not None:
        console.print(f"billed {money(one.billed_usd)} for the hours reported: {one.kappa:.2f} x the estimate")
    if one.api_usd:
        shown = ", ".join(f"{name} {money(asked)}" for name, asked in list(one.api_usd.items())[:3])
        console.print(f"the same tokens at an API: {shown}", markup=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _container_table(one: Container) -> Table:
    table = _table("", "time", "share", "cost")
    price = None if one.price_per_hour is None else one.price_per_hour / 3600
    for name, seconds in (("boot", one.boot_s), ("busy", one.busy_s), ("idle", one.idle_s), ("up", one.up_s)):
        share = f"{seconds / one.up_s:.0%}" if one.up_s else "–"
        table.add_row(name, hours(seconds), share, money(None if price is None else seconds * price))
    boot = "" if one.boot_p50_s is None else f"{hours(one.boot_p50_s)} at the median"
    table.add_row("cold starts", f"{one.starts}", boot, f"{hours(one.wait_s)} waited")
    return table


def _spread_table(found: Usage) -> Table:
    table = _table("", "runs", "p50", "p95", "p99")
    for name, spreads, unit in (
        ("first token", found.first_token_s, "s"),
        ("speed", found.tokens_per_s, "tok/s"),
    ):
        for state, spread in spreads.items():
            table.add_row(f"{name}, {state}", f"{spread.count}", *_values(spread, unit))
    return table


def _values(spread: Spread, unit: str) -> list[str]:
    return [f"{value:.3g} {unit}" for value in (spread.p50, spread.p95, spread.p99)]
