"""The command builder: what it emits, what it refuses, and that the pinned vLLM knows all of it (drift)."""

import json
from pathlib import Path
from typing import Any

import pytest

from server import command
from server.command import EngineSettings, build
from server.errors import ConfigurationError
from server.hardware import GPUS
from server.profiles import PROFILES, VLLM_VERSION, Profile

KNOWN: dict[str, Any] = json.loads((Path(command.__file__).parent / "vllm_flags.json").read_text(encoding="utf-8"))
H200 = PROFILES["h200-fp8"]
VARIANTS = {
    "plain": EngineSettings(),
    "modal": EngineSettings(host="0.0.0.0", hub_dir=Path("/weights"), cache_dir=Path("/cache"), speculative=False),
    "speculative": EngineSettings(speculative=True),
    "replicas": EngineSettings(replicas=2, load_format="dummy", model=Path("/models/x"), offline=False),
}


def value(argv: tuple[str, ...], flag: str) -> str:
    return argv[argv.index(flag) + 1]


def options(argv: tuple[str, ...]) -> dict[str, list[str]]:
    """Flag -> its values, for everything after `vllm serve [model]`."""
    result: dict[str, list[str]] = {}
    current: list[str] = []
    for word in argv[2:]:
        if word.startswith("-"):
            current = result.setdefault(word, [])
        else:
            current.append(word)
    return result


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_drift_every_flag_and_variable_exists_in_the_pinned_vllm(profile: Profile, variant: EngineSettings) -> None:
    if variant.speculative and profile.speculator is None:
        with pytest.raises(ConfigurationError):
            build(profile, variant)
        return
    made = build(profile, variant)
    assert KNOWN["vllm"] == VLLM_VERSION
    for flag, values in options(made.argv).items():
        assert flag in KNOWN["flags"], f"{flag} is not in vLLM {VLLM_VERSION}"
        facts = KNOWN["flags"][flag]
        assert bool(values) != facts["switch"], f"{flag} {values}: switch is {facts['switch']}"
        for item in values if facts["choices"] and flag != "--load-format" else []:
            assert item in facts["choices"], f"{flag} does not take {item}"
    known = {*KNOWN["environment"], *KNOWN["hub_environment"]}
    assert set(made.env) <= known, set(made.env) - known
    assert value(made.argv, "--tool-call-parser") in KNOWN["tool_parsers"]
    if variant.speculative:
        assert set(json.loads(value(made.argv, "--speculative-config"))) <= set(KNOWN["speculative"])


def test_drift_the_log_lines_we_read_are_still_written() -> None:
    assert all(KNOWN["log_lines"].values()), KNOWN["log_lines"]


def test_the_original_is_exact() -> None:
    argv = build(PROFILES["a100x2-bf16"], EngineSettings()).argv
    assert argv[:3] == ("vllm", "serve", "meta-llama/Llama-3.3-70B-Instruct")
    assert value(argv, "--tensor-parallel-size") == "2"
    assert value(argv, "--max-model-len") == "4096"
    assert value(argv, "--gpu-memory-utilization") == "0.90"
    assert (
        value(argv, "--revision") == value(argv, "--tokenizer-revision") == PROFILES["a100x2-bf16"].checkpoint.revision
    )


def test_key_never_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-marker-secret")
    monkeypatch.setenv("HF_TOKEN", "hf_marker")
    made = build(H200, EngineSettings())
    assert "marker" not in f"{made!r}"
    for flag in ("--api-key", "--api-key=x", "--hf-token", "--trust-remote-code"):
        with pytest.raises(ConfigurationError, match="is refused"):
            build(H200, EngineSettings(extra=(flag, "x")))


def test_capture_sizes_fit_the_batch_also_with_a_draft_head() -> None:
    sizes = options(build(H200, EngineSettings()).argv)["--cudagraph-capture-sizes"]
    assert sizes == "1 2 4 8 16 32 64 96 128 160 192 224 256 320 384 448 512".split()
    drafted = options(build(H200, EngineSettings(speculative=True)).argv)["--cudagraph-capture-sizes"]
    assert drafted == "4 8 16 32 64 128 256 320 384 448 512".split()
    small = options(build(PROFILES["8b"], EngineSettings()).argv)["--cudagraph-capture-sizes"]
    assert small[:8] == "1 2 4 8 16 32 64 96".split()


def test_too_few_gpus_says_what_fits() -> None:
    with pytest.raises(ConfigurationError, match=r"needs 2 GPUs, found 1 x A100-80GB; .*these fit: a100-w4a16, 8b"):
        build(PROFILES["a100x2-bf16"], EngineSettings(), gpu=GPUS["A100-80GB"], gpu_count=1)
    with pytest.raises(ConfigurationError, match=r"with 3 replica\(s\) needs 3 GPUs, found 2"):
        build(H200, EngineSettings(replicas=3), gpu_count=2)
    with pytest.raises(ConfigurationError, match="replicas must be 1 or more"):
        build(H200, EngineSettings(replicas=0))


def test_admission_scales_with_replicas() -> None:
    one, four = (value(build(H200, EngineSettings(replicas=n)).argv, "--max-num-queued-reqs") for n in (1, 4))
    assert (one, four) == ("128", "512")


def test_extra_flags_come_last_and_win() -> None:
    argv = build(H200, EngineSettings(extra=("--max-num-seqs", "8"))).argv
    assert argv[-2:] == ("--max-num-seqs", "8")
