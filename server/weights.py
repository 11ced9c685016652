"""Weights: download at a pinned commit, and refuse to start a GPU without them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from server.errors import PreflightError

# `original/` repeats Meta's weights in another format: as many gigabytes again, which nobody reads.
_IGNORED: Final = ("original/*", "*.pth", "*.gguf")


def snapshot(hub_dir: Path, repo: str, revision: str) -> Path:
    """Where the hub's cache keeps a repository at a commit.

    Args:
        hub_dir: `HF_HOME`.
        repo: The hub's id.
        revision: Full commit hash.

    Returns:
        The folder; it need not exist.
    """
    return hub_dir / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots" / revision


def missing_files(folder: Path) -> list[str]:
    """Files of a checkpoint that are not there.

    Args:
        folder: A snapshot.

    Returns:
        Names; empty when it is complete.
    """
    missing = [name for name in ("config.json",) if not (folder / name).exists()]
    index = folder / "model.safetensors.index.json"
    if index.exists():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        names = ["model.safetensors"]
    return missing + [name for name in names if not (folder / name).exists()]


def require(hub_dir: Path, sources: Iterable[tuple[str, str]], how: str) -> None:
    """Refuse to go on without complete weights: a GPU that downloads 141 GB is billed for it.

    Args:
        hub_dir: `HF_HOME`.
        sources: (repository, commit) of everything that will be loaded.
        how: The command that downloads them.

    Raises:
        PreflightError: Something is missing; the message names it and the command.
    """
    for repo, revision in sources:
        if missing := missing_files(snapshot(hub_dir, repo, revision)):
            raise PreflightError(
                f"{repo} at {revision[:12]} is not downloaded ({missing[0]} and {len(missing) - 1} more missing); "
                f"run: {how}"
            )


def fetch(hub_dir: Path, sources: Iterable[tuple[str, str]]) -> list[Path]:
    """Download into the hub's cache; files that are there already are not fetched again.

    Args:
        hub_dir: `HF_HOME`.
        sources: (repository, commit) of everything that will be loaded.

    Returns:
        The snapshots.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - only the download container has it

    return [
        Path(snapshot_download(repo, revision=revision, cache_dir=hub_dir / "hub", ignore_patterns=list(_IGNORED)))
        for repo, revision in sources
    ]
