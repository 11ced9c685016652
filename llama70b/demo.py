"""One question, asked three ways: the bare model, the LangChain agent, the LlamaIndex agent. `python -m llama70b.demo`.

Without `--base-url` it starts the local engine and stops it again, however it ends. The adapters are loaded by name
when they are used: the core does not depend on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from llama70b.acceptance import ROSES, printable
from llama70b.cli._common import ApiKey, BaseUrl, Model, WakeLines, guarded
from llama70b.client import Client
from llama70b.endpoint import DEFAULT_MODEL, Endpoint
from llama70b.errors import MissingExtra
from llama70b.local import LocalEngine
from llama70b.reasoning import Stance, decide, read_stance
from llama70b.types import ChatRequest, Message

_MAX_TOKENS = 160
_SHOWN_CHARS = 240
_VERDICTS = {
    "entailed": ("follows", "green"),
    "contradicted": ("ruled out by the premises", "red"),
    "undetermined": ("does not follow; undetermined, not false", "yellow"),
    "inconsistent_premises": ("the premises contradict each other", "red"),
    "refused": ("could not be read for certain", "magenta"),
}
_STANCES = {
    Stance.FOLLOWS: "says that it follows",
    Stance.DOES_NOT_FOLLOW: "says that it does not follow",
    Stance.CONTRADICTED: "says that it is false",
    Stance.UNCLEAR: "gives no clear verdict",
}
_RIGHT = {"entailed": Stance.FOLLOWS, "undetermined": Stance.DOES_NOT_FOLLOW, "contradicted": Stance.CONTRADICTED}


@dataclass(slots=True)
class Way:
    """One way of asking, and what came of it.

    Attributes:
        name: For people.
        said: The model's own last words.
        tokens: Of all its answers.
        seconds: From question to answer.
        calls: Tool calls the model made: name and arguments.
        result: The agent's structured result, None for the bare model.
    """

    name: str
    said: str = ""
    tokens: int = 0
    seconds: float = 0.0
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    result: Mapping[str, Any] | None = None


def ask_bare(endpoint: Endpoint, question: str) -> Way:
    """Ask the model as it is."""
    started = time.monotonic()
    with Client(endpoint, on_progress=WakeLines(endpoint)) as client:
        answer = client.chat(ChatRequest((Message("user", question),), max_tokens=_MAX_TOKENS, temperature=0))
    tokens = answer.usage.total_tokens if answer.usage else 0
    return Way("bare model", answer.text, tokens, time.monotonic() - started)


def ask_langchain(endpoint: Endpoint, question: str) -> Way:
    """Ask through `ChatLlama70B` and the agent on LangChain's `create_agent`."""
    agents = _adapter("langchain_llama70b.agent", "the LangChain agent", "langchain")
    models = _adapter("langchain_llama70b", "the LangChain agent", "langchain")
    agent = agents.create_syllogism_agent(models.ChatLlama70B(**_settings(endpoint)), tool_use="forced")
    started = time.monotonic()
    state = agent.invoke({"messages": [("user", question)]})
    calls = [(call["name"], call["args"]) for m in state["messages"] for call in getattr(m, "tool_calls", ())]
    return _way("LangChain agent", state["structured_response"], calls, time.monotonic() - started)


def ask_llamaindex(endpoint: Endpoint, question: str) -> Way:
    """Ask through `Llama70B` and the agent on LlamaIndex's `FunctionAgent`."""
    agents = _adapter("llamaindex_llama70b.agent", "the LlamaIndex agent", "llamaindex")
    models = _adapter("llamaindex_llama70b", "the LlamaIndex agent", "llamaindex")

    async def run() -> Any:
        agent = agents.create_syllogism_agent(models.Llama70B(**_settings(endpoint)), tool_use="forced")
        return await agent.run(question)

    started = time.monotonic()
    output = asyncio.run(run())
    calls = [(call.tool_name, call.tool_kwargs) for call in output.tool_calls]
    return _way("LlamaIndex agent", output.structured_response, calls, time.monotonic() - started)


def _way(name: str, result: Mapping[str, Any], calls: list[tuple[str, Mapping[str, Any]]], seconds: float) -> Way:
    return Way(name, str(result["model_answer"]), int(result["usage"]["total_tokens"]), seconds, calls, result)


def _adapter(module: str, what: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(what, extra) from error


def _settings(endpoint: Endpoint) -> dict[str, Any]:
    key = endpoint.api_key
    secret = key.get_secret_value() if key is not None and not isinstance(key, str) else key
    return {
        "base_url": endpoint.base_url,
        "api_key": secret,
        "model": endpoint.model,
        "max_tokens": _MAX_TOKENS,
        "temperature": 0.0,
    }


def head(endpoint: Endpoint, question: str, *, local: bool, ready_s: float) -> RenderableType:
    """Return what is shown first: the question, who is asked, and what to expect of it."""
    lines: list[RenderableType] = [Text(question, style="bold"), Text()]
    where = f"started on this machine in {ready_s:.1f} s" if local else endpoint.base_url
    lines.append(Text.assemble(("model  ", "dim"), printable(endpoint.model), (f"  {where}", "dim")))
    if local or endpoint.model != DEFAULT_MODEL:
        lines.append(
            Text(
                "This is not the 70B: a small model stands in for its wire (API, tools, streams), not for its quality. "
                "What it says by itself is shown as it is.",
                style="yellow",
            )
        )
    return Panel(Group(*lines), title="llama70b demo", title_align="left", border_style="cyan", padding=(1, 2))


def show(letter: str, way: Way, question: str) -> RenderableType:
    """Return one way's result."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", justify="right", min_width=12)
    grid.add_column(overflow="fold")
    for name, arguments in way.calls:
        grid.add_row("model calls", _call(name, arguments))
    if way.result is None:
        grid.add_row("model says", _quote(way.said))
        grid.add_row("verdict", _bare_verdict(way, question))
    else:
        words, colour = _VERDICTS[way.result["verdict"]]
        called = "" if way.calls else " (the model made no call; the question itself was checked)"
        grid.add_row(
            "checker", Text.assemble((way.result["verdict"].upper(), f"bold {colour}"), f"  {words}", (called, "dim"))
        )
        if way.result["countermodel"]:
            grid.add_row("because", Text.assemble(("imagine only these: ", "dim"), way.result["countermodel"]))
            grid.add_row("", Text("then every premise is true, and the conclusion is false", style="dim"))
        grid.add_row("model says", Group(_quote(way.said), _lock(way.result)))
        grid.add_row("answer", Text(_shortened(way.result["answer"])))
    grid.add_row("cost", Text(f"{way.tokens} tokens, {way.seconds:.1f} s", style="dim"))
    return Group(Rule(f"[bold]{letter}[/]  {way.name}", align="left", style="cyan"), Padding(grid, (0, 0, 1, 0)))


def _call(name: str, arguments: Mapping[str, Any]) -> Text:
    text = Text.assemble((name, "bold green"), "(")
    for position, (key, value) in enumerate(arguments.items()):
        text.append(", " if position else "")
        text.append(f"{key}=", style="cyan")
        text.append(printable(json.dumps(value, ensure_ascii=False)))
    return text.append(")")


def _quote(said: str) -> Text:
    return Text(_shortened(said) or "(nothing)", style="italic dim")


def _shortened(words: str) -> str:
    shown = " ".join(printable(words).split())
    return shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS].rstrip() + " ..."


def _bare_verdict(way: Way, question: str) -> Text:
    decision = decide(question)
    stance = read_stance(way.said, claim=decision.claim).stance
    right = stance is _RIGHT.get(decision.verdict)
    return Text.assemble(
        (_STANCES[stance], "bold green" if right else "bold red"), ("  right" if right else "  not right", "dim")
    )


def _lock(result: Mapping[str, Any]) -> Text:
    match result["agreement"]:
        case "agrees":
            return Text("agrees with the checker: kept, under the checker's verdict", style="green")
        case "disagrees":
            return Text("disagrees with the checker: replaced by the checker's explanation", style="red")
        case _:
            return Text("states no clear verdict: replaced by the checker's explanation", style="yellow")


def summary(ways: list[Way], question: str) -> RenderableType:
    """Return the closing table."""
    decision = decide(question)
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("asked", "final verdict", "tool call", "tokens", "seconds"):
        table.add_column(name, justify="right" if name in ("tokens", "seconds") else "left")
    for way in ways:
        if way.result is None:
            verdict = _bare_verdict(way, question)
        else:
            right = way.result["verdict"] == decision.verdict
            verdict = Text.assemble((way.result["verdict"], "bold green" if right else "bold red"), ("  exact", "dim"))
        call = "by the model" if way.calls else "none"
        table.add_row(way.name, verdict, call, str(way.tokens), f"{way.seconds:.1f}")
    return Panel(table, border_style="cyan", padding=(0, 1))


@contextlib.contextmanager
def _engine(
    base_url: str | None, api_key: str | None, model: str | None, console: Console
) -> Iterator[tuple[Endpoint, float]]:
    if base_url is not None:
        yield Endpoint.from_env(base_url=base_url, api_key=api_key, model=model), 0.0
        return
    started = time.monotonic()
    engine = LocalEngine(model)
    try:
        with console.status("starting the local engine (the first time it fetches 93 MB)"):
            endpoint = engine.start()
        yield endpoint, time.monotonic() - started
    finally:
        engine.stop()


def demo(
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    model: Model = None,
    question: Annotated[str, typer.Option("--question", "-q", help="Ask something else.")] = ROSES,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Save the picture of the terminal.")] = None,
) -> None:
    """Ask one question three ways: the bare model, the LangChain agent, the LlamaIndex agent.

    Without --base-url a small engine is started on this machine for as long as it takes. Ctrl-C leaves nothing behind.
    """
    console = Console(record=svg is not None, width=100 if svg is not None else None, highlight=False)
    with guarded(), _engine(base_url, api_key, model, console) as (endpoint, ready_s):
        console.print(head(endpoint, question, local=base_url is None, ready_s=ready_s))
        ways = []
        for letter, name, ask in (
            ("a", "the bare model", ask_bare),
            ("b", "the LangChain agent", ask_langchain),
            ("c", "the LlamaIndex agent", ask_llamaindex),
        ):
            with console.status(f"asking {name}"):
                way = ask(endpoint, question)
            console.print(show(letter, way, question))
            ways.append(way)
        console.print(summary(ways, question))
    if svg is not None:
        picture = console.export_svg(title="python -m llama70b.demo")
        # Without the web font rich links to: a picture that loads nothing from anywhere.
        svg.write_text(re.sub(r"@font-face \{[^}]*\}", "", picture), encoding="utf-8")


def main() -> None:
    """Run the demo."""
    typer.run(demo)


if __name__ == "__main__":
    main()
