"""`modal deploy -m server.app` against a control plane on loopback, and what would have been deployed, profile by
profile.

The manifests in `golden/` are what a reviewer reads: GPUs, timeouts, volumes, secrets, authentication, image lines, the
autoscaler, and the vLLM command of the container. After a change that is meant: `UPDATE_GOLDEN=1 pytest tests/server`.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server import names
from server.command import EngineSettings, build
from server.errors import ConfigurationError
from server.profiles import PROFILES
from server.settings import from_environment, sources
from server.status import FileStore

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
VARIANTS = {
    **{name: {"LLAMA70B_PROFILE": name} for name in PROFILES},
    "h200-fp8-everything": {
        "LLAMA70B_PROFILE": "h200-fp8",
        "LLAMA70B_GATEWAY": "1",
        "LLAMA70B_SPECULATIVE": "1",
        "LLAMA70B_REPLICAS": "3",
        "LLAMA70B_MAX_MODEL_LEN": "8192",
        "LLAMA70B_SCALEDOWN_S": "600",
        "LLAMA70B_ENGINE_SECRET": "my-vllm-key",
    },
}


@pytest.fixture
def control_plane(load: Callable[[str], Any]) -> Iterator[Any]:
    with load("modal_fake").ControlPlane() as plane:
        yield plane


def modal_cli(plane: Any, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Modal's own command line against the fake; deprecations are errors."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LLAMA70B_", "MODAL_", "HF_"))},
        "MODAL_SERVER_URL": plane.url,
        "MODAL_TOKEN_ID": "ak-test",
        "MODAL_TOKEN_SECRET": "as-test",
        "MODAL_CONFIG_PATH": os.devnull,
        "MODAL_ENVIRONMENT": "main",
        "COLUMNS": "200",
        **variables,
    }
    command = [sys.executable, "-W", "error::DeprecationWarning:server", "-m", "modal", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


def container_command(variables: dict[str, str]) -> dict[str, Any]:
    deployment = from_environment(variables)
    settings = EngineSettings(
        host="0.0.0.0",
        hub_dir=Path("/weights"),
        cache_dir=Path("/cache/vllm"),
        speculative=deployment.speculative,
    )
    made = build(deployment.profile, settings)
    argv = [word.replace(str(ROOT), "/root") for word in made.argv]
    return {"argv": argv, "environment": made.env}


@pytest.mark.parametrize("name", VARIANTS)
def test_deploy_succeeds_and_matches_its_manifest(control_plane: Any, name: str) -> None:
    result = modal_cli(control_plane, "deploy", "-m", "server.app", **VARIANTS[name])
    assert result.returncode == 0, result.stdout + result.stderr
    assert "eprecat" not in result.stdout + result.stderr
    assert len(control_plane.seen["AppPublish"]) == 1
    manifest = {**control_plane.manifest(), "command": container_command(VARIANTS[name])}
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", VARIANTS)
def test_manifest_says_what_matters(name: str) -> None:
    """The golden files against the profiles, so that an update cannot bless a mistake."""
    manifest = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    deployment = from_environment(VARIANTS[name])
    profile = deployment.profile
    llama = manifest["functions"]["Llama"]
    assert llama["gpus"] == [f"{profile.gpu.name}:{profile.gpu_count}"]
    assert llama["server"]["proxy_auth"] is True
    assert llama["server"]["startup_timeout"] == profile.startup_timeout_s >= 600
    assert llama["autoscaler"]["scaledown_window"] == profile.scaledown_window_s
    assert "min_containers" not in llama["autoscaler"]  # scale to zero
    assert ("max_containers" in llama["autoscaler"]) == (deployment.replicas > 1)
    assert llama["volumes"]["/weights"].endswith("(read-only)")
    assert "huggingface-secret" not in llama["secrets"]  # the GPU container has no business with the hub
    assert any("vllm==0.33.0" in line for line in llama["image"])
    fetch = manifest["functions"]["fetch_weights"]
    assert fetch["gpus"] == []
    assert ("huggingface-secret" in fetch["secrets"]) == profile.checkpoint.gated
    assert ("gateway" in manifest["functions"]) == deployment.gateway
    if deployment.gateway:
        assert manifest["functions"]["gateway"]["web"]["proxy_auth"] is True
        assert manifest["functions"]["gateway"]["gpus"] == []
    argv = " ".join(manifest["command"]["argv"])
    for source in sources(deployment):
        assert source.revision in argv
    assert not any(word in argv for word in ("api-key", "hf-token", "trust-remote-code"))
    assert manifest["command"]["environment"]["HF_HUB_OFFLINE"] == "1"


def test_the_template_and_the_flag_list_travel_along(control_plane: Any) -> None:
    assert modal_cli(control_plane, "deploy", "-m", "server.app").returncode == 0
    files = {file.filename for request in control_plane.seen["MountGetOrCreate"] for file in request.files}
    assert "/root/server/templates/llama3_tools.jinja" in files
    assert "/root/server/app.py" in files
    assert not any("__pycache__" in name or "tests" in name for name in files)


REFUSED = {
    "unknown profile": (
        {"LLAMA70B_PROFILE": "h300"},
        "unknown profile 'h300'; LLAMA70B_PROFILE is one of: a100x2-bf16",
    ),
    "no KV room": (
        {"LLAMA70B_PROFILE": "a100x2-bf16", "LLAMA70B_MAX_MODEL_LEN": "65536"},
        "do not hold one context of 65536; set max_model_len to 23552 or less",
    ),
    "no draft head": ({"LLAMA70B_PROFILE": "a100x2-bf16", "LLAMA70B_SPECULATIVE": "1"}, "has no draft head that fits"),
    "not a number": ({"LLAMA70B_REPLICAS": "many"}, "LLAMA70B_REPLICAS='many': a whole number from 1 to 64 is meant"),
    "not a switch": ({"LLAMA70B_GATEWAY": "yes"}, "LLAMA70B_GATEWAY='yes': 1 or 0 is meant"),
    "too long idle": ({"LLAMA70B_SCALEDOWN_S": "3601"}, "a whole number from 2 to 3600"),
}


@pytest.mark.parametrize(("variables", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_before_modal_hears_of_it(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_environment(variables)
    assert message in str(caught.value)


def test_refusal_through_the_command_line(control_plane: Any) -> None:
    result = modal_cli(control_plane, "deploy", "-m", "server.app", LLAMA70B_PROFILE="h300")
    assert result.returncode != 0
    assert "unknown profile 'h300'" in result.stdout + result.stderr
    assert not control_plane.seen["FunctionCreate"]
    assert not control_plane.seen["AppPublish"]


def test_missing_secret_stops_the_deployment(control_plane: Any) -> None:
    control_plane.missing_secrets.add("huggingface-secret")
    result = modal_cli(control_plane, "deploy", "-m", "server.app", LLAMA70B_PROFILE="a100x2-bf16")
    assert result.returncode != 0
    assert "huggingface-secret" in result.stdout + result.stderr
    assert not control_plane.seen["AppPublish"]


def test_importing_the_app_needs_no_account_and_no_network() -> None:
    code = "import socket; socket.socket.connect = None; import server.app as app; print(app.app.name)"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MODAL_", "LLAMA70B_"))}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "llama70b-h200-fp8"


# What the container does at its start, with Modal's parts replaced by folders and the stub.


def test_container_refuses_without_weights_before_it_starts_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: FileStore
) -> None:
    from server import cloud
    from server.errors import PreflightError
    from server.hardware import GPUS

    released = []
    monkeypatch.setattr(cloud, "store", lambda _: store)
    monkeypatch.setattr(cloud, "obtained", lambda: (GPUS["H200"], 1))
    monkeypatch.setattr(cloud, "server_handle", lambda _: pytest.fail("no lease was held"))
    with pytest.raises(PreflightError, match=r"is not downloaded .*modal run -m server\.app::download"):
        cloud.start_engine(from_environment({}), hub_dir=tmp_path, cache_dir=tmp_path)
    assert released == []


def test_container_starts_the_engine_from_the_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: FileStore, free_port: Callable[[], int]
) -> None:
    from server import cloud
    from server.hardware import GPUS
    from server.phases import Phase
    from server.status import load_record
    from server.weights import snapshot

    deployment = from_environment({})
    checkpoint = deployment.profile.checkpoint
    folder = snapshot(tmp_path, checkpoint.repo, checkpoint.revision)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model-1.safetensors").touch()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    programs = tmp_path / "bin"
    programs.mkdir()
    stub = Path(__file__).parent / "stub_vllm.py"
    (programs / "vllm").write_text(f'#!/bin/sh\nexec {sys.executable} {stub} "$@"\n')
    (programs / "vllm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(cloud, "store", lambda _: store)
    monkeypatch.setattr(cloud, "obtained", lambda: (GPUS["H200"], 1))
    monkeypatch.setattr(cloud, "PORT", free_port())
    engine = cloud.start_engine(deployment, hub_dir=tmp_path, cache_dir=tmp_path / "cache")
    try:
        record = load_record(store)
        assert record is not None
        assert record.phase is Phase.READY
    finally:
        engine.stop()


def test_lease_ends_when_it_is_over_and_when_the_boot_fails(store: FileStore) -> None:
    from server.cloud import lease_keeper

    released: list[float] = []
    check = lease_keeper(store, lambda: released.append(time.time()))
    check()
    store.put("lease", {"until": time.time() + 100})
    check()
    assert released == []
    check(force=True)
    check(force=True)
    assert len(released) == 1
    store.put("lease", {"until": time.time() - 1})
    check()
    check()
    assert len(released) == 2


def test_gateway_function_builds_its_application(monkeypatch: pytest.MonkeyPatch, store: FileStore, parts: Any) -> None:
    import httpx

    from server import cloud

    class Handle:
        def get_url(self) -> str:
            return "https://ws--llama70b.us-east.modal.direct/"

    monkeypatch.setattr(cloud, "store", lambda _: store)
    monkeypatch.setattr(cloud, "server_handle", lambda _: Handle())
    monkeypatch.setenv("LLAMA70B_MODAL_KEY", "wk-marker")
    monkeypatch.setenv("LLAMA70B_MODAL_SECRET", "ws-marker")
    monkeypatch.setenv("LLAMA70B_GATEWAY_KEYS", json.dumps({"alice": parts.KEY}))
    gateway = cloud.build_gateway(from_environment({"LLAMA70B_GATEWAY": "1"}))

    async def status() -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {parts.KEY}"}
        transport = httpx.ASGITransport(gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://gw", headers=headers) as client:
            return (await client.get("/status")).json()

    assert asyncio.run(status())["phase"] == "cold"
    assert "marker" not in repr(gateway._config)


def test_secrets_needed_are_the_least() -> None:
    assert names.secrets(from_environment({})) == {}
    assert set(names.secrets(from_environment({"LLAMA70B_PROFILE": "8b"}))) == {"huggingface-secret"}
