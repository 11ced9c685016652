"""Starts vLLM on a CPU for tests and stops it, whatever happens to the starter."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from llama70b import Endpoint
from llama70b.endpoint import DEFAULT_MODEL
from tests.engines.environment import ROOT, Engine, engine_folder

MODEL_ALIAS: Final = "llama-3.3-70b"
"""The second name the model is served under, for tests that override the model per call."""

MAX_MODEL_LEN: Final = 4096
TEMPLATE: Final = ROOT / "llama70b" / "local" / "chat_template.jinja"
GUARD: Final = Path(__file__).with_name("guard.py")
_KV_CACHE_BYTES: Final = 1 << 30  # 46 KiB a token at float32: room for five full windows
_LOG_TAIL: Final = 4000


class StartError(RuntimeError):
    """The server ended or did not answer in time; the message holds the end of its log."""


def command(engine: Engine, port: int, extra: Sequence[str] = ()) -> list[str]:
    """Returns the server's command line, without a secret in it.

    Its HTTP side is the deployment's (server/command.py); engine flags are what a CPU needs. `--tool-strict-level` is
    left at vLLM's default: a client has to ask for constrained tool arguments itself on a server that is not ours.
    The keep-alive interval is short so that comment lines do turn up between the events of a stream.

    Args:
        engine: What to run.
        port: Port on 127.0.0.1.
        extra: More flags, last so that they win.
    """
    return [
        # The wheel's `vllm` script looks for a distribution named vllm, which this one is not.
        *(str(engine.python), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(engine.checkpoint), "--served-model-name", DEFAULT_MODEL, MODEL_ALIAS),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", "float32", "--enforce-eager"),
        *("--max-model-len", str(MAX_MODEL_LEN), "--max-num-batched-tokens", str(MAX_MODEL_LEN)),
        *("--max-num-seqs", "16", "--kv-cache-memory-bytes", str(_KV_CACHE_BYTES)),
        *("--chat-template", str(TEMPLATE), "--enable-auto-tool-choice", "--tool-call-parser", "llama3_json"),
        *("--enable-prompt-tokens-details", "--enable-force-include-usage", "--enable-per-request-metrics"),
        *("--enable-request-id-headers", "--enable-server-load-tracking", "--sse-keep-alive-interval", "1"),
        *extra,
    ]


def environment(api_key: str) -> dict[str, str]:
    """Returns the server's environment; the key is here because a command line is visible to every process."""
    threads = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 4)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VLLM_", "LLAMA"))}
    return inherited | {
        "VLLM_API_KEY": api_key,
        # Threads neither pinned nor spinning: the cores are shared with the tests that wait for the answer.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        # Log-probabilities and random sampling are compiled at their first use otherwise: 20 s and a C++ compiler.
        "TORCH_COMPILE_DISABLE": "1",
        "VLLM_CACHE_ROOT": str(engine_folder() / "vllm-cache"),
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }


@contextmanager
def serve(engine: Engine, log: Path, *, extra: Sequence[str] = (), timeout_s: float = 600.0) -> Iterator[Endpoint]:
    """Serves the model for as long as the context lasts.

    Args:
        engine: What to run.
        log: File for the server's output, replaced.
        extra: More flags for vLLM.
        timeout_s: Seconds until it must be healthy; 30 s is usual on two idle cores, minutes on busy ones.

    Yields:
        The running endpoint, with its key.

    Raises:
        StartError: It ended or was not healthy in time.
    """
    port = _free_port()
    api_key = secrets.token_urlsafe(24)
    with log.open("wb") as output:
        # In a session of its own: Ctrl-C reaches the tests, which then close the pipe, and not the server half-way.
        guard = subprocess.Popen(
            [sys.executable, str(GUARD), *command(engine, port, extra)],
            env=environment(api_key),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}", guard, log, timeout_s)
        yield Endpoint(f"http://127.0.0.1:{port}", DEFAULT_MODEL, api_key)
    finally:
        # The guard ends the server once the pipe closes; it also would if this process died here.
        guard.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(url: str, guard: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if guard.poll() is not None:
            raise StartError(f"vLLM ended with status {guard.returncode} while starting; {_tail(log)}")
        try:
            if httpx.get(f"{url}/health", timeout=5.0, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.5)
    raise StartError(f"vLLM was not healthy after {timeout_s:.0f} s; {_tail(log)}")


def _tail(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    return f"the end of {log}:\n{text[-_LOG_TAIL:]}"
