"""`llama70b wake` and `llama70b status`."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.table import Table

from llama70b.acceptance import printable
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
    print_json,
)
from llama70b.client import Client
from llama70b.endpoint import Endpoint


def wake(
    *,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    model: Model = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.001, help="Wait at most so long. [default: 1800]")
    ] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Then ask for one token, to see the engine answer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Wake the endpoint and wait until it serves the model.

    Examples:
        llama70b wake

        llama70b wake --timeout 600 --probe --json
    """
    with guarded(), Client(endpoint_of(base_url, api_key, model)) as client:
        started = time.monotonic()
        lines = WakeLines(client.endpoint, patient=timeout is not None)
        waited = client.wait_until_ready(lines, timeout=timeout, probe=probe)
        total = time.monotonic() - started
        if as_json:
            print_json({"ready": True, "waited_s": round(waited, 3), "total_s": round(total, 3), "probed": probe})
        elif waited:
            out().print(f"ready after {waited:.0f} s", style="green")
        else:
            out().print("ready: it was awake", style="green")


def status(
    *,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    model: Model = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Ask the endpoint. This wakes it if it sleeps, and costs its start.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which endpoint is configured and, with --probe, whether it serves.

    Without --probe nothing is sent: any request would wake a sleeping endpoint, which costs money. Then the state is
    "not asked". With --probe there is one look, no waiting. Exit code 1: it was asked and does not serve the model.

    Examples:
        llama70b status

        llama70b status --probe --json
    """
    with guarded():
        endpoint = endpoint_of(base_url, api_key, model)
        shown = _configured(endpoint)
        shown |= _looked(endpoint) if probe else {"state": "not asked"}
        if as_json:
            print_json(shown)
        else:
            _show(shown)
        if probe and shown["state"] != "serving":
            raise typer.Exit(NEGATIVE)


def _configured(endpoint: Endpoint) -> dict[str, Any]:
    credentials = [name for name in ("api_key", "modal_key", "modal_secret") if getattr(endpoint, name) is not None]
    return {
        "base_url": endpoint.base_url,
        "model": endpoint.model,
        "credentials": credentials,
        "holds_requests_while_asleep": endpoint.holds_requests,
    }


def _looked(endpoint: Endpoint) -> dict[str, Any]:
    """Look once: health, then the list of models."""
    with Client(endpoint, progress_bar=False) as client:
        started = time.monotonic()
        healthy = client.health()
        seen: dict[str, Any] = {"latency_s": round(time.monotonic() - started, 3)}
        if not healthy:
            return seen | {"state": "not serving"}
        models = client.models(timeout=10.0, max_retries=0)
    seen["models"] = [{"id": info.id, "max_model_len": info.max_model_len} for info in models]
    serves = any(info.id == endpoint.model for info in models)
    return seen | {"state": "serving" if serves else "serving another model"}


def _show(shown: dict[str, Any]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("endpoint", printable(shown["base_url"]))
    table.add_row("model", printable(shown["model"]))
    table.add_row("credentials", ", ".join(shown["credentials"]) or "none")
    colour = {"serving": "green", "not asked": "dim"}.get(shown["state"], "yellow")
    table.add_row("state", f"[{colour}]{shown['state']}[/]")
    for info in shown.get("models", ()):
        window = f", {info['max_model_len']} tokens" if info["max_model_len"] else ""
        table.add_row("serves", printable(info["id"]) + window)
    if "latency_s" in shown:
        table.add_row("answered in", f"{shown['latency_s']:.2f} s")
    out().print(table)
    if shown["state"] == "not asked":
        note("nothing was sent: a request would wake it. `llama70b status --probe` asks.")
    elif shown["state"] == "not serving":
        note("asleep, starting or down; the look has woken it if it slept. `llama70b wake` waits for it.")
