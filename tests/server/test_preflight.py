"""Preflight against a hub on loopback, weights on disk, and the smoke checks against a stub behind a fake proxy."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from huggingface_hub import HfApi, close_session
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from server import preflight, smoke
from server.errors import PreflightError
from server.profiles import PROFILES
from server.weights import missing_files, require, snapshot

H200 = PROFILES["h200-fp8"]
ORIGINAL = PROFILES["a100x2-bf16"]


class Hub(BaseHTTPRequestHandler):
    """Answers `GET /api/models/<repo>/revision/<sha>` as the hub does."""

    files: ClassVar[dict[tuple[str, str], int]] = {}

    def do_GET(self) -> None:
        repo, _, revision = self.path.split("?")[0].removeprefix("/api/models/").partition("/revision/")
        known = {name for name, _ in self.files}
        if repo not in known:
            self._send(404, {"error": "Repository not found"}, "RepoNotFound")
        elif (repo, revision) not in self.files:
            self._send(404, {"error": "Invalid rev id"}, "RevisionNotFound")
        elif repo.startswith("meta-llama/") and not self.headers.get("authorization"):
            self._send(401, {"error": "Access to model is restricted"}, "GatedRepo")
        else:
            size = self.files[repo, revision]
            siblings = [
                {"rfilename": "config.json", "size": 1},
                {"rfilename": "model-1.safetensors", "size": size // 2},
                {"rfilename": "model-2.safetensors", "size": size - size // 2},
            ]
            self._send(200, {"id": repo, "sha": revision, "siblings": siblings})

    def _send(self, status: int, body: dict[str, Any], code: str = "") -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", body["error"])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Hub.files = {
        (H200.checkpoint.repo, H200.checkpoint.revision): 72_700_000_000,
        (ORIGINAL.checkpoint.repo, ORIGINAL.checkpoint.revision): 141_100_000_000,
    }
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
    close_session()


def test_hub_has_the_commit(hub: str) -> None:
    assert preflight.check_hub(H200.checkpoint, HfApi(endpoint=hub, token=False)).endswith("72.7 GB")
    assert "141.1 GB" in preflight.check_hub(ORIGINAL.checkpoint, HfApi(endpoint=hub, token="hf_x"))


@pytest.mark.parametrize(
    ("change", "token", "message"),
    [
        ({"repo": "nobody/nothing"}, "hf_x", "nobody/nothing does not exist"),
        ({"revision": "f" * 40}, "hf_x", f"has no commit {'f' * 40}: correct its revision"),
        ({}, False, "is gated: accept its licence on its page and set HF_TOKEN"),
    ],
)
def test_hub_refusals_say_what_to_do(hub: str, change: dict[str, str], token: Any, message: str) -> None:
    with pytest.raises(PreflightError) as caught:
        preflight.check_hub(dataclasses.replace(ORIGINAL.checkpoint, **change), HfApi(endpoint=hub, token=token))
    assert message in str(caught.value)
    assert "hf_x" not in str(caught.value)


def test_unreachable_hub_is_one_line() -> None:
    with pytest.raises(PreflightError, match=r"the hub was not reached for nvidia/.*\(ConnectError\)"):
        preflight.check_hub(H200.checkpoint, HfApi(endpoint="http://127.0.0.1:9", token=False))
    close_session()


def test_weights_of_the_wrong_size_are_refused(hub: str) -> None:
    Hub.files[H200.checkpoint.repo, H200.checkpoint.revision] = 141_000_000_000
    with pytest.raises(PreflightError, match=r"holds 141\.0 GB; 72\.7 GB of fp8 were expected"):
        preflight.check_hub(H200.checkpoint, HfApi(endpoint=hub, token=False))


def test_command_line(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setenv("HF_ENDPOINT", hub)
    monkeypatch.setenv("LLAMA70B_PROFILE", "h200-fp8")
    assert preflight.main([], say=lines.append) == 0
    assert [line.split()[0] for line in lines] == ["ok", "ok"]
    monkeypatch.setenv("LLAMA70B_PROFILE", "b300")
    assert preflight.main(["--offline"], say=lines.append) == 1
    assert lines[-1].startswith("refused: unknown profile 'b300'")


def test_download_asks_the_hub_before_it_starts_a_container(hub: str, load: Callable[[str], Any]) -> None:
    Hub.files = {(H200.checkpoint.repo, "0" * 40): 1}  # the repository exists, our commit does not
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LLAMA70B_", "MODAL_", "HF_"))},
        "MODAL_TOKEN_ID": "ak-test",
        "MODAL_TOKEN_SECRET": "as-test",
        "MODAL_CONFIG_PATH": os.devnull,
        "MODAL_ENVIRONMENT": "main",
        "HF_ENDPOINT": hub,
    }
    with load("modal_fake").ControlPlane() as plane:
        result = subprocess.run(
            [sys.executable, "-m", "modal", "run", "-m", "server.app::download"],
            env={**environment, "MODAL_SERVER_URL": plane.url},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        calls = [
            name for name in plane.seen if name.startswith(("FunctionMap", "FunctionPutInputs", "FunctionCallPut"))
        ]
    assert result.returncode == 1, result.stderr
    assert f"has no commit {H200.checkpoint.revision}" in result.stdout
    assert calls == []


def test_modal_refusals_name_the_command_that_helps(load: Callable[[str], Any]) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LLAMA70B_", "MODAL_"))},
        "MODAL_TOKEN_ID": "ak-test",
        "MODAL_TOKEN_SECRET": "as-test",
        "MODAL_CONFIG_PATH": os.devnull,
        "LLAMA70B_PROFILE": "8b",
    }
    with load("modal_fake").ControlPlane() as plane:
        plane.missing_secrets.add("huggingface-secret")
        result = subprocess.run(
            [sys.executable, "-m", "server.preflight", "--offline", "--modal"],
            env={**environment, "MODAL_SERVER_URL": plane.url},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 1, result.stderr
    assert "make it with: modal secret create huggingface-secret HF_TOKEN=..." in result.stdout


def test_incomplete_weights_are_named(tmp_path: Path) -> None:
    folder = snapshot(tmp_path, "org/name", "abc")
    assert folder == tmp_path / "hub/models--org--name/snapshots/abc"
    with pytest.raises(
        PreflightError, match=r"org/name at abc is not downloaded \(config\.json and 1 more .* run: how"
    ):
        require(tmp_path, [("org/name", "abc")], "how")
    folder.mkdir(parents=True)
    (folder / "config.json").touch()
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "m1.safetensors", "b": "m2.safetensors"}}'
    )
    (folder / "m1.safetensors").touch()
    assert missing_files(folder) == ["m2.safetensors"]
    (folder / "m2.safetensors").touch()
    require(tmp_path, [("org/name", "abc")], "how")


TOKEN = "wk-test.ws-test"


class Proxy:
    """Modal's proxy in front of an engine: 401 for strangers, 503 without JSON until somebody woke it and it is up."""

    def __init__(self, upstream: str, boot_s: float, *, open_path: str = "") -> None:
        self._upstream, self._boot_s, self._open = upstream, boot_s, open_path
        self._woken: float | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await (await self._answer(Request(scope, receive)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}" and request.url.path != self._open:
            return PlainTextResponse("modal-http: unauthorized", 401)
        self._woken = self._woken or time.monotonic()
        if time.monotonic() - self._woken < self._boot_s:
            return PlainTextResponse("no container", 503)
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.request(
                request.method,
                f"{self._upstream}{request.url.path}",
                content=await request.body(),
                headers={"content-type": "application/json"},
            )
        return Response(answer.content, answer.status_code, {"content-type": answer.headers.get("content-type", "")})


@pytest.fixture
def proxied(make_engine: Callable[..., Any], parts: Any) -> Iterator[Callable[..., str]]:
    running = []

    def make(**options: Any) -> str:
        engine = make_engine()
        engine.start()
        running.append(parts.Background(Proxy(engine.url, 0.3, **options), lifespan="off"))
        return f"http://127.0.0.1:{running[-1].port}"

    yield make
    for background in running:
        background.stop()


def test_smoke_passes_on_a_good_deployment(proxied: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    url = proxied()
    lines: list[str] = []
    accepted: list[tuple[str, str, str]] = []
    monkeypatch.setattr(smoke, "acceptance", lambda *given: accepted.append(given) or 0)
    monkeypatch.setattr(smoke.Checks, "answers", lambda _: "the stub knows no capitals")
    assert smoke.main(url, TOKEN, H200, say=lines.append) == 0, lines
    assert [line.split("  ")[0] for line in lines[:-1]] == ["pass"] * 7
    assert "statuses [503, 200]" in lines[1]
    assert accepted == [(url, TOKEN, H200.served_names[0])]
    assert TOKEN not in "\n".join(lines)


def test_smoke_fails_where_strangers_come_in(proxied: Callable[..., str]) -> None:
    checks = smoke.Checks(proxied(open_path="/invocations"), TOKEN, H200, poll_s=0.05)
    outcomes = smoke.run(checks, lambda _: None)
    checks.close()
    assert not outcomes[0].passed
    assert "'/invocations': 503" in outcomes[0].detail
    assert not outcomes[3].passed  # the stub's capital of France is "Hello!"


def test_smoke_stops_when_the_token_is_wrong(proxied: Callable[..., str]) -> None:
    lines: list[str] = []
    assert smoke.main(proxied(), "wk-wrong", H200, say=lines.append) == 1
    assert len(lines) == 2
    assert "the proxy token is refused (401)" in lines[1]
    assert smoke.main("http://127.0.0.1:9", "", H200, say=lines.append) == 1
    assert "LLAMA70B_API_KEY is not set" in lines[-1]
