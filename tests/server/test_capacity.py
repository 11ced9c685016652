"""The arithmetic against what was measured (2026-11-22, vLLM 0.25.1, H200, dummy weights) and against its own table."""

import dataclasses
from pathlib import Path

import pytest

from server import capacity
from server.errors import ConfigurationError
from server.hardware import GPUS, LLAMA_8B, LLAMA_70B, gpu_from_smi
from server.profiles import PROFILES, Checkpoint, Precision, Profile

H200 = PROFILES["h200-fp8"]
BF16 = PROFILES["a100x2-bf16"].checkpoint


def on_h200(checkpoint: Checkpoint, count: int) -> Profile:
    return dataclasses.replace(H200, checkpoint=checkpoint, gpu_count=count)


EIGHT_B = PROFILES["8b"].checkpoint
MEASURED = [
    # profile, KV tokens reported, bandwidth bound, tok/s at concurrency 1
    pytest.param(on_h200(BF16, 2), 382_576, 68.0, 47.8, id="70B BF16 TP2"),
    pytest.param(on_h200(H200.checkpoint, 2), 591_264, 136.0, 76.2, id="70B FP8 TP2"),
    pytest.param(on_h200(H200.checkpoint, 1), 182_000, 68.0, 48.7, id="70B FP8 TP1"),
    pytest.param(on_h200(EIGHT_B, 1), None, None, 192.6, id="8B BF16 TP1"),
]


@pytest.mark.parametrize(("profile", "kv", "roofline", "speed"), MEASURED)
def test_formulas_meet_the_measurements(profile: Profile, kv: int | None, roofline: float | None, speed: float) -> None:
    if kv is not None:
        assert capacity.kv_room(profile) == pytest.approx(kv, rel=0.15)
    if roofline is not None:
        assert capacity.roofline_tok_s(profile) == pytest.approx(roofline, rel=0.15)
    assert capacity.estimated_tok_s(profile) == pytest.approx(speed, rel=0.15)
    assert speed < capacity.roofline_tok_s(profile)


def test_the_original_took_no_part_in_the_fit() -> None:
    original = PROFILES["a100x2-bf16"]
    assert capacity.estimated_tok_s(original) == pytest.approx(21.5, rel=0.15)
    assert 120 <= capacity.cold_start_s(original) <= 180  # "2-3 minutes"
    assert original.gpu.usd_per_s * original.gpu_count * 3600 == pytest.approx(5.00, abs=0.01)


def test_parameters_add_up() -> None:
    # Red Hat's W4A16 checkpoint counts 68,451,041,280 packed and 2,102,665,216 BF16 parameters.
    assert LLAMA_70B.linear_parameters == 68_451_041_280
    assert LLAMA_70B.parameters - LLAMA_70B.linear_parameters == 2_102_665_216
    assert LLAMA_8B.linear_parameters == 6_979_321_856


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_profile_works_and_says_where_its_speed_is_from(profile: Profile) -> None:
    capacity.check(profile)
    if profile.speculator:
        capacity.check(profile, speculative=True)
    assert profile.decode_sizes[-1] == profile.max_num_seqs
    assert len(profile.checkpoint.revision) == 40
    assert profile.target_concurrency <= profile.max_num_seqs
    assert 2 <= profile.scaledown_window_s <= 3600
    assert profile.speed.source
    if profile.speed.kind == "estimated":
        assert profile.speed.tok_s == pytest.approx(capacity.estimated_tok_s(profile), abs=0.06)
    figures = capacity.capacity(profile)
    assert figures.full_contexts >= 4
    assert profile.speed.tok_s <= figures.roofline_tok_s
    assert profile.startup_timeout_s > 2 * figures.cold_start_s


def test_lonely_question_of_the_original_is_half_a_dollar() -> None:
    assert capacity.capacity(PROFILES["a100x2-bf16"]).usd_per_lonely_question == pytest.approx(0.53, abs=0.06)


def test_unknown_profile_lists_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"'h300'; .*h200-fp8.*a100-w4a16"):
        capacity.choose("h300")
    assert capacity.choose("").name == capacity.choose(None).name == "h200-fp8"


def test_gpu_that_cannot_hold_the_weights_says_what_fits() -> None:
    with pytest.raises(ConfigurationError, match=r"67\.7 GiB.*do not fit into A100-40GB.*these fit: 8b"):
        capacity.check(H200, gpu=GPUS["A100-40GB"])
    with pytest.raises(ConfigurationError, match=r"131\.4 GiB.*1 x H100 these fit: a100-w4a16, 8b"):
        capacity.check(dataclasses.replace(PROFILES["a100x2-bf16"], gpu_count=1), gpu=GPUS["H100"])


def test_context_without_kv_room_says_which_fits() -> None:
    with pytest.raises(
        ConfigurationError, match=r"do not hold one context of 65536; set max_model_len to 23552 or less"
    ):
        capacity.with_overrides(PROFILES["a100x2-bf16"], max_model_len=65_536)
    assert capacity.with_overrides(H200, max_model_len=32_768).max_model_len == 32_768


@pytest.mark.parametrize("length", [-1, 131_073])
def test_context_outside_the_model(length: int) -> None:
    with pytest.raises(ConfigurationError, match=r"outside 1\.\.131072"):
        capacity.check(dataclasses.replace(H200, max_model_len=length))


def test_speculation_only_where_a_head_fits() -> None:
    with pytest.raises(ConfigurationError, match=r"a100x2-bf16 has no draft head.*h200-fp8"):
        capacity.check(PROFILES["a100x2-bf16"], speculative=True)


@pytest.mark.parametrize(
    ("reported", "name"),
    [
        ("NVIDIA H200", "H200"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000"),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_gpu_names_of_nvidia_smi(reported: str, name: str | None) -> None:
    gpu = gpu_from_smi(reported)
    assert (gpu.name if gpu else None) == name


def test_precisions_shrink_only_the_linear_layers() -> None:
    sizes = {
        precision: capacity.weight_bytes(dataclasses.replace(BF16, precision=precision)) / 1e9
        for precision in Precision
    }
    assert sizes[Precision.BF16] == pytest.approx(141.1, abs=0.1)
    assert sizes[Precision.FP8] == pytest.approx(72.7, abs=0.1)
    assert sizes[Precision.W4A16] == pytest.approx(39.5, abs=0.1)


def test_the_table_in_the_docs_is_the_computed_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    for profile in PROFILES.values():
        figures = capacity.capacity(profile)
        row = next(line for line in text.splitlines() if line.startswith(f"| `{profile.name}` |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2:6] == [
            f"{figures.usd_per_hour:.2f}",
            f"{figures.kv_tokens:,}",
            f"{figures.full_contexts:.1f}",
            f"{figures.roofline_tok_s:.0f}",
        ]
        assert cells[6].startswith(f"{profile.speed.tok_s:.1f} (")
        assert cells[7:] == [f"{figures.cold_start_s:.0f} s", f"${figures.usd_per_lonely_question:.2f}"]
