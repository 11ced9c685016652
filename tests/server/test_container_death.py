"""G8: vLLM dies while serving: the container that held it exits, and the gateway says 503 instead of hanging."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.status import FileStore

ROOT = Path(__file__).parents[2]
MODEL = "meta-llama/Llama-3.3-70B-Instruct"

# What `server.app.Llama.start` does, with the stub in vLLM's place: the same supervisor, the same end of the container.
CONTAINER = """
import sys, time
from pathlib import Path
from server import cloud, engine
from server.command import Command
from server.status import FileStore
folder, stub, port, model = sys.argv[1:]
engine.HEARTBEAT_S = 0.2
argv = (sys.executable, stub, "serve", "stub", "--port", port, "--served-model-name", model)
held = engine.Engine(
    Command(argv, {}), port=int(port), model=model, store=FileStore(Path(folder)), startup_timeout_s=20,
    on_death=cloud._end_container,
)
held.start()
print("CONTAINER READY", flush=True)
time.sleep(600)
"""


def test_the_container_exits_and_the_gateway_answers_503(
    store: FileStore, free_port: Callable[[], int], serve: Callable[..., Any], tmp_path: Path
) -> None:
    port = free_port()
    stub = str(Path(__file__).with_name("stub_vllm.py"))
    container = subprocess.Popen(
        [sys.executable, "-c", CONTAINER, str(tmp_path / "status"), stub, str(port), MODEL],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert container.stdout is not None
        for line in container.stdout:
            if "CONTAINER READY" in line:
                break
        gateway = serve(f"http://127.0.0.1:{port}")
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
        with gateway.client() as client:
            first = client.post("/v1/chat/completions", json=body)
            assert first.status_code == 200, (first.text, client.get("/status").json())
            crash = {**body, "stream": True, "messages": [{"role": "user", "content": "CRASH"}]}
            cut = client.post("/v1/chat/completions", json=crash)
            assert '"error"' in cut.text, "the caller is told inside the stream"
            assert container.wait(20) == 1, "a container without its engine would be billed for nothing"
            answer = client.post("/v1/chat/completions", json=body)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"]["type"]
            assert client.get("/status").json()["phase"] == "failed"
        assert "vLLM ended with status 7 while it was serving" in container.stdout.read()
        assert "while it was serving" in json.dumps([path.read_text() for path in (tmp_path / "status").iterdir()])
    finally:
        container.send_signal(signal.SIGKILL)
        container.wait()
        if container.stdout is not None:
            container.stdout.close()
