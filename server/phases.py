"""What vLLM is doing, read off its log: pure, line in, phase out.

Wording of vLLM 0.33.0; `tests/server/test_command.py` fails when a release stops writing these lines.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """States of the endpoint, in the order of a life."""

    COLD = "cold"
    SCHEDULING = "scheduling"
    LOADING = "loading"
    COMPILING = "compiling"
    WARMING = "warming"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


BOOTING: Final = (Phase.SCHEDULING, Phase.LOADING, Phase.COMPILING, Phase.WARMING)
_ORDER: Final = {phase: number for number, phase in enumerate(Phase)}


@dataclass(frozen=True, slots=True)
class Progress:
    """A boot as far as the log tells.

    Attributes:
        phase: Where it is.
        done: Checkpoint shards read.
        total: Checkpoint shards in all; 0 while unknown.
        kv_tokens: KV room that vLLM found; 0 while unknown.
    """

    phase: Phase = Phase.LOADING
    done: int = 0
    total: int = 0
    kv_tokens: int = 0


_SHARDS: Final = re.compile(r"Loading safetensors checkpoint shards.*?\|\s*(\d+)/(\d+)")
_KV: Final = re.compile(r"KV cache size: ([\d,]+) tokens")
_SIGNS: Final = (
    (re.compile(r"Model loading took|torch\.compile"), Phase.COMPILING),
    (re.compile(r"Capturing CUDA graphs|Graph capturing finished|Starting vLLM server on"), Phase.WARMING),
)


def advance(progress: Progress, line: str) -> Progress:
    """Take one log line into account.

    Args:
        progress: What was known.
        line: One line of vLLM's output, without its end.

    Returns:
        What is known now; the same object if the line says nothing. Phases only move forward: workers log out of step.
    """
    if found := _SHARDS.search(line):
        done, total = int(found[1]), int(found[2])
        return Progress(progress.phase, max(done, progress.done), total, progress.kv_tokens)
    phase = progress.phase
    for sign, reached in _SIGNS:
        if sign.search(line) and _ORDER[reached] > _ORDER[phase]:
            phase = reached
    kv_tokens = int(found[1].replace(",", "")) if (found := _KV.search(line)) else progress.kv_tokens
    if (phase, kv_tokens) == (progress.phase, progress.kv_tokens):
        return progress
    return Progress(phase, progress.done, progress.total, kv_tokens)
