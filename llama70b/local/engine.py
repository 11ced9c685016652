"""Run a small model on this machine behind vLLM's API, for as long as you need it."""

from __future__ import annotations

import collections
import json
import os
import queue
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from llama70b._secret import Secret
from llama70b.endpoint import Endpoint
from llama70b.errors import ConfigurationError, EndpointUnavailable
from llama70b.local import _spawn
from llama70b.local._extra import load
from llama70b.local.models import ModelFile, resolve_model

_NEEDED = ("xllamacpp", "starlette", "uvicorn", "jinja2", "llguidance")
_LOG_LINES = 40

# Sampling for requests that name none. The default model's was measured (docs/local-engine.md); others get what vLLM
# gives to a model without a generation_config.json.
_MEASURED = {"temperature": 0.1, "top_p": 0.9}
_NEUTRAL = {"temperature": 1.0, "top_p": 1.0}


class LocalEngine:
    """A llama.cpp engine with vLLM's wire, owned by this process.

    ::

        with LocalEngine() as endpoint:
            llm = ChatLlama70B(endpoint=endpoint)

    It ends with the `with` block, and with the process that started it however that ends (kill -9 included): no
    process is left behind. The default model has 135 million parameters: it stands in for the 70B's wire, not for its
    answers.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | Secret | None = None,
        context_window: int = 4096,
        threads: int | None = None,
        parallel: int = 2,
        served_names: Sequence[str] = (),
        temperature: float | None = None,
        top_p: float | None = None,
        chat_template: Path | None = None,
        wait: bool = True,
        start_timeout: float = 600.0,
        progress: bool | None = None,
    ) -> None:
        """Describe the engine; nothing is started or fetched yet.

        Args:
            model: A GGUF file, a hub id, or None for the default model (fetched once, 93 MB).
            host: Address to listen on.
            port: Port; 0 takes a free one.
            api_key: Key to ask for; None makes one up.
            context_window: Tokens per request, as the 70B deployment has.
            threads: Processors to compute with, one of them for reading prompts only; None takes those that this
                process may use, 8 at most.
            parallel: Requests computed at once; further ones wait. Each costs a context window of memory.
            served_names: Names to answer to beside the model's own.
            temperature: Sampling temperature of requests that name none; None takes the measured one.
            top_p: Nucleus mass of requests that name none; None takes the measured one.
            chat_template: File with a Jinja chat template in place of the model's.
            wait: Return from `start` when the model is loaded; False returns at once, while it answers 503.
            start_timeout: Seconds the model may take to load.
            progress: Draw a progress bar while fetching; None decides by the terminal.

        Raises:
            ConfigurationError: An argument cannot work.
        """
        if context_window < 1 or parallel < 1 or (threads is not None and threads < 1):
            raise ConfigurationError("context_window, parallel and threads are 1 or more")
        if not 0 <= port < 2**16:
            raise ConfigurationError(f"port is {port}: give 0 (a free one) to 65535")
        self._model = model
        self._host, self._port = host, port
        key = secrets.token_urlsafe(24) if api_key is None else api_key
        self._key = key if isinstance(key, Secret) else Secret(key, name="api_key")
        self._window = context_window
        self._threads = threads or min(_processors(), 8)
        self._parallel = parallel
        self._names = tuple(served_names)
        self._sampling = {"temperature": temperature, "top_p": top_p}
        self._template = chat_template
        self._wait, self._start_timeout, self._progress = wait, start_timeout, progress
        self._process: subprocess.Popen[str] | None = None
        self._endpoint: Endpoint | None = None
        self._log: collections.deque[str] = collections.deque(maxlen=_LOG_LINES)
        self._reports: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._readers: list[threading.Thread] = []

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens.

        Raises:
            ConfigurationError: It has not been started.
        """
        if self._endpoint is None:
            raise ConfigurationError("the local engine is not running", hint="use `with LocalEngine() as endpoint:`")
        return self._endpoint

    @property
    def log(self) -> str:
        """The last lines llama.cpp and the front logged."""
        return "\n".join(self._log)

    @property
    def pid(self) -> int | None:
        """Process id of the front, None when not running."""
        return None if self._process is None else self._process.pid

    def start(self) -> Endpoint:
        """Fetch the model if need be, start the engine and return where it listens.

        Raises:
            MissingExtra: The extra `[local]` is not installed.
            ConfigurationError: There is no such model, the port is taken, or llama.cpp cannot load the model.
            EndpointUnavailable: It took longer than `start_timeout`.
        """
        if self._endpoint is not None:
            return self._endpoint
        for package in _NEEDED:
            load(package, "The local engine")
        model = resolve_model(self._model, progress=self._progress)
        deadline = time.monotonic() + self._start_timeout
        self._log.clear()
        self._reports = queue.SimpleQueue()  # an earlier run left its end mark in the old one
        try:
            self._process = _spawn.spawn("llama70b.local._front", self._orders(model), stderr=subprocess.PIPE)
            self._readers = [
                threading.Thread(target=target, args=(self._process,), daemon=True)
                for target in (self._read_reports, self._read_log)
            ]
            for reader in self._readers:
                reader.start()
            port = self._next_report(deadline)["port"]
            self._endpoint = self._address(port, model)
            if self._wait:
                self._next_report(deadline)
        except BaseException:
            self.stop()
            raise
        return self._endpoint

    def wait_until_ready(self) -> None:
        """Wait for the model, after a start with `wait=False`.

        Raises:
            ConfigurationError: llama.cpp cannot load it.
            EndpointUnavailable: It took longer than `start_timeout`.
        """
        if not self._wait:
            self._next_report(time.monotonic() + self._start_timeout)
            self._wait = True

    def stop(self) -> None:
        """End the engine. Safe to call twice, and without a start."""
        process, self._process, self._endpoint = self._process, None, None
        if process is None:
            return
        _spawn.stop(process)
        for reader in self._readers:
            reader.join(timeout=2.0)
        if process.stderr is not None:
            process.stderr.close()

    def join(self, timeout: float | None = None) -> int | None:
        """Wait for the engine to end by itself: its exit code, None if it still runs after `timeout` seconds."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def __enter__(self) -> Endpoint:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = "not running" if self._endpoint is None else self._endpoint.base_url
        return f"{type(self).__name__}(model={self._model!r}, {where})"

    def _orders(self, model: ModelFile) -> dict[str, Any]:
        measured = _MEASURED if model.default else _NEUTRAL
        chosen = {name: value for name, value in self._sampling.items() if value is not None}
        return {
            "model": str(model.path),
            "root": model.path.name,
            "names": [model.name, *self._names],
            "host": self._host,
            "port": self._port,
            "api_key": self._key.get_secret_value(),
            "context_window": self._window,
            "threads": self._threads,
            "parallel": self._parallel,
            "defaults": {**measured, **chosen},
            "chat_template": None if self._template is None else self._template.read_text(encoding="utf-8"),
        }

    def _address(self, port: int, model: ModelFile) -> Endpoint:
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  (an address to map, not one to bind)
        host = everywhere.get(self._host, f"[{self._host}]" if ":" in self._host else self._host)
        return Endpoint(
            f"http://{host}:{port}", model.name, self._key, context_window=self._window, allow_insecure=True
        )

    def _next_report(self, deadline: float) -> dict[str, Any]:
        try:
            report = self._reports.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise EndpointUnavailable(
                f"the local engine was not ready after {self._start_timeout:g} s", hint="give start_timeout=..."
            ) from None
        if report is None or "failed" in report:
            reason = "it ended at once" if report is None else report["failed"]
            last = [line for line in self._log if " E " in line or "rror" in line]
            detail = f"; last in its log: {last[-1].strip()}" if last else ""
            raise ConfigurationError(f"the local engine could not start: {reason}{detail}")
        return report

    def _read_reports(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        reports = self._reports
        for line in process.stdout:
            reports.put(json.loads(line))
        reports.put(None)

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:  # read on to the end: a full pipe would stop the engine
            self._log.append(line.rstrip("\n"))


def _processors() -> int:
    """Processors this process may use: containers often get fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_foreground(
    model: str | os.PathLike[str] | None = None,
    port: int = 0,
    api_key: str | None = None,
    *,
    host: str = "127.0.0.1",
    say: Callable[[str], object] = print,
    **options: Any,
) -> int:
    """Serve until Ctrl-C: the body of `llama70b local`.

    Prints the lines to paste into another terminal, the key among them: that is what the command is for.

    Args:
        model: As `LocalEngine`.
        port: As `LocalEngine`.
        api_key: As `LocalEngine`.
        host: As `LocalEngine`.
        say: Takes each line.
        options: Further arguments of `LocalEngine`.

    Returns:
        Exit code: 0 after Ctrl-C, 1 when the engine ended by itself.

    Raises:
        Llama70BError: As `LocalEngine.start`.
    """
    engine = LocalEngine(model, host=host, port=port, api_key=api_key, **options)
    try:
        with engine as endpoint:
            assert isinstance(endpoint.api_key, Secret)
            say(f"export LLAMA70B_BASE_URL={endpoint.base_url}")
            say(f"export LLAMA70B_API_KEY={endpoint.api_key.get_secret_value()}")
            say(f"export LLAMA70B_MODEL={endpoint.model}")
            say("# ready; Ctrl-C stops it")
            while engine.join(timeout=1.0) is None:
                pass
    except KeyboardInterrupt:
        return 0
    say(f"# the engine ended by itself; its log:\n{engine.log}")
    return 1
