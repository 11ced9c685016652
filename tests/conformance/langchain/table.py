"""Write LangChain's part of docs/conformance.md: `ChatLlama70B` and `ChatOpenAI` through LangChain's own suites.

    python -m tests.conformance.langchain.table [--keep FOLDER]

Runs langchain-tests' unit suite, and its integration suite on vLLM (CPU) and on the local engine, for our class and,
in the peers' environment (`make peers-env`), for `ChatOpenAI` with its best basic flags, on the same servers.
`LLAMA70B_TEST_VLLM_URL` names a running vLLM. Exit code 1 if a test of ours fails.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.table import OURS, PAGE, PEERS, Column, Results, run, versions, vllm

BEGIN, END = "<!-- langchain -->", "<!-- /langchain -->"
FOLDER = "tests/conformance/langchain"
PACKAGES = ("langchain-tests", "langchain-core", "langchain-openai", "openai", "httpx")
UNIT = (
    Column("ChatLlama70B", OURS, "tests/unit/langchain/test_standard.py"),
    Column("ChatOpenAI", PEERS, f"{FOLDER}/peers.py::TestChatOpenAIUnit"),
)
LIVE = (
    Column("ChatLlama70B, vLLM", OURS, f"{FOLDER}/test_standard.py::TestOnVLLM"),
    Column("ChatOpenAI, vLLM", PEERS, f"{FOLDER}/peers.py::TestChatOpenAIOnVLLM"),
    Column("ChatLlama70B, local engine", OURS, f"{FOLDER}/test_standard.py::TestOnLocalEngine"),
    Column("ChatOpenAI, local engine", PEERS, f"{FOLDER}/peers.py::TestChatOpenAIOnLocalEngine"),
)
_WORDS = {"passed": "yes", "xfailed": "model", "failed": "**no**", "skipped": "n/a"}
_NOT_COUNTED = ("test_no_overrides_DO_NOT_OVERRIDE", "test_serdes")


def outcomes(results: Results) -> dict[str, dict[str, str]]:
    """Return test id -> outcome and reason, without what is no test of the model."""
    found = {node.split("::")[-1]: dict(result) for node, result in results.items()}
    return {name: result for name, result in found.items() if name not in _NOT_COUNTED}


def counts(columns: Sequence[Column], results: Sequence[Mapping[str, Mapping[str, str]]]) -> list[str]:
    """Return the table of counts."""
    lines = ["| | passed | failed | the model's | not applicable |", "|---|---|---|---|---|"]
    for column, result in zip(columns, results, strict=True):
        count = Counter(entry["outcome"] for entry in result.values())
        cells = (str(count[kind]) for kind in ("passed", "failed", "xfailed", "skipped"))
        lines.append(f"| {column.title} | {' | '.join(cells)} |")
    return lines


def per_test(columns: Sequence[Column], results: Sequence[Mapping[str, Mapping[str, str]]]) -> list[str]:
    """Return the table of tests."""
    lines = [f"| test | {' | '.join(column.title for column in columns)} |", f"|---|{'---|' * len(columns)}"]
    for name in dict.fromkeys(name for result in results for name in result):
        cells = (_WORDS[result[name]["outcome"]] if name in result else "not run" for result in results)
        lines.append(f"| `{name.removeprefix('test_')}` | {' | '.join(cells)} |")
    return lines


def reasons(columns: Sequence[Column], results: Sequence[Mapping[str, Mapping[str, str]]]) -> list[str]:
    """Return why what did not pass did not: the proof of the model's guilt, or the first words of the error."""
    lines = []
    for column, result in zip(columns, results, strict=True):
        for name, entry in result.items():
            if entry["outcome"] in {"failed", "xfailed"}:
                why = " ".join(entry["why"].split())[:220].replace("|", "\\|").replace("<", "&lt;")
                lines.append(f"- {column.title}, `{name.removeprefix('test_')}`: {why}")
    return lines


@contextmanager
def server() -> Iterator[tuple[dict[str, str], str]]:
    """Yield variables that point the tests at vLLM, and its version, if it is ours to know."""
    if os.environ.get("LLAMA70B_TEST_VLLM_URL"):
        yield {}, ""
        return
    with vllm() as (environment, version):
        yield environment, version


def write(lines: Sequence[str]) -> None:
    """Replace what stands between the marks."""
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN, 1)
    PAGE.write_text("\n".join([f"{head}{BEGIN}", *lines, f"{END}{rest.split(END, 1)[1]}"]), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run everything and write the part; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.langchain.table", description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder for each column's results; those there are not run again")
    keep: Path | None = parser.parse_args(argv).keep
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    there = [column for column in (*UNIT, *LIVE) if column.python.is_file()]
    if len(there) < len((*UNIT, *LIVE)):
        print("no .venv-peers (make peers-env): nothing is written", file=sys.stderr)
    with server() as (environment, engine):
        # A second engine's run is left out by default; ChatOpenAI's unit suite wants a key in the environment.
        variables = environment | {"LLAMA70B_TEST_FULL": "1", "OPENAI_API_KEY": "not-a-key"}
        results = {column.title: outcomes(run(column, variables, keep)) for column in UNIT if column in there}
        unit = list(results.values())
        live = [outcomes(run(column, variables, keep)) for column in LIVE if column in there]
    failed = any(entry["outcome"] == "failed" for result in (unit[0], live[0]) for entry in result.values())
    if len(there) < len((*UNIT, *LIVE)):
        return int(failed)
    failed = failed or any(entry["outcome"] == "failed" for entry in live[2].values())
    known = {"llama70b": versions(OURS, ["llama70b"]).get("llama70b", "?")} | versions(PEERS, PACKAGES)
    known |= {"vLLM (CPU)": engine} if engine else {}
    when = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")
    known["Python"] = ".".join(map(str, sys.version_info[:3]))
    write(
        [
            f"Generated by `make conformance` on {when}: {', '.join(f'{name} {at}' for name, at in known.items())}.",
            "",
            "LangChain's own suites (langchain-tests), every flag set that is true: tool choice, JSON mode, structured",
            "output, usage details, model override by a second served name. `ChatOpenAI` has `stream_usage=True`: it",
            "is off by default for any URL but OpenAI's; both have `max_retries=0`, `temperature=0`, 128 tokens.",
            "",
            "Unit suite (no server; `serdes`, which compares with a package's own snapshot, is not counted):",
            "",
            *counts(UNIT, unit),
            "",
            "Integration suite:",
            "",
            *counts(LIVE, live),
            "",
            *per_test(LIVE, live),
            "",
            "What did not pass, and why (`test_proofs.py` is in `tests/conformance/langchain`):",
            "",
            *reasons(LIVE, live),
        ]
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
