"""Run the adapters' unit tests with the lowest declared and the newest versions of both frameworks.

    python -m tests.versions.run [lowest] [newest] [ahead]

Nothing is pinned here: `lowest` resolves pyproject.toml's own lower bounds, `newest` is what the resolver finds today,
and `ahead` puts the newest release of LangChain on top without its dependencies, for the days on which a pin of its own
makes it uninstallable; when `newest` has it already there is no such day, and `ahead` is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
EXTRAS = ("--extra", "langchain", "--extra", "llamaindex")
TOOLS = """
    pytest pytest-asyncio pytest-timeout pytest-xdist hypothesis jinja2 syrupy tiktoken llama-models
    pytest-benchmark pytest-codspeed pytest-recording pytest-socket vcrpy numpy
""".split()
STANDARD_TESTS = "langchain-tests"  # without its dependencies: it wants a newer httpx than our lowest
AHEAD = ("langchain-core", "langchain", "langgraph", "langgraph-prebuilt", "langgraph-checkpoint")
SHOWN = ("langchain-core", "langchain", "langgraph", "llama-index-core", "pydantic", "httpx")
SUITES = ("tests/unit/langchain", "tests/unit/llamaindex")
# The oldest releases warn about the newest pydantic, and of each other; their warnings are not ours to mend.
LENIENT = ("-o", "filterwarnings=ignore")


def uv(*arguments: str) -> str:
    """Run uv; return what it prints."""
    environment = {**os.environ, "UV_LINK_MODE": "copy"}  # nltk refuses hard links
    done = subprocess.run([str(UV), *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"uv {' '.join(arguments)} ended with {done.returncode}\n{done.stderr[-3000:]}")
    return done.stdout


def build(folder: Path, resolution: str) -> None:
    """Make an environment of our declared dependencies, resolved one way, and the tools of the tests."""
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    pins = folder / "pins.txt"
    uv("pip", "compile", "-q", "--no-header", "--resolution", resolution, "pyproject.toml", *EXTRAS, "-o", str(pins))
    uv("pip", "install", "-q", "-p", str(folder), "-r", str(pins), *TOOLS)
    uv("pip", "install", "-q", "-p", str(folder), "--no-deps", STANDARD_TESTS)


def versions(folder: Path) -> dict[str, str]:
    """Return name -> version of what is installed."""
    listed = json.loads(uv("pip", "list", "-q", "-p", str(folder), "--format", "json"))
    return {entry["name"]: entry["version"] for entry in listed}


def test(folder: Path) -> bool:
    """Run both adapters' unit tests there; return whether they passed."""
    command = [str(folder / "bin" / "python"), "-m", "pytest", *SUITES, "-q", "-n", "2", "--benchmark-disable"]
    return subprocess.run([*command, "-p", "no:cacheprovider", *LENIENT], cwd=ROOT, check=False).returncode == 0


def run(name: str, folder: Path) -> bool:
    """Build one environment and test in it; return whether all passed."""
    began = time.monotonic()
    build(folder, "lowest-direct" if name == "lowest" else "highest")
    if name == "ahead":
        before = versions(folder)
        uv("pip", "install", "-q", "-p", str(folder), "--no-deps", "--upgrade", *AHEAD)
        if versions(folder) == before:
            print("ahead: the resolver finds the newest LangChain by itself; nothing more to try")
            return True
    found = versions(folder)
    built = time.monotonic() - began
    print(f"{name}: {', '.join(f'{known} {found[known]}' for known in SHOWN)} (built in {built:.0f} s)", flush=True)
    passed = test(folder)
    print(f"{name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
    return passed


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.versions.run", description=__doc__)
    parser.add_argument("names", nargs="*", choices=["lowest", "newest", "ahead", []], help="default: all")
    names = parser.parse_args(argv).names or ["lowest", "newest", "ahead"]
    with tempfile.TemporaryDirectory(prefix="llama70b-versions-") as folder:
        results = [run(name, Path(folder) / name) for name in names]
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
