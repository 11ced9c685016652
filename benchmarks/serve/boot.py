"""Start a server, write down when it said what, and end it with everything it started."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

# Mark -> what the log says there; the first occurrence counts. Wording of vLLM 0.25 to 0.33.
MARKS = {
    "first_line": re.compile(r"\S"),
    "api_server": re.compile(r"non-default args|vLLM API server version"),
    "engine_core": re.compile(r"Initializing a V1 LLM engine"),
    "distributed": re.compile(r"world_size=\d+ rank=\d+"),
    "load_begin": re.compile(r"Starting to load model"),
    "load_end": re.compile(r"Model loading took"),
    "compile_cache": re.compile(r"Using cache directory"),
    "compile_end": re.compile(r"torch\.compile took|torch\.compile takes"),
    "profiled": re.compile(r"Available KV cache memory|reserved [\d.]+ GiB memory for KV Cache"),
    "kv_cache": re.compile(r"KV cache size"),
    "capture_end": re.compile(r"Graph capturing finished"),
    "engine_ready": re.compile(r"init engine \("),
    "serving": re.compile(r"Starting vLLM (API )?server"),
}
FIGURES = {
    "kv_tokens": re.compile(r"KV cache size: ([\d,]+) tokens"),
    "weights_gib": re.compile(r"Model loading took ([\d.]+)"),
    "compile_s": re.compile(r"torch\.compile (?:took|takes) ([\d.]+)"),
    "capture_s": re.compile(r"Graph capturing finished in (\d+)"),
    "kv_memory_gib": re.compile(r"Available KV cache memory: ([\d.]+)"),
    "kv_bytes_suggested": re.compile(r"--kv-cache-memory[= ]`?(\d{8,})"),
}

# Phase -> the marks that bound it.
PHASES = {
    "imports and API server": ("begin", "engine_core"),
    "engine and worker processes": ("engine_core", "load_begin"),
    "weights": ("load_begin", "load_end"),
    "compile": ("load_end", "compile_end"),
    "profiling": ("compile_end", "kv_cache"),
    "graph capture": ("kv_cache", "capture_end"),
    "last steps to healthy": ("capture_end", "healthy"),
    "first token": ("healthy", "first_token"),
}


class BootFailed(RuntimeError):
    """The server ended or was not ready in time."""


class Server:
    """One server process and its marks.

    Args:
        argv: Program and arguments.
        env: Whole environment.
        port: Where it listens.
        log: File for its output.
    """

    def __init__(self, argv: list[str], env: dict[str, str], port: int, log: Path) -> None:
        self._argv, self._env, self.port, self._log = argv, env, port, log
        self.marks: dict[str, float] = {}
        self.figures: dict[str, float] = {}
        self._began = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float) -> None:
        """Start and wait for `/health` = 200, then for the first generated token.

        Raises:
            BootFailed: It ended, or took too long; the message carries the end of its log.
        """
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            self._argv, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        threading.Thread(target=self._read, daemon=True).start()
        while time.perf_counter() - self._began < timeout_s:
            if self._process.poll() is not None:
                raise BootFailed(f"ended with status {self._process.returncode}: {self.tail()}")
            if self._healthy():
                self._mark("healthy")
                return
            time.sleep(0.1)
        raise BootFailed(f"not healthy after {timeout_s:.0f} s: {self.tail()}")

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def mark_first_token(self) -> None:
        """Note that the first token has been generated."""
        self._mark("first_token")

    def stop(self) -> None:
        """End the whole session at once and wait for it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def phases(self) -> dict[str, float]:
        """Seconds between the marks that bound a phase; a phase without its marks is left out."""
        marks = {"begin": 0.0, **self.marks}
        return {
            name: round(marks[end] - marks[start], 1)
            for name, (start, end) in PHASES.items()
            if start in marks and end in marks and marks[end] >= marks[start]
        }

    def tail(self, lines: int = 25) -> str:
        """The end of the log."""
        time.sleep(0.3)
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return "\n".join(text.replace("\r", "\n").splitlines()[-lines:])

    def _mark(self, name: str) -> None:
        self.marks.setdefault(name, round(time.perf_counter() - self._began, 2))

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        rest = b""
        with self._log.open("wb") as file:
            while chunk := os.read(self._process.stdout.fileno(), 65536):
                stamp = time.perf_counter() - self._began
                *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                for line in lines:
                    text = line.decode(errors="replace")
                    file.write(f"{stamp:8.2f} {text}\n".encode())
                    self._take(text)
                file.flush()
        self._process.stdout.close()

    def _take(self, line: str) -> None:
        for name, pattern in MARKS.items():
            if name not in self.marks and pattern.search(line):
                self._mark(name)
        for name, pattern in FIGURES.items():
            if name not in self.figures and (found := pattern.search(line)):
                self.figures[name] = float(found[1].replace(",", ""))

    def describe(self) -> dict[str, Any]:
        """Marks, phases and figures, JSON-ready."""
        return {"marks": dict(self.marks), "phases": self.phases(), "figures": dict(self.figures)}
