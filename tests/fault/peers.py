"""Put other clients before the same faults as ours, and write down what they do: docs/data/fault_peers.json.

    .venv-peers/bin/python -m tests.fault.peers [CASE ...]

`make fault-table` puts the result beside ours. The faults, the calls and the judgement are those of our own tests
(`scenarios.py`, `frameworks.py`); a peer is made as its manual says, with its default retries, and with the time limit
of the case where it can be told one. Blocking calls, whole and streamed. Ours go through the same once more, as a check
of the yardstick.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from langchain_openai import ChatOpenAI
from llama_index.llms.openai_like import OpenAILike  # type: ignore[import-untyped]

from tests.fault.faultd import MODEL, Case, FaultServer
from tests.fault.frameworks import BEHAVIOURS, KEYS, OURS, LangChain, LlamaIndex, Stack, counted
from tests.fault.scenarios import COLD, SCENARIOS, Scenario, Seen, judge

OUT = Path(__file__).parents[2] / "docs" / "data" / "fault_peers.json"
WAYS = ("chat-sync", "stream-sync")
PATIENCE_S = 100.0
"""After that a call hangs."""
_PACKAGES = ("langchain-core", "langchain-openai", "llama-index-core", "llama-index-llms-openai-like", "openai")


def _options(case: Case, limits: dict[str, float]) -> dict[str, Any]:
    known = [limits[name] for name in ("first_byte", "stream_idle", "total") if name in limits]
    return {
        "model": MODEL,
        "api_key": KEYS["api_key"],
        "timeout": min(known, default=5.0),
        "default_headers": {"Modal-Key": KEYS["modal_key"], "Modal-Secret": KEYS["modal_secret"]},
    }


class PeerLangChain(LangChain):
    name = "ChatOpenAI"

    def make(self, case: Case, **options: Any) -> Any:
        return ChatOpenAI(base_url=f"{case.url}/v1", **_options(case, options.get("limits", {})))


class PeerLlamaIndex(LlamaIndex):
    name = "OpenAILike"
    family = {  # noqa: RUF012 - the SDK's class for the same; there is none for an overflow
        "AuthenticationError": "AuthenticationError",
        "PermissionDenied": "PermissionDeniedError",
        "NotFound": "NotFoundError",
        "BadRequest": "BadRequestError",
        "ContextOverflow": "BadRequestError",
        "RateLimited": "RateLimitError",
        "RequestTimeout": "APITimeoutError",
        "StreamStalled": "APITimeoutError",
        "ConnectionFailed": "APIConnectionError",
    }

    def make(self, case: Case, **options: Any) -> Any:
        given = _options(case, options.get("limits", {}))
        return OpenAILike(api_base=f"{case.url}/v1", is_chat_model=True, is_function_calling_model=True, **given)

    def typed(self, error: BaseException, kind: str) -> bool:
        wanted = self.family.get(kind, "OpenAIError")
        return any(cls.__module__.split(".")[0] == "openai" and cls.__name__ == wanted for cls in type(error).__mro__)


PEERS: tuple[Stack, ...] = (PeerLangChain(), PeerLlamaIndex())


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """Return what the work returns, None if it takes longer; it is then left alone."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


def look(stack: Stack, scenario: Scenario, way: str, server: FaultServer, elsewhere: FaultServer) -> tuple[bool, str]:
    """Return whether a client passes one scenario, and in a few words what it did."""
    fault = scenario.fault_for(way)
    assert fault is not None
    case = fault.on(server, elsewhere)
    llm = stack.make(case, limits=dict(scenario.limits))
    seen = _within(PATIENCE_S, lambda: stack.call(llm, way)) or Seen(hangs=True, seconds=PATIENCE_S)
    time.sleep(0.05)  # what was sent last is counted too
    counted(seen, case, elsewhere)
    typed = seen.error is not None and stack.typed(seen.error, scenario.kind)
    wrong = judge(scenario, way, seen, typed=typed)
    return not wrong, ", ".join([*_happened(scenario, seen), *wrong])


def _happened(scenario: Scenario, seen: Seen) -> list[str]:
    if seen.hangs:
        return []
    if seen.error is None:
        return ["answer"] if scenario.kind == "answer" and (seen.text or seen.calls) else []
    kind = type(seen.error)
    package = kind.__module__.split(".")[0]
    return [kind.__name__ if package == "builtins" else f"{package}.{kind.__name__}"]


def measure(cases: list[str], stacks: tuple[Stack, ...]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return for each case and client whether it passes and what it did, way by way."""
    found: dict[str, dict[str, list[tuple[str, bool, str]]]] = {}
    with FaultServer() as server, FaultServer() as elsewhere:
        wanted = [s for s in (*SCENARIOS, *COLD) if not cases or s.case in cases]
        jobs = [(s, stack, way) for s in wanted for stack in stacks for way in WAYS if s.fault_for(way)]

        def one(job: tuple[Scenario, Stack, str]) -> tuple[bool, str]:
            scenario, stack, way = job
            return look(stack, scenario, way, server, elsewhere)

        with ThreadPoolExecutor(5) as pool:
            for (scenario, stack, way), (ok, words) in zip(jobs, pool.map(one, jobs), strict=True):
                row = found.setdefault(scenario.case, {}).setdefault(stack.name, [])
                row.append((f"{scenario.name}, {way.split('-')[0]}", ok, words))
        for case, (what, behave) in BEHAVIOURS.items():
            if cases and case not in cases:
                continue
            for stack in stacks:
                wrong = behave(stack, server)
                found.setdefault(case, {}).setdefault(stack.name, []).append((what, not wrong, ", ".join(wrong)))
    return {case: {name: _cell(results) for name, results in row.items()} for case, row in sorted(found.items())}


def _cell(results: list[tuple[str, bool, str]]) -> dict[str, Any]:
    return {
        "ok": all(ok for _, ok, _ in results),
        "results": [{"what": what, "ok": ok, "words": words} for what, ok, words in results],
    }


def main(cases: list[str]) -> int:
    """Measure, write, and say what our own models did under the same yardstick."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("LLAMA", "OPENAI_")):
            del os.environ[name]
    ours = measure(cases, OURS)
    failed = [f"{case} {name}" for case, row in ours.items() for name, cell in row.items() if not cell["ok"]]
    print("ours, by the same yardstick:", "all right" if not failed else f"not {', '.join(failed)}")
    for case in failed:
        print(json.dumps(ours[case.split()[0]], indent=1))
    measured: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "python": sys.version.split()[0],
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "ways": list(WAYS),
        "patience_s": PATIENCE_S,
        "cases": measure(cases, PEERS),
    }
    if cases and OUT.exists():  # those anew, the others as they were measured
        before = json.loads(OUT.read_text(encoding="utf-8"))
        measured["cases"] = dict(sorted({**before["cases"], **measured["cases"]}.items()))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # calls that hang have threads that would keep the interpreter alive
