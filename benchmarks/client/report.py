"""Figures as tables: a terminal's, Markdown, and the goals of the project as ratios of one run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

from benchmarks.client.measure import (
    CORE,
    LC,
    LC_FLOOR,
    LC_LIGHT,
    LC_PEER,
    LI,
    LI_FLOOR,
    LI_PEER,
    LINES,
    RAW,
    Figure,
)

TITLES = {
    "chunks": "CPU per streamed chunk, bytes as fast as they are read",
    "dripped": "CPU per streamed chunk, one chunk in every read, 1 ms apart (the waiting for the socket is in it)",
    "agents": "CPU per streamed chunk through an agent (a tool call, then 500 tokens)",
    "calls": "CPU of a call that is not streamed",
    "tools": "CPU of one streamed tool call, by the size of its arguments",
    "intervals": "CPU per token with `stream_interval` = 1, 2, 4, 8",
    "concurrent": "Chunks per CPU second, by streams on one event loop",
    "concurrent wall": "Chunks per second of wall time (server and client share the machine)",
    "late p50": "Age of a chunk in its caller's hands, median; every stream gets two chunks a second",
    "late p99": "The same, 99th percentile",
    "first": "Time to the first text, whole call",
    "memory": "Memory of an open stream",
    "threads": "Threads of the process while streaming",
    "construction": "Constructing once more",
    "import": "CPU of importing, in a new process",
    "import modules": "Modules after importing",
    "import memory": "Resident memory after importing",
}


def grouped(figures: Iterable[Figure]) -> dict[str, list[Figure]]:
    """Figures by section, in the titles' order."""
    found: dict[str, list[Figure]] = {name: [] for name in TITLES}
    for figure in figures:
        found.setdefault(figure.section, []).append(figure)
    return {name: members for name, members in found.items() if members}


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return ""
    if figure.failed:
        return "failed"
    places = 0 if figure.value >= 1000 else 1 if figure.value >= 10 else 2
    low, high = min(figure.rounds), max(figure.rounds)
    return f"{figure.value:.{places}f} ({low:.{places}f}-{high:.{places}f})"


def _rows(members: Sequence[Figure]) -> tuple[list[str], list[list[str]]]:
    cases = list(dict.fromkeys(figure.case for figure in members))
    by = {(figure.subject, figure.case): figure for figure in members}
    unit = next((figure.unit for figure in members if figure.unit), "")
    head = [unit, *(case or "median (least-most)" for case in cases)]
    subjects = dict.fromkeys(figure.subject for figure in members)
    return head, [[name, *(_shown(by.get((name, case))) for case in cases)] for name in subjects]


def tables(figures: Iterable[Figure]) -> list[Table]:
    """One table a section, for a terminal."""
    made = []
    for section, members in grouped(figures).items():
        head, rows = _rows(members)
        table = Table(*head, title=TITLES.get(section, section), title_justify="left")
        for row in rows:
            table.add_row(*row)
        made.append(table)
    return made


def markdown(figures: Sequence[Figure], about: str) -> str:
    """The measured part of docs/performance.md."""
    parts = [about, goals_markdown(figures)]
    for section, members in grouped(figures).items():
        head, rows = _rows(members)
        lines = [head, ["---"] * len(head), *rows]
        parts.append(f"### {TITLES.get(section, section)}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in lines))
    failed = [
        f"- {figure.section}, {figure.subject}, {figure.case}: {figure.failed}" for figure in figures if figure.failed
    ]
    if failed:
        parts.append("### Failed\n\n" + "\n".join(failed))
    return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio that is to be at most, or at least, a bound.

    Attributes:
        text: What is compared.
        ratio: As measured; nan where a part was not.
        bound: The bound.
        least: Whether the bound is a lower one.
    """

    text: str
    ratio: float
    bound: float
    least: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether; None where it was not measured."""
        if self.ratio != self.ratio:  # nan
            return None
        return self.ratio >= self.bound if self.least else self.ratio <= self.bound


class _Values:
    def __init__(self, figures: Iterable[Figure]) -> None:
        self._values = {(f.section, f.subject, f.case): f.value for f in figures if not f.failed}

    def __call__(self, section: str, subject: str, case: str = "") -> float:
        return self._values.get((section, subject, case), float("nan"))


def goals(figures: Iterable[Figure]) -> list[Goal]:
    """The goals, from one run's medians."""
    of = _Values(figures)
    found = []
    for mode in ("sync", "async"):
        raw = of("chunks", RAW, mode)
        found += [
            Goal(f"core / raw httpx + json, {mode}", of("chunks", CORE, mode) / raw, 1.3),
            Goal(f"core / httpx iter_lines + json, {mode}", of("chunks", CORE, mode) / of("chunks", LINES, mode), 1.3),
            Goal(f"ChatLlama70B / ChatOpenAI, {mode}", of("chunks", LC, mode) / of("chunks", LC_PEER, mode), 0.25),
            Goal(f"ChatLlama70B / ChatLlama, {mode}", of("chunks", LC, mode) / of("chunks", LC_LIGHT, mode), 0.9),
            Goal(
                f"ChatLlama70B / (raw + LangChain alone), {mode}",
                of("chunks", LC, mode) / (raw + of("chunks", LC_FLOOR, mode)),
                1.25,
            ),
            Goal(f"Llama70B / OpenAILike, {mode}", of("chunks", LI, mode) / of("chunks", LI_PEER, mode), 0.3),
            Goal(
                f"Llama70B / (raw + LlamaIndex alone), {mode}",
                of("chunks", LI, mode) / (raw + of("chunks", LI_FLOOR, mode)),
                1.25,
            ),
        ]
    ours, base = of("import", "langchain_llama70b"), of("import", "BaseChatModel + httpx")
    found.append(Goal("import langchain_llama70b / (BaseChatModel + httpx), CPU", ours / base, 1.1))
    ours, base = of("import", "llamaindex_llama70b"), of("import", "FunctionCallingLLM + httpx")
    found.append(Goal("import llamaindex_llama70b / (FunctionCallingLLM + httpx), CPU", ours / base, 1.1))
    for name in (LC, LI):
        found.append(Goal(f"constructing {name} again, ms CPU", of("construction", name, "after the first"), 2.0))
        longer = of("tools", name, "8192 B") / of("tools", name, "2048 B")
        found.append(Goal(f"{name}: tool call of 8192 B / of 2048 B (4 is linear, 16 quadratic)", longer, 5.0))
    many = of("concurrent", LC, "512") / of("concurrent", LC_PEER, "512")
    found.append(Goal("512 streams: ChatLlama70B / ChatOpenAI, chunks per CPU second", many, 3.0, least=True))
    many = of("concurrent", LI, "512") / of("concurrent", LI_PEER, "512")
    found.append(Goal("512 streams: Llama70B / OpenAILike, chunks per CPU second", many, 3.0, least=True))
    return found


def goals_markdown(figures: Sequence[Figure]) -> str:
    """The goals as a table."""
    words = {True: "reached", False: "missed", None: "not measured"}
    lines = ["| ratio of medians, one run | measured | goal | |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {goal.text} | {goal.ratio:.2f} | {'>=' if goal.least else '<='} {goal.bound:g} | {words[goal.reached]} |"
        for goal in goals(figures)
    ]
    return "### Goals\n\n" + "\n".join(lines)
