"""The supervisor of one vLLM process: start, phases, readiness, warm-up, heartbeat, drain, and a loud end when it dies.

Used by the Modal container (`server.app`) and by `python -m server.run`. Readiness is `GET /health` = 200 followed by
one generated token, because the first request pays for what nothing before it touched.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import IO, Any, Final

import httpx

from server.command import DRAIN_S, Command
from server.errors import EngineFailed
from server.phases import Phase, Progress, advance
from server.status import HEARTBEAT_S, Record, Store, load_record, save_record

_TAIL_LINES: Final = 40
_POLL_S: Final = 0.25
_KILL_AFTER_S: Final = 15


class Engine:
    """One vLLM process and what is known about it.

    Args:
        command: What to run.
        port: Where it listens, on this machine.
        model: Served name for the warm-up request.
        store: Where phases and heartbeats go.
        startup_timeout_s: Seconds until a boot counts as failed.
        on_death: Called from a thread when a ready engine dies by itself.
        on_heartbeat: Called every few seconds while the engine is ready.
        environ: Inherited environment; `VLLM_API_KEY` in it is the engine's key.
    """

    def __init__(
        self,
        command: Command,
        *,
        port: int,
        model: str,
        store: Store,
        startup_timeout_s: float,
        on_death: Callable[[str], None],
        on_heartbeat: Callable[[], None] = lambda: None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._command, self._port, self._model, self._store = command, port, model, store
        self._timeout, self._on_death, self._on_heartbeat = startup_timeout_s, on_death, on_heartbeat
        self._environ = {**(os.environ if environ is None else environ), **command.env}
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._progress = Progress()
        now = time.time()
        earlier = load_record(store)
        self._record = Record(uuid.uuid4().hex, Phase.LOADING, now, now, now, boots=earlier.boots if earlier else ())

    def start(self) -> None:
        """Start the process and return when it has answered a first request.

        Raises:
            EngineFailed: It ended or did not become ready in time; the message carries the end of its log.
        """
        self._event("boot", argv=" ".join(self._command.argv))
        # Its own session: a signal meant for us must not reach the workers before vLLM has drained them.
        self._process = subprocess.Popen(  # noqa: S603 - argv comes from our builder
            self._command.argv,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        threading.Thread(target=self._read, args=(self._process.stdout,), name="engine-log", daemon=True).start()
        try:
            self._wait_healthy()
            self._warm_up()
        except EngineFailed as error:
            self._set_phase(Phase.FAILED, error=str(error).splitlines()[0])
            self._kill()
            raise
        with self._lock:
            self._record = self._record.booted(time.time() - self._record.started)
        self._set_phase(Phase.READY)
        self._event("ready", kv_tokens=self._progress.kv_tokens)
        threading.Thread(target=self._watch, name="engine-watch", daemon=True).start()

    def stop(self) -> int:
        """Drain and end: SIGTERM, vLLM finishes what streams within its shutdown timeout, then SIGKILL.

        Returns:
            The exit status; negative for a signal.
        """
        process, first = self._process, not self._stopping.is_set()
        self._stopping.set()
        if process is None:
            return 0
        if process.poll() is None:
            self._set_phase(Phase.DRAINING)
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(DRAIN_S + _KILL_AFTER_S)
        self._kill()
        # An old heartbeat says "gone" at once instead of after it has gone stale.
        with self._lock:
            self._record = replace(self._record, heartbeat=0.0)
            save_record(self._store, self._record)
        if first:
            self._event("stopped", status=process.returncode)
        return process.returncode

    def wait(self) -> int:
        """Block until the process ends; its exit status."""
        assert self._process is not None
        return self._process.wait()

    @property
    def headers(self) -> dict[str, str]:
        """Headers that the engine's own key asks for."""
        key = self._environ.get("VLLM_API_KEY")
        return {"Authorization": f"Bearer {key}"} if key else {}

    @property
    def url(self) -> str:
        """Where the engine listens."""
        return f"http://127.0.0.1:{self._port}"

    def _wait_healthy(self) -> None:
        deadline = time.monotonic() + self._timeout
        with httpx.Client(timeout=2.0, trust_env=False) as client:
            while time.monotonic() < deadline:
                self._fail_if_ended("while it was starting")
                with contextlib.suppress(httpx.TransportError):
                    if client.get(f"{self.url}/health").status_code == httpx.codes.OK:
                        return
                self._beat()
                self._stopping.wait(_POLL_S)
        raise EngineFailed(f"vLLM was not ready after {self._timeout:.0f} s (startup timeout)\n{self._log()}")

    def _warm_up(self) -> None:
        self._set_phase(Phase.WARMING)
        body = {"model": self._model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
        try:
            answer = httpx.post(
                f"{self.url}/v1/chat/completions", json=body, headers=self.headers, timeout=120.0, trust_env=False
            )
        except httpx.TransportError as error:
            self._fail_if_ended("at its first request")
            raise EngineFailed(f"vLLM did not answer its first request: {error!r}\n{self._log()}") from error
        if answer.status_code != httpx.codes.OK:
            raise EngineFailed(f"vLLM answered {answer.status_code} to its first request\n{self._log()}")

    def _fail_if_ended(self, when: str) -> None:
        assert self._process is not None
        if (status := self._process.poll()) is not None:
            raise EngineFailed(f"vLLM ended with status {status} {when}\n{self._log()}")

    def _read(self, stream: IO[bytes]) -> None:
        """Pass the log on and read the phases off it; progress bars end their lines with a carriage return."""
        rest = b""
        while chunk := os.read(stream.fileno(), 65536):
            sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
            *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                self._take(line.decode(errors="replace"))
        stream.close()

    def _take(self, line: str) -> None:
        if not line.strip():
            return
        self._tail.append(line)
        before, self._progress = self._progress, advance(self._progress, line)
        if self._progress != before and self._record.phase in {Phase.LOADING, Phase.COMPILING}:
            self._set_phase(self._progress.phase)

    def _watch(self) -> None:
        while not self._stopping.wait(HEARTBEAT_S):
            assert self._process is not None
            if (status := self._process.poll()) is not None:
                reason = f"vLLM ended with status {status} while it was serving"
                self._set_phase(Phase.FAILED, error=reason)
                self._event("died", status=status)
                self._on_death(f"{reason}\n{self._log()}")
                return
            self._beat()
            self._on_heartbeat()

    def _set_phase(self, phase: Phase, *, error: str = "") -> None:
        now = time.time()
        with self._lock:
            since = now if phase is not self._record.phase else self._record.since
            done, total = self._progress.done, self._progress.total
            self._record = replace(
                self._record, phase=phase, since=since, heartbeat=now, done=done, total=total, error=error
            )
            save_record(self._store, self._record)

    def _beat(self) -> None:
        with self._lock:
            if time.time() - self._record.heartbeat >= HEARTBEAT_S / 2:
                self._record = replace(self._record, heartbeat=time.time())
                save_record(self._store, self._record)

    def _kill(self) -> None:
        """End the whole session: vLLM's workers outlive a crashed parent and would keep the GPUs' memory."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _log(self) -> str:
        return "\n".join(self._tail)

    def _event(self, name: str, **fields: Any) -> None:
        """One JSON line for whoever counts container-seconds."""
        now = time.time()
        line = {"event": name, "boot_id": self._record.boot_id, "t": round(now, 3), **fields}
        line["container_s"] = round(now - self._record.started, 1)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
