"""The local engine as a process: cold, ready, failing, and gone with its owner however that ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from llama70b import Secret
from llama70b.errors import ConfigurationError
from llama70b.local import LocalEngine, default_model, run_foreground

pytestmark = pytest.mark.engine

OWNER = """
import sys, time
from llama70b.local import LocalEngine
engine = LocalEngine(progress=False)
endpoint = engine.start()
print(engine.pid, flush=True)
if sys.argv[1] == "raise":
    raise RuntimeError("the owner fails")
if sys.argv[1] == "exit":
    sys.exit(0)
time.sleep(600)
"""


def processes_under(pid: int) -> list[int]:
    """The front and whatever it started; Linux only, like the machines that run this."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [pid, *map(int, found.stdout.split())]


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pids: list[int], within_s: float = 20.0) -> list[int]:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and any(map(alive, pids)):
        time.sleep(0.05)
    return [pid for pid in pids if alive(pid)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("end", ["kill -9", "ctrl-c", "terminate", "raise", "exit"])
def test_no_process_outlives_its_owner(end: str) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, end], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert owner.stdout is not None
        front = int(owner.stdout.readline())
        pids = [front] if end in ("raise", "exit") else processes_under(front)
        sent = {"kill -9": signal.SIGKILL, "ctrl-c": signal.SIGINT, "terminate": signal.SIGTERM}.get(end)
        if sent is not None:
            assert len(pids) == 2
            owner.send_signal(sent)
        assert wait_until_gone(pids) == []
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()


def test_stop_leaves_nothing_and_restart_works() -> None:
    engine = LocalEngine(progress=False)
    for _ in range(2):
        with engine as endpoint:
            pid = engine.pid
            assert pid is not None
            pids = processes_under(pid)
            assert httpx.get(endpoint.base_url.removesuffix("/v1") + "/health", trust_env=False).status_code == 200
        assert wait_until_gone(pids) == []
    engine.stop()
    with pytest.raises(ConfigurationError, match="not running"):
        _ = engine.endpoint


def test_every_path_answers_503_while_loading() -> None:
    engine = LocalEngine(wait=False, progress=False)
    with engine as endpoint:
        base = endpoint.base_url.removesuffix("/v1")
        seen = [httpx.get(base + path, trust_env=False) for path in ("/health", "/v1/models", "/nope")]
        loading = [answer for answer in seen if answer.status_code == 503]
        assert loading, "the model was loaded before the first request"
        for answer in loading:
            assert answer.json() == {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
        engine.wait_until_ready()
        assert httpx.get(base + "/health", trust_env=False).status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="finds llama.cpp's process through /proc")
def test_a_dead_llama_cpp_is_an_error_answer() -> None:
    engine = LocalEngine(progress=False)
    with engine as endpoint:
        assert engine.pid is not None
        _, llama = processes_under(engine.pid)
        os.kill(llama, signal.SIGKILL)
        assert isinstance(endpoint.api_key, Secret)
        key = {"Authorization": f"Bearer {endpoint.api_key.get_secret_value()}"}
        body = {"messages": [{"role": "user", "content": "hi"}]}
        answer = httpx.post(f"{endpoint.base_url}/chat/completions", json=body, headers=key, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "InternalServerError")
        assert httpx.get(endpoint.base_url.removesuffix("/v1") + "/health", trust_env=False).status_code == 503


def test_start_failures_say_what_and_where(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 64)
    with pytest.raises(ConfigurationError, match="the local engine could not start"):
        LocalEngine(broken).start()
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(ConfigurationError, match="not a GGUF file"):
        LocalEngine(text).start()
    with pytest.raises(ConfigurationError, match="there is no model file"):
        LocalEngine(tmp_path / "none.gguf").start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
            LocalEngine(port=port, progress=False).start()


def test_key_shows_nowhere_but_in_the_endpoint() -> None:
    engine = LocalEngine(api_key="s3cret-key", progress=False)
    with engine as endpoint:
        assert engine.pid is not None
        shown = subprocess.run(["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True).stdout
        assert "s3cret-key" not in shown + repr(engine) + repr(endpoint) + engine.log


def test_cached_start_is_quick() -> None:
    default_model(progress=False)
    began = time.monotonic()
    with LocalEngine(progress=False):
        took = time.monotonic() - began
    assert took < 30  # 2 s on two idle cores; the bound is for busy ones


def test_foreground_prints_what_to_export_and_stops_on_ctrl_c() -> None:
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "Ctrl-C" in line:
            raise KeyboardInterrupt

    assert run_foreground(api_key="given-key", say=say, progress=False) == 0
    assert said[0].startswith("export LLAMA70B_BASE_URL=http://127.0.0.1:")
    assert said[1:3] == ["export LLAMA70B_API_KEY=given-key", "export LLAMA70B_MODEL=SmolLM2-135M-Instruct"]
