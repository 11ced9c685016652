"""Write the table of fault cases in docs/reliability.md from the results of the tests themselves.

    python -m tests.fault.table [-k expression]

Runs `tests/fault`, groups what happened by the case in each test's name (`test_f13_...`, `[F13 ...]`) and by the client
it went through, and replaces what stands between the two marks in the page. What other clients do on the same server
is measured by `peers.py` in an environment of its own, and read from its file. Exit code as pytest's; 1 too if a case
has no test.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
PEERS = ROOT / "docs" / "data" / "fault_peers.json"
"""What other clients do on the same server, if measured: see `peers.py`."""
CORE, FRAMEWORKS = "core client", ("ChatLlama70B", "Llama70B")
BEGIN, END = "<!-- fault table -->", "<!-- end of the fault table -->"

CASES = {
    "F01": ("connection refused", "`ConnectionFailed` after 3 attempts with jitter; deadline held"),
    "F02": ("DNS failure", "`ConnectionFailed` that names the host only"),
    "F03": ("connecting hangs", "`ConnectionFailed` within `timeouts.connect`"),
    "F04": ("TLS: unknown authority, wrong host", "`ConnectionFailed`, no retry, hint about the trust store"),
    "F05": ("accepts, never answers", "`RequestTimeout`, one POST"),
    "F06": ("headers byte by byte", "`RequestTimeout`: the limit counts the whole wait, also over TLS and on reuse"),
    "F07": ("body stalls after half", "`RequestTimeout`, not tried again"),
    "F08": ("stream stalls", "`StreamStalled`, partial text kept"),
    "F09": ("stream of heartbeats only", "`StreamStalled` all the same"),
    "F10": ("slow but steady tokens", "the answer, until the deadline; a slow reader is no stalled stream"),
    "F11": ("deadline passes during a retry's pause", "ends before the pause; sum of pauses <= deadline"),
    "F12": ("reset before any byte", "tried again: the answer, two POSTs"),
    "F13": ("reset after the first token", "`IncompleteStream` with text, tool calls, usage; one POST"),
    "F14": ("clean end without finish_reason", "`IncompleteStream`"),
    "F15": ("finish_reason without `[DONE]`", "the answer"),
    "F16": ("`[DONE]` without finish_reason", "`IncompleteStream`"),
    "F17": ("bytes after `[DONE]`, connection held", "the answer at once; the connection used again, or closed"),
    "F18": ("cut, or dripping, inside a chunk's header", "`IncompleteStream`; `StreamStalled`"),
    "F19": ("Content-Length larger than the body", "tried again, then `ConnectionFailed`"),
    "F20": ("200 with a login page", "`ProtocolError`; the page is neither quoted nor logged"),
    "F21": ("200 with an error object", "typed by its code"),
    "F22": ("200, `choices` missing, null, empty", "`ProtocolError`"),
    "F23": ("truncated JSON, wrong type, NaN, deep nesting", "`ProtocolError`"),
    "F24": ("nested error inside the stream", "typed by its code, partial text kept"),
    "F25": ("flat error, `event: error`", "typed, partial text kept"),
    "F26": ("usage-only chunk, cumulative usage", "usage counted once"),
    "F27": ("`data: null`, `data: 5`, unknown fields", "`ProtocolError`; unknown fields ignored"),
    "F28": ("interleaved tool-call fragments", "assembled exactly"),
    "F29": ("tool arguments are broken JSON", "kept as they came; `parsed()` raises"),
    "F30": ("stream cut at every byte, mixed line ends", "the same events for every cutting"),
    "F31": ("multi-line data, comments, empty events", "as the SSE standard says"),
    "F32": ("byte order mark", "first token kept"),
    "F33": ("U+2028, U+0085, NUL, split characters", "text exact"),
    "F34": ("invalid UTF-8", "`ProtocolError`, partial text kept"),
    "F35": ("2 MiB event, endless line, stream, body", "`ResponseTooLarge`, memory bounded"),
    "F36": ("compressed although not asked for", "`ProtocolError`, nothing is unpacked"),
    "F37": ("200 KB of headers, no HTTP at all", "`ProtocolError`"),
    "F38": ("303 of the same origin x 5", "the answer; one POST; polls carry credentials, no body"),
    "F39": ("303 for ever", "`ColdStartTimeout` at the deadline; one POST"),
    "F40": ("network error on a poll", "the same URL again; one POST, one generation"),
    "F41": ("redirect to another host, port, scheme", "`RedirectRefused`; the other side sees nothing"),
    "F42": ("301, 302, 307, 308 of the same origin", "`RedirectRefused`, hint to fix base_url"),
    "F43": ("cold start in both modes, 0 to 400 s, 1 and 50 calls", "one generation a call, one waker, no retry spent"),
    "F44": ("never ready", "`ColdStartTimeout` within 1 s of the deadline; one POST"),
    "F45": ("healthy, but hangs", "`EndpointUnavailable` from the deep probe"),
    "F46": ("401 from Modal and from vLLM, 403", "`AuthenticationError` that says which key, `PermissionDenied`"),
    "F47": ("404 model, 404 path, 405", "`NotFound` with the models served"),
    "F48": ("prompt over the window", "`ContextOverflow` with both counts"),
    "F49": ("429 with any Retry-After", "obeyed, ignored or refused"),
    "F50": ("408, 500, 502 with HTML, 504", "tried again; the body is never in the message"),
    "F51": ("steady failure of 50 calls", "at most 50 + 10 attempts"),
    "F52": ("keep-alive closed while idle, or on reuse", "the answer, one silent re-send at most"),
    "F53": ("no free connection", "`RequestTimeout` that names the knob; no slot is ever lost"),
    "F54": ("2,000 cancellations under contention", "every slot still works; no socket left open"),
    "F55": ("asyncio.run x 3, two loops, threads", "the answers; no warning under `-W error`"),
    "F56": ("fork, both sides call 40 times", "every answer its own; no deadlock"),
    "F57": ("left early, dropped, cancelled (24 forms)", "the server sees the close within 1 s"),
    "F58": ("key with newline, empty, missing", "`ConfigurationError` without the value"),
    "F59": ("marker secret in errors, frames, logs, pickles", "never found"),
    "F60": ("`OPENAI_*`, netrc, proxies, cookies", "ignored, ignored, honoured, not kept"),
}


@dataclass
class Result:
    """What the tests of one case came to."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    ways: set[str] = field(default_factory=set)

    def cell(self) -> str:
        if not self.outcomes:
            return "**no test**"
        failed = self.outcomes.total() - self.outcomes["passed"]
        verdict = f"**{failed} of {self.outcomes.total()} failed**" if failed else f"{self.outcomes.total()} passed"
        seen = ", ".join(f"`{kind}`" if kind != "answer" else kind for kind, _ in self.seen.most_common())
        return f"{verdict}: {seen}" if seen else verdict


class Recorder:
    """A pytest plugin that groups outcomes by case."""

    def __init__(self) -> None:
        self.results: dict[tuple[str, str], Result] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = re.search(r"(?:test_|\[)([Ff]\d\d)[_ ]", report.nodeid)
        if found is None or (report.when != "call" and not report.failed):
            return
        through = next((str(value) for name, value in report.user_properties if name == "through"), CORE)
        result = self.results.setdefault((found[1].upper(), through), Result())
        result.outcomes[report.outcome] += 1
        for name, value in report.user_properties:
            if name == "seen":
                result.seen[str(value)] += 1
        result.ways.update(re.findall(r"\b(?:chat|stream)-(?:a?sync)\b", report.nodeid))


def table(results: dict[tuple[str, str], Result]) -> str:
    """Return the table as Markdown, with a line above it that says what the columns on the right are."""
    measured: dict[str, Any] = json.loads(PEERS.read_text(encoding="utf-8")) if PEERS.exists() else {"cases": {}}
    peers = sorted({name for row in measured["cases"].values() for name in row})
    lines = [_about(measured), ""] if peers else []
    heads = ["#", "fault", "expected", CORE, *(f"`{name}`" for name in (*FRAMEWORKS, *peers))]
    lines.append("| " + " | ".join(heads) + " |")
    lines.append("|---" * len(heads) + "|")
    for case, (what, expected) in CASES.items():
        cells = [case, what, expected, results.get((case, CORE), Result()).cell()]
        cells += [results[case, name].cell() if (case, name) in results else "-" for name in FRAMEWORKS]
        cells += [_peer(measured["cases"].get(case, {}).get(name)) for name in peers]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _about(measured: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in measured["versions"].items())
    return (
        f"The two columns on the right were measured on {measured['date']} on the same server by "
        f"`tests/fault/peers.py` ({versions}; Python {measured['python']}), with each client's default retries, in "
        "blocking calls, whole and streamed. A mark means that all of it was as our own must be: an error of the class "
        "that the framework or the client's SDK has for that fault, what had arrived of the answer in the error, no "
        "more POSTs than expected, in time. "
        '"as the core" means that no framework changes anything about the case.'
    )


def _peer(cell: dict[str, Any] | None) -> str:
    """Return a peer's cell: the mark, and in a few words what it did wherever that was not right."""
    if cell is None:
        return "not measured"
    wrong = [result for result in cell["results"] if not result["ok"]]
    by_words: dict[str, list[str]] = {}
    for result in wrong:
        by_words.setdefault(result["words"], []).append(result["what"])
    if not wrong:
        return "\u2713"
    told = [f"{'; '.join(_short(whats))}: {words}" for words, whats in by_words.items()]
    share = f"{len(wrong)} of {len(cell['results'])}: " if len(wrong) < len(cell["results"]) else ""
    return f"\u2717 {share}" + "<br>".join(told)


def _short(whats: list[str]) -> list[str]:
    """Return what was asked for, with `chat` and `stream` of one fault together."""
    ways: dict[str, list[str]] = {}
    for what in whats:
        name, _, way = what.rpartition(", ")
        ways.setdefault(name or way, []).extend([way] if name else [])
    return [f"{name} ({', '.join(way)})" if way else name for name, way in ways.items()]


def main(arguments: list[str]) -> int:
    """Run the tests and rewrite the table."""
    recorder = Recorder()
    code = pytest.main([str(ROOT / "tests" / "fault"), "-q", "-p", "no:cacheprovider", *arguments], plugins=[recorder])
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise SystemExit(f"{PAGE} lacks the marks {BEGIN} and {END}")
    PAGE.write_text(f"{head}{BEGIN}\n{table(recorder.results)}\n{END}{tail}", encoding="utf-8")
    seen = {case for case, _ in recorder.results}
    missing = [case for case in CASES if case not in seen]
    if missing:
        print(f"no test ran for {', '.join(missing)}")
    return int(code) or bool(missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
