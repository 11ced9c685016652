"""What is measured on the loopback server, section by section; every section interleaves its subjects by rounds."""

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.client.children import ROOT, Child, Failed, environment
from benchmarks.client.subjects import Target

RAW, LINES, CORE = "httpx + json", "httpx iter_lines + json", "llama70b core"
LC, LC_PEER, LC_LIGHT, LC_FLOOR = "ChatLlama70B", "ChatOpenAI", "ChatLlama", "LangChain alone"
LI, LI_PEER, LI_FLOOR = "Llama70B", "OpenAILike", "LlamaIndex alone"
LI_WHOLE, LI_PEER_WHOLE = "Llama70B complete", "OpenAILike complete"
CLIENTS = (RAW, CORE, LC, LC_LIGHT, LC_PEER, LI, LI_PEER)
AGENTS = (
    "create_agent, ChatLlama70B",
    "create_agent, ChatLlama",
    "create_agent, ChatOpenAI",
    "FunctionAgent, Llama70B",
    "FunctionAgent, OpenAILike",
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    Attributes:
        section: Part of the report.
        subject: Whose it is.
        case: Under which circumstances.
        unit: Of the value.
        rounds: The values of all rounds, in their order.
        failed: Why there is none.
    """

    section: str
    subject: str
    case: str
    unit: str
    rounds: tuple[float, ...] = field(default=())
    failed: str = ""

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.rounds) if self.rounds else float("nan")


@contextlib.contextmanager
def loopback() -> Iterator[str]:
    """Start the server, give its base URL, end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.client.server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


class Bench:
    """Runs the sections.

    Args:
        url: The loopback server.
        rounds: Rounds that count; one more comes before them.
        python: Interpreter of the peers' environment.
        stack: Holds the children, which live for all sections.
    """

    def __init__(self, url: str, *, rounds: int, python: str, stack: contextlib.ExitStack) -> None:
        self._url, self._rounds, self._python, self._stack = url, rounds, python, stack
        self._children: dict[str, Child] = {}
        self.figures: list[Figure] = []

    def _child(self, name: str) -> Child:
        if name not in self._children:
            target = Target(self._url, "text-1")
            self._children[name] = self._stack.enter_context(Child(name, target, python=self._python))
        return self._children[name]

    def _answers(
        self,
        section: str,
        names: Sequence[str],
        model: str,
        orders: dict[str, dict[str, Any]],
        *,
        most_rounds: int = 99,
        **fields: Any,
    ) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """Give every order to every subject in every round; return the answers by subject and order."""
        children = [self._child(name) for name in names]
        answers: dict[tuple[str, str], list[dict[str, Any]]] = {(n, case): [] for n in names for case in orders}
        failed: set[tuple[str, str]] = set()
        for child in children:
            child.order("aim", model=model, fields=fields)
        for number in range(min(self._rounds, most_rounds) + 1):
            turn = number % len(children)
            for child in children[turn:] + children[:turn]:
                for case, order in orders.items():
                    if (child.name, case) in failed:
                        continue
                    try:
                        answer = child.order(**order)
                    except Failed as error:
                        failed.add((child.name, case))
                        self.figures.append(Figure(section, child.name, case, "", failed=str(error)))
                        continue
                    if number:
                        answers[child.name, case].append(answer)
        return {key: found for key, found in answers.items() if found and key not in failed}

    def _note(self, section: str, subject: str, case: str, unit: str, values: Iterable[float]) -> None:
        self.figures.append(Figure(section, subject, case, unit, tuple(round(value, 4) for value in values)))

    def _each(self, section: str, names: Sequence[str], tokens: int, model: str) -> None:
        """CPU per chunk, blocking and awaiting."""
        orders = {mode: {"op": "load", "streams": 1, "mode": mode} for mode in ("sync", "async")}
        for (name, mode), answers in self._answers(section, names, model, orders).items():
            self._note(section, name, mode, "us CPU/chunk", [1e6 * a["cpu_s"] / tokens for a in answers])
            if section == "dripped":
                self._note("threads", name, mode, "threads", [a["threads"] for a in answers])

    def chunks(self, tokens: int = 2000) -> None:
        """CPU per chunk, with many chunks in every read."""
        names = (RAW, LINES, CORE, LC, LC_LIGHT, LC_PEER, LC_FLOOR, LI, LI_WHOLE, LI_PEER, LI_PEER_WHOLE, LI_FLOOR)
        self._each("chunks", names, tokens, f"text-{tokens}")

    def dripped(self, tokens: int = 200) -> None:
        """CPU per chunk with one chunk in every read, as a GPU sends them."""
        self._each("dripped", CLIENTS, tokens, f"drip-{tokens}-1")

    def agents(self, tokens: int = 500) -> None:
        """CPU per chunk of an agent's run: a tool call, the tool, an answer."""
        orders = {"async": {"op": "load", "streams": 1, "mode": "async"}}
        for (name, mode), answers in self._answers("agents", AGENTS, f"agent-{tokens}", orders).items():
            self._note("agents", name, mode, "us CPU/chunk", [1e6 * a["cpu_s"] / tokens for a in answers])

    def calls(self, calls: int = 20) -> None:
        """CPU of a call that is not streamed."""
        orders = {mode: {"op": "whole", "calls": calls, "mode": mode} for mode in ("sync", "async")}
        for (name, mode), answers in self._answers("calls", CLIENTS, "text-100", orders).items():
            self._note("calls", name, mode, "us CPU/call", [1e6 * a["cpu_s"] / calls for a in answers])

    def tools(self) -> None:
        """CPU of reading one tool call; linear in its length, if nobody parses what he parsed before."""
        for size in (512, 2048, 8192):
            orders = {"async": {"op": "load", "streams": 1, "mode": "async"}}
            for (name, _), answers in self._answers("tools", CLIENTS, f"tool-{size}", orders).items():
                self._note("tools", name, f"{size} B", "ms CPU/call", [1e3 * a["cpu_s"] for a in answers])

    def intervals(self, tokens: int = 2000) -> None:
        """CPU per token with several tokens in a chunk: vLLM's `stream_interval`."""
        orders = {"async": {"op": "load", "streams": 1, "mode": "async"}}
        for interval in (1, 2, 4, 8):
            answers = self._answers("intervals", (LC, LI), f"text-{tokens}", orders, stream_interval=interval)
            for (name, _), found in answers.items():
                self._note("intervals", name, str(interval), "us CPU/token", [1e6 * a["cpu_s"] / tokens for a in found])

    def concurrent(self, tokens: int = 20) -> None:
        """Throughput of one event loop, as many bytes as it takes."""
        orders = {str(n): {"op": "load", "streams": n, "mode": "async"} for n in (1, 64, 512)}
        for (name, case), answers in self._answers(
            "concurrent", CLIENTS, f"text-{tokens}", orders, most_rounds=3
        ).items():
            pieces = tokens * int(case)
            self._note("concurrent", name, case, "chunks/CPU s", [pieces / a["cpu_s"] for a in answers])
            self._note("concurrent wall", name, case, "chunks/s", [pieces / a["wall_s"] for a in answers])

    def late(self, tokens: int = 3) -> None:
        """Age of a chunk when the caller has it, at a given load: two chunks a second and stream."""
        orders = {str(n): {"op": "load", "streams": n, "mode": "async", "stamped": True} for n in (64, 512)}
        for (name, case), answers in self._answers(
            "late", CLIENTS, f"stamp-{tokens}-500", orders, most_rounds=3
        ).items():
            for quantile in (50, 99):
                values = [1e3 * statistics.quantiles(a["late_s"], n=100)[quantile - 1] for a in answers]
                self._note(f"late p{quantile}", name, case, "ms", values)

    def first(self) -> None:
        """Time to the first text, of which all but the server's and the loopback's is the client's."""
        orders = {mode: {"op": "load", "streams": 1, "mode": mode} for mode in ("sync", "async")}
        for (name, mode), answers in self._answers("first", CLIENTS, "text-1", orders).items():
            self._note("first", name, mode, "ms", [1e3 * a["first_s"][0] for a in answers])

    def memory(self, streams: int = 256) -> None:
        """Memory an open stream holds, in a process that has had no streams before."""
        found: dict[str, list[float]] = {}
        for _ in range(2):
            for name in CLIENTS:
                with Child(name, Target(self._url, "drip-5-1000"), python=self._python) as child:
                    held = child.order("memory", streams=streams, after_s=4.0)
                    found.setdefault(name, []).append(held["kib_per_stream"])
        for name, values in found.items():
            self._note("memory", name, f"{streams} streams", "KiB/stream", values)

    def construction(self) -> None:
        """CPU of making one more client in a process that has made one; only what users construct."""
        orders = {"after the first": {"op": "construct", "times": 5}}
        names = (LC, LC_LIGHT, LC_PEER, LI, LI_PEER)
        for (name, case), answers in self._answers("construction", names, "text-1", orders).items():
            self._note("construction", name, case, "ms CPU", [1e3 * statistics.median(a["cpu_s"]) for a in answers])

    def imports(self) -> None:
        """CPU, modules and memory of importing, each in a new process."""
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in IMPORTS}
        for number in range(self._rounds + 1):
            for name, code in IMPORTS.items():
                measured = imported(code, self._python)
                if number:
                    found[name].append(measured)
        for name, rounds in found.items():
            for (section, unit), values in zip(_IMPORT_UNITS, zip(*rounds, strict=True), strict=True):
                self._note(section, name, "", unit, values)


_IMPORT_UNITS = (("import", "s CPU"), ("import modules", "modules"), ("import memory", "MB"))
_LC_BASE = "import httpx; from langchain_core.language_models.chat_models import BaseChatModel"
_LI_BASE = "import httpx; from llama_index.core.llms.function_calling import FunctionCallingLLM"
IMPORTS = {
    "httpx": "import httpx",
    "llama70b": "import llama70b",
    "BaseChatModel + httpx": _LC_BASE,
    "langchain_llama70b": "import langchain_llama70b",
    "langchain_llama_cpp": "import langchain_llama_cpp",
    "langchain_openai": "import langchain_openai",
    "FunctionCallingLLM + httpx": _LI_BASE,
    "llamaindex_llama70b": "import llamaindex_llama70b",
    "openai_like": "import llama_index.llms.openai_like",
}


def imported(code: str, python: str) -> tuple[float, float, float]:
    """CPU seconds, modules and resident megabytes of a new process that runs `code`."""
    tell = f"{code}; import sys; print(len(sys.modules))"
    process = subprocess.Popen([python, "-c", tell], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    modules = int(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.stdout.close()
    process.returncode = status
    if status:
        raise Failed(f"{code!r} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, float(modules), usage.ru_maxrss / 1024


SECTIONS = (
    *("imports", "construction", "chunks", "dripped", "agents", "calls"),
    *("tools", "intervals", "concurrent", "late", "first", "memory"),
)


def run(
    *, rounds: int, python: str, sections: Sequence[str] = SECTIONS, save: Callable[[list[Figure]], None] | None = None
) -> list[Figure]:
    """Measure sections; say on standard error what is being done, and save after each what there is."""
    began = time.monotonic()
    with loopback() as url, contextlib.ExitStack() as stack:
        bench = Bench(url, rounds=rounds, python=python, stack=stack)
        for section in sections:
            print(f"[{time.monotonic() - began:4.0f} s] {section}", file=sys.stderr, flush=True)
            getattr(bench, section)()
            if save is not None:
                save(bench.figures)
        print(f"[{time.monotonic() - began:4.0f} s] done", file=sys.stderr, flush=True)
    return bench.figures


def default_python() -> str:
    """The interpreter of the peers' environment, which `make peers-env` builds."""
    found = Path(ROOT / ".venv-peers" / "bin" / "python")
    return str(found) if found.exists() else sys.executable
