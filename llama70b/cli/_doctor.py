"""`llama70b doctor`: what is wrong with the set-up, and what to do about it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final, Literal

import typer
from rich.table import Table
from rich.text import Text

from llama70b import __version__
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
from llama70b.errors import ConfigurationError, Llama70BError
from llama70b.types import ChatRequest, Message, NamedTool, ToolCall, ToolSpec

Verdict = Literal["ok", "warn", "fail", "skip"]
_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "dim"}

# Package -> the first release that does not work with us, and what installs it.
_PACKAGES: Final = {
    "httpx": ("1", "pip install 'httpx<1'"),
    "langchain-core": ("2", "pip install 'llama70b[langchain]'"),
    "langchain": ("2", "pip install 'llama70b[langchain]'"),
    "llama-index-core": ("0.15", "pip install 'llama70b[llamaindex]'"),
}
_WINDOW: Final = 4096
_CLOCK: Final = ToolSpec(
    "set_alarm",
    "Set an alarm.",
    {
        "type": "object",
        "properties": {"hour": {"type": "integer", "minimum": 0, "maximum": 23}},
        "required": ["hour"],
        "additionalProperties": False,
    },
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: What.
        verdict: How it is.
        detail: What was seen.
        fix: What to do; empty when nothing is.
    """

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


def doctor(
    *,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    model: Model = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Ask the endpoint too. This wakes it if it sleeps, and costs its start.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check versions, settings and, with --probe, the endpoint: what is wrong, and what to do.

    With --probe the endpoint is woken and looked at: health, model and window, the chat template (a history with
    several tool calls must not raise), forced tool calls, usage in streams. Exit code 1: something fails.

    Examples:
        llama70b doctor

        llama70b doctor --probe --json
    """
    with guarded():
        findings = [_python(), *_packages(), *_environment()]
        endpoint: Endpoint | None = None
        try:
            endpoint = endpoint_of(base_url, api_key, model)
        except ConfigurationError as error:
            findings.append(Finding("endpoint", "fail", error.message, error.hint or "set LLAMA70B_BASE_URL"))
        else:
            findings.append(Finding("endpoint", "ok", f"{endpoint.model} at {endpoint.base_url}"))
            findings.append(_credentials(endpoint))
        if endpoint is not None and probe:
            findings.extend(_live(endpoint))
        elif endpoint is not None:
            findings.append(Finding("server", "skip", "not asked: a request would wake it; --probe asks"))
        failed = [finding for finding in findings if finding.verdict == "fail"]
        if as_json:
            print_json({"ok": not failed, "version": __version__, "findings": [asdict(one) for one in findings]})
        else:
            _show(findings)
        if failed:
            raise typer.Exit(NEGATIVE)


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Iterator[Finding]:
    yield Finding("llama70b", "ok", __version__)
    for name, (first_bad, install) in _PACKAGES.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, "skip", "not installed", "" if name == "httpx" else f"to use it: {install}")
            continue
        works = _release(found) < _release(first_bad)
        yield Finding(
            name, "ok" if works else "fail", found, "" if works else f"not supported from {first_bad} on: {install}"
        )


def _release(text: str) -> tuple[int, ...]:
    """The numbers at the head of a version: `1.7.2rc1` is (1, 7, 2)."""
    numbers: list[int] = []
    for part in text.split("."):
        digits = "".join(char for char in part[:6] if char.isdigit())
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


def _environment() -> Iterator[Finding]:
    """Settings that surprise: ours that are empty, and other clients' that we do not read."""
    for name in ("LLAMA70B_BASE_URL", "LLAMA70B_API_KEY", "LLAMA70B_MODEL"):
        if name in os.environ and not os.environ[name].strip():
            yield Finding(name, "warn", "set, but empty", f"unset {name}, or give it a value")
    strangers = [name for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE") if os.environ.get(name)]
    if strangers and not os.environ.get("LLAMA70B_BASE_URL"):
        fix = "set LLAMA70B_BASE_URL and LLAMA70B_API_KEY"
        yield Finding("OPENAI_*", "warn", f"{', '.join(strangers)} are set; llama70b never reads them", fix)


def _credentials(endpoint: Endpoint) -> Finding:
    held = [name for name in ("api_key", "modal_key", "modal_secret") if getattr(endpoint, name) is not None]
    remote = endpoint.base_url.startswith("https:")
    if not held and remote:
        fix = "LLAMA70B_API_KEY=wk-<id>.ws-<secret> for Modal's proxy, or vLLM's own key"
        return Finding("credentials", "warn", "none, for a server that is not on this machine", fix)
    if ("modal_key" in held) != ("modal_secret" in held):
        return Finding("credentials", "fail", "half of Modal's pair", "set both LLAMA70B_MODAL_KEY and _MODAL_SECRET")
    return Finding("credentials", "ok", ", ".join(held) or "none needed on this machine")


def _live(endpoint: Endpoint) -> Iterator[Finding]:
    """What only the server can tell. Stops at the first thing without which the rest makes no sense."""
    with Client(endpoint, on_progress=WakeLines(endpoint)) as client:
        began = time.monotonic()
        try:
            waited = client.wait_until_ready()
        except Llama70BError as error:
            yield Finding("server", "fail", error.message, error.hint or "llama70b wake")
            return
        slept = f"ready after {waited:.0f} s" if waited else "ready: it was awake"
        yield Finding("server", "ok", f"{slept}; looked at in {time.monotonic() - began:.1f} s")
        for name, look in _LOOKS.items():
            try:
                yield look(client)
            except Llama70BError as error:
                yield Finding(name, "fail", error.message, error.hint or "")


def _window(client: Client) -> Finding:
    mine = next((info for info in client.models() if info.id == client.endpoint.model), None)
    if mine is None:
        served = ", ".join(printable(info.id) for info in client.models())
        return Finding("model", "fail", f"not served; it serves {served}", "set LLAMA70B_MODEL to one of these")
    window = mine.max_model_len
    if window is None:
        return Finding("context window", "warn", "the server does not say", "give context_window yourself")
    if window < _WINDOW:
        return Finding("context window", "warn", f"{window} tokens", f"below {_WINDOW}: agents run out of room early")
    return Finding("context window", "ok", f"{window} tokens")


def _template(client: Client) -> Finding:
    """Meta's template raises at several tool calls in one turn; ours, and our repair of the history, do not."""
    calls = (ToolCall("a", "set_alarm", '{"hour": 6}'), ToolCall("b", "set_alarm", '{"hour": 7}'))
    history = (
        Message("user", "Set two alarms."),
        Message("assistant", "", tool_calls=calls),
        Message("tool", "done", tool_call_id="a"),
        Message("tool", "done", tool_call_id="b"),
        Message("user", "Thanks."),
    )
    count = client.count_tokens(ChatRequest(history, tools=(_CLOCK,)))
    return Finding("chat template", "ok", f"a history with two tool calls renders ({count.count} tokens)")


def _tools(client: Client) -> Finding:
    request = ChatRequest(
        (Message("user", "Set an alarm for six."),),
        tools=(_CLOCK,),
        tool_choice=NamedTool("set_alarm"),
        max_tokens=64,
        temperature=0.0,
    )
    calls = client.chat(request).message.tool_calls
    if not calls or calls[0].name != "set_alarm":
        return Finding("forced tool call", "fail", "the server ignored tool_choice", _START_TOOLS)
    try:
        arguments = calls[0].parsed()
    except ValueError:
        return Finding("forced tool call", "fail", "the arguments are no JSON", _START_TOOLS)
    if not isinstance(arguments.get("hour"), int):
        return Finding("forced tool call", "warn", "the arguments do not obey their schema", _STRICT)
    return Finding("forced tool call", "ok", "the arguments obey their schema")


def _streamed_usage(client: Client) -> Finding:
    with client.stream(ChatRequest((Message("user", "Say hello."),), max_tokens=8)) as stream:
        for _ in stream:
            pass
        completion = stream.completion
    if completion is None or completion.usage is None:
        return Finding("usage in streams", "fail", "none came", "start vLLM with --enable-force-include-usage")
    timing = completion.timing
    first = f", first token after {timing.first_token_s:.2f} s" if timing and timing.first_token_s is not None else ""
    return Finding("usage in streams", "ok", f"{completion.usage.total_tokens} tokens counted{first}")


_START_TOOLS: Final = "start vLLM with --enable-auto-tool-choice --tool-call-parser llama3_json"
_STRICT: Final = "start vLLM with --tool-strict-level parameter"
_LOOKS: Final[dict[str, Callable[[Client], Finding]]] = {
    "context window": _window,
    "chat template": _template,
    "forced tool call": _tools,
    "usage in streams": _streamed_usage,
}


def _show(findings: list[Finding]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        text = Text(printable(finding.detail))
        if finding.fix:
            text.append(f"\n{printable(finding.fix)}", style="dim")
        table.add_row(Text(finding.verdict, style=_COLOURS[finding.verdict]), finding.name, text)
    out().print(table)
    failed = sum(finding.verdict == "fail" for finding in findings)
    note(f"{failed} to mend" if failed else "nothing to mend")
