"""The benchmark scripts, dry: a plan over the stub engine, the report, the client's arithmetic, the dummy model."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serve import loadgen, model
from benchmarks.serve.boot import Server
from benchmarks.serve.configs import PLANS, Config, command, profile_for, without
from benchmarks.serve.report import render
from server.capacity import check
from server.hardware import GPUS

ROOT = Path(__file__).parents[2]
STUB = Path(__file__).parent / "stub_vllm.py"
ALL = [(plan, config) for plan, stages in PLANS.items() for stage in stages for config in stage]


def test_dry_run_saves_everything_it_saw(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["dry", "--out", str(out), "--work", str(tmp_path / "work"), "--gpu", "H200", "--budget", "100"]
    program = f"{sys.executable} {STUB}"
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.serve.bench", *arguments, "--program", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    document = json.loads((out / "dry.json").read_text())
    by_name = {entry["name"]: entry for entry in document["results"]}
    ours = by_name["stub ours"]
    assert [line["concurrency"] for line in ours["load"]] == [1, 4]
    assert ours["load"][1]["requests"] == 8
    assert ours["load"][0]["output_tokens"] == 8
    assert ours["marks"]["healthy"] <= ours["marks"]["first_token"]
    assert ours["figures"]["kv_tokens"] == 182_000
    assert "ended with status 3" in by_name["stub crashes"]["error"]
    assert by_name["stub, over budget"]["skipped"] is True
    fixed = by_name["stub, KV fixed"]["argv"]
    assert int(fixed[fixed.index("--kv-cache-memory-bytes") + 1]) == int(0.99 * 182_000 * 131_072)
    report = (out / "dry.md").read_text()
    assert report == render(document)
    assert "| stub ours | 4 |" in report
    assert "| stub, over budget | not run |" in report


@pytest.mark.parametrize(("plan", "config"), ALL, ids=[f"{plan}: {config.name}" for plan, config in ALL])
def test_every_config_can_be_built(plan: str, config: Config) -> None:
    argv, env = command(
        config, GPUS["H200"], program=["vllm"], models=Path("/m"), caches=Path("/c"), port=1, kv_tokens=1000.0
    )
    assert argv[:2] == ["vllm", "serve"]
    assert argv[argv.index("--load-format") + 1] == "dummy"
    assert argv[argv.index("--tensor-parallel-size") + 1] == str(config.tp)
    assert env["VLLM_CACHE_ROOT"] == f"/c/{config.cache}"
    if config.ours:
        check(profile_for(config, GPUS["H200"]))
    names = [other.name for _, other in ALL]
    assert all(other == config for _, other in ALL if other.name == config.name), "one name, one config"
    assert not config.kv_from or config.kv_from in names


def test_stages_fit_two_gpus() -> None:
    for plan, stages in PLANS.items():
        for stage in stages:
            assert sum(config.tp for config in stage) <= 2, plan
            assert len({config.cache for config in stage}) == len(stage), "a shared cold cache would race"


def test_flags_are_dropped_with_their_values() -> None:
    argv = ["serve", "m", "--a", "1", "2", "--b", "--c", "x"]
    assert without(argv, "--a") == ["serve", "m", "--b", "--c", "x"]
    assert without(argv, "--b") == ["serve", "m", "--a", "1", "2", "--c", "x"]
    assert without(argv, "--zzz") == argv


def test_summary_arithmetic() -> None:
    def sample(start: float, first: float, end: float) -> loadgen.Sample:
        return loadgen.Sample(start, first, end, prompt_tokens=200, tokens=101, gaps=[0.01] * 100)

    summary = loadgen.summarise(2, [[sample(0.0, 0.5, 1.5), sample(0.0, 1.0, 2.0)], [sample(0.0, 0.5, 1.0)] * 2])
    assert summary["tok_s_rounds"] == [101.0, 202.0]
    assert summary["tok_s"] == 151.5
    assert summary["decode_tok_s"] == 150.0
    assert summary["ttft_ms"]["p50"] == 500.0
    assert summary["itl_ms"] == {"p50": 10.0, "p95": 10.0, "p99": 10.0}


def test_model_folder_has_the_real_shape(tmp_path: Path) -> None:
    folder = model.make(tmp_path / "m", "70b", fp8=True)
    config = json.loads((folder / "config.json").read_text())
    hidden, width, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    heads, kv_heads, head_dim = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    attention = hidden * heads * head_dim * 2 + hidden * kv_heads * head_dim * 2
    linear = layers * (attention + 3 * hidden * width)
    assert linear == 68_451_041_280  # Red Hat's count of quantised parameters
    tokenizer: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text())
    ids = set(tokenizer["model"]["vocab"].values()) | {token["id"] for token in tokenizer["added_tokens"]}
    assert ids == set(range(config["vocab_size"]))
    assert next(t["id"] for t in tokenizer["added_tokens"] if t["content"] == "<|python_tag|>") == 128_010


def test_phases_without_their_marks_are_left_out(tmp_path: Path) -> None:
    server = Server(["true"], {}, 1, tmp_path / "log")
    server.marks.update({"load_begin": 3.0, "load_end": 5.5, "healthy": 9.0})
    assert server.phases() == {"weights": 2.5}
