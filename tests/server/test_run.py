"""`python -m server.run`: what it picks, refuses and starts; a whole life with the gateway, over the stub."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from server import gpus, run
from server.errors import ConfigurationError
from server.hardware import GPUS
from server.profiles import PROFILES

ROOT = Path(__file__).parents[2]
STUB = Path(__file__).parent / "stub_vllm.py"


def machine(name: str, count: int) -> Callable[[], Any]:
    return lambda: (GPUS[name], count)


@pytest.mark.parametrize(
    ("gpu", "count", "profile"),
    [
        ("A100-80GB", 1, "a100-w4a16"),
        ("A100-80GB", 2, "a100-w4a16"),
        ("H100", 1, "a100-w4a16"),
        ("H100", 2, "h100x2-fp8"),
        ("H200", 1, "h200-fp8"),
        ("B200", 1, "b200-fp8"),
        ("A10", 1, "8b"),
        ("L40S", 1, "8b"),
    ],
)
def test_picks_what_fits_this_machine(gpu: str, count: int, profile: str) -> None:
    assert run.plan([], machine(gpu, count)).profile.name == profile


def test_named_profile_that_does_not_fit_says_what_does() -> None:
    with pytest.raises(ConfigurationError, match=r"needs 2 GPUs, found 1 x H100; .*these fit: a100-w4a16, 8b"):
        run.plan(["--profile", "h100x2-fp8"], machine("H100", 1))
    with pytest.raises(ConfigurationError, match=r"do not fit into A10"):
        run.plan(["--profile", "h200-fp8"], machine("A10", 1))
    with pytest.raises(ConfigurationError, match="one of A10, L40S"):
        run.plan(["--gpu", "RTX4090"])


def test_replicas_hand_over_to_vllms_data_parallelism() -> None:
    argv = run.plan(["--replicas", "4", "--profile", "h200-fp8"], machine("H200", 4)).command.argv
    assert argv[argv.index("--data-parallel-size") + 1] == "4"
    with pytest.raises(ConfigurationError, match=r"with 4 replica\(s\) needs 8 GPUs, found 4 x H100"):
        run.plan(["--replicas", "4", "--profile", "h100x2-fp8"], machine("H100", 4))


def test_dry_run_prints_a_line_for_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--dry-run", "--gpu", "H200:2", "--profile", "h200-fp8", "--", "--seed", "1", "--dry-run-not-ours"]
    assert run.main(arguments) == 0
    line = capsys.readouterr().out
    assert line.startswith("VLLM_WORKER_MULTIPROC_METHOD=fork ")
    assert line.strip().endswith("--seed 1 --dry-run-not-ours")
    checked = subprocess.run(["sh", "-nc", line], capture_output=True, check=False)
    assert checked.returncode == 0


def test_flag_after_the_dashes_is_vllms(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--gpu", "H200", "--dry-run", "--", "--api-key", "k"]) == 2
    assert "VLLM_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "is open to everyone: set VLLM_API_KEY"),
        (["--gateway"], "--gateway needs LLAMA70B_GATEWAY_KEYS"),
    ],
)
def test_open_doors_are_refused(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    monkeypatch.delenv("LLAMA70B_GATEWAY_KEYS", raising=False)
    assert run.main(["--gpu", "H200", *arguments]) == 2
    assert message in capsys.readouterr().err


def fake_smi(folder: Path, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'NVIDIA H200'; echo 'NVIDIA H200'", ("H200", 2)),
        ("echo 'NVIDIA GeForce RTX 4090'", "is not in our table"),
        ("echo 'NVIDIA H200'; echo 'NVIDIA A10'", "GPUs of several models (NVIDIA A10, NVIDIA H200)"),
        ("echo 'No devices were found' >&2; exit 6", "found no GPU: No devices were found"),
    ],
)
def test_asks_nvidia_smi(script: str, expected: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_smi(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    if isinstance(expected, str):
        with pytest.raises(ConfigurationError) as caught:
            gpus.obtained()
        assert expected in str(caught.value)
    else:
        gpu, count = gpus.obtained()
        assert (gpu.name, count) == expected


def test_no_nvidia_smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no nvidia-smi"):
        gpus.obtained()


def test_a_whole_life_with_the_gateway(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """Cold status while it boots, an answer through the gateway, SIGTERM, and nothing left behind."""
    programs = tmp_path / "bin"
    fake_smi(programs, "echo 'NVIDIA H200'")
    (programs / "vllm").write_text(f'#!/bin/sh\nexec {sys.executable} {STUB} "$@"\n')
    (programs / "vllm").chmod(0o755)
    port = free_port()
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "LLAMA70B_GATEWAY_KEYS": json.dumps({"me": "a-long-random-key"}),
        "VLLM_API_KEY": "inner-key",
        "STUB_BOOT_S": "1.0",
        "TMPDIR": str(tmp_path),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "server.run", "--gateway", "--port", str(port)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer a-long-random-key"}, trust_env=False
        ) as client:
            phases = []
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and "ready" not in phases:
                try:
                    phases.append(client.get("/status").json()["phase"])
                except httpx.TransportError:
                    time.sleep(0.05)
            assert "loading" in phases
            assert phases[-1] == "ready"
            body = {"model": "llama-3.3-70b", "messages": [{"role": "user", "content": "Hi"}]}
            assert client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"] == "Hello!"
            assert (
                httpx.get(f"http://127.0.0.1:{port + 1}/v1/models", trust_env=False).status_code == 200
            )  # loopback only
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode in {0, -signal.SIGTERM, 256 - signal.SIGTERM}, output
    assert '"event": "request"' in output
    assert '"event": "stopped"' in output
    assert "Traceback" not in output
    assert "inner-key" not in output
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port + 1}/health", trust_env=False)


def test_every_profile_can_be_planned() -> None:
    for profile in PROFILES.values():
        made = run.plan(["--profile", profile.name], machine(profile.gpu.name, profile.gpu_count))
        assert made.profile is profile or made.profile == profile
