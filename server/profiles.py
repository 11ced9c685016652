"""Profiles: every way we deploy the model, as data. `python -m server.profiles` prints them with what they cost.

A profile says what runs where. Nothing here is computed; `server.capacity` derives KV room, speed and price from it,
and refuses a profile that cannot work. Pick one with `LLAMA70B_PROFILE=<name>`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from server.hardware import GPUS, LLAMA_8B, LLAMA_70B, Architecture, Gpu

VLLM_VERSION: Final = "0.33.0"
DEFAULT_PROFILE: Final = "h200-fp8"


class Precision(StrEnum):
    """How the weights are stored. The KV cache is BF16 in every profile."""

    BF16 = "bf16"
    FP8 = "fp8"
    W4A16 = "w4a16"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights on the Hugging Face hub, pinned to a commit.

    Attributes:
        repo: The hub's id.
        revision: Full commit hash; a branch name would change under us.
        precision: How the weights are stored.
        architecture: The model's shape.
        gated: Whether the hub asks for a token of an account that accepted the licence.
    """

    repo: str
    revision: str
    precision: Precision
    architecture: Architecture
    gated: bool


@dataclass(frozen=True, slots=True)
class Speed:
    """A single-stream decode speed and where the number is from.

    Attributes:
        tok_s: Output tokens per second of one request alone.
        kind: `measured` by this project, `published` by others, or `estimated` by `server.capacity.estimated_tok_s`.
        source: Where, when and with what.
    """

    tok_s: float
    kind: Literal["measured", "published", "estimated"]
    source: str


@dataclass(frozen=True, slots=True)
class Speculator:
    """A draft head for speculative decoding, pinned like the weights.

    Attributes:
        method: vLLM's name of the method.
        repo: The hub's id.
        revision: Full commit hash.
        tokens: Tokens drafted per step.
        weight_gib: Memory it takes on every GPU, rounded up.
    """

    method: str
    repo: str
    revision: str
    tokens: int
    weight_gib: float


@dataclass(frozen=True, slots=True)
class Profile:
    """One deployment.

    Attributes:
        name: What `LLAMA70B_PROFILE` says.
        summary: One line for the table.
        gpu: The GPU model.
        gpu_count: GPUs per replica; the tensor-parallel size.
        checkpoint: The weights.
        served_names: Model names that the endpoint answers to; the first is the canonical one.
        max_num_seqs: Requests decoded at once.
        startup_timeout_s: Seconds a boot may take before the platform gives up.
        target_concurrency: Requests per replica at which a second replica starts, once replicas are asked for.
        cpu_cores: CPU cores reserved.
        memory_gib: Host memory reserved; page cache for reading weights comes out of it.
        speed: Single-stream speed, with its provenance.
        speculator: Draft head that `LLAMA70B_SPECULATIVE=1` turns on, if one fits.
        max_model_len: Context window in tokens, prompt and answer together.
        gpu_memory_utilization: Share of GPU memory that vLLM may take.
        scaledown_window_s: Seconds without a request until the GPU is released; billed like work.
    """

    name: str
    summary: str
    gpu: Gpu
    gpu_count: int
    checkpoint: Checkpoint
    served_names: tuple[str, ...]
    max_num_seqs: int
    startup_timeout_s: int
    target_concurrency: int
    cpu_cores: float
    memory_gib: int
    speed: Speed
    speculator: Speculator | None = None
    max_model_len: int = 4096
    gpu_memory_utilization: float = 0.90
    scaledown_window_s: int = 180

    @property
    def decode_sizes(self) -> tuple[int, ...]:
        """Batch sizes of pure decoding with a CUDA graph: powers of two; a batch between two is padded up."""
        return tuple(1 << power for power in range((self.max_num_seqs - 1).bit_length() + 1))

    @property
    def max_in_flight(self) -> int:
        """Requests admitted, running and queued together; vLLM answers 503 beyond."""
        return 2 * self.max_num_seqs

    @property
    def gpu_request(self) -> str:
        """The GPUs in Modal's spelling, such as `A100-80GB:2`."""
        return self.gpu.name if self.gpu_count == 1 else f"{self.gpu.name}:{self.gpu_count}"


# Commits as other public projects pin them (2024-12 to 2026-11). The hub was out of reach when this was written:
# `python -m server.preflight` asks it whether they exist before anything is deployed.
_BF16 = Checkpoint(
    "meta-llama/Llama-3.3-70B-Instruct",
    "6f6073b423013f6a7d4d9f39144961bfbfbc386b",
    Precision.BF16,
    LLAMA_70B,
    gated=True,
)
_FP8 = Checkpoint(
    "nvidia/Llama-3.3-70B-Instruct-FP8",
    "fde04ee76a27704c88f569542ef023b57d4d0362",
    Precision.FP8,
    LLAMA_70B,
    gated=False,
)
_W4A16 = Checkpoint(
    "RedHatAI/Llama-3.3-70B-Instruct-quantized.w4a16",
    "7177921dd02c6436cc78d40861f497df2f575201",
    Precision.W4A16,
    LLAMA_70B,
    gated=False,
)
_8B = Checkpoint(
    "meta-llama/Llama-3.1-8B-Instruct", "0e9e39f249a16976918f6564b8830bc894c89659", Precision.BF16, LLAMA_8B, gated=True
)
# Red Hat's head is in vLLM's own format; they evaluated it on four A100s.
_EAGLE3 = Speculator(
    "eagle3", "RedHatAI/Llama-3.3-70B-Instruct-speculator.eagle3", "42864f78d503693ae5fd317419f099ab3b7c13e4", 3, 4.0
)

_NAMES_70B = ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b")
_NAMES_8B = ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b")
_ORIGINAL_REPORT = "the original deployment's own report: 21-22 tok/s on four questions, 2 x A100-80GB"
_MEASURED = "vLLM 0.25.1, our command, dummy weights, one NVIDIA H200, 2026-11-23 (docs/serving.md)"


PROFILES: Final[dict[str, Profile]] = {
    profile.name: profile
    for profile in (
        Profile(
            name="a100x2-bf16",
            summary="the original deployment, exact",
            gpu=GPUS["A100-80GB"],
            gpu_count=2,
            checkpoint=_BF16,
            served_names=_NAMES_70B,
            max_num_seqs=16,
            startup_timeout_s=1800,
            target_concurrency=8,
            cpu_cores=8,
            memory_gib=64,
            speed=Speed(21.5, "published", _ORIGINAL_REPORT),
        ),
        Profile(
            name="h200-fp8",
            summary="recommended: one GPU, twice as fast",
            gpu=GPUS["H200"],
            gpu_count=1,
            checkpoint=_FP8,
            served_names=_NAMES_70B,
            max_num_seqs=64,
            startup_timeout_s=1200,
            target_concurrency=32,
            cpu_cores=8,
            memory_gib=64,
            speed=Speed(50.6, "measured", _MEASURED),
            speculator=_EAGLE3,
        ),
        Profile(
            name="h100x2-fp8",
            summary="fastest answers of the Hoppers",
            gpu=GPUS["H100"],
            gpu_count=2,
            checkpoint=_FP8,
            served_names=_NAMES_70B,
            max_num_seqs=64,
            startup_timeout_s=1200,
            target_concurrency=32,
            cpu_cores=8,
            memory_gib=64,
            speed=Speed(
                51.7, "published", "NVIDIA NIM 1.8.0, Llama-3.3-70B FP8, TP 2, 2 x H100, concurrency 1, 5000/500 tokens"
            ),
            speculator=_EAGLE3,
        ),
        Profile(
            name="a100-w4a16",
            summary="cheapest hour that fits a 70B",
            gpu=GPUS["A100-80GB"],
            gpu_count=1,
            checkpoint=_W4A16,
            served_names=_NAMES_70B,
            max_num_seqs=32,
            startup_timeout_s=1200,
            target_concurrency=12,
            cpu_cores=8,
            memory_gib=64,
            speed=Speed(40.7, "estimated", "server.capacity.estimated_tok_s"),
            speculator=_EAGLE3,
        ),
        Profile(
            name="b200-fp8",
            summary="one Blackwell, FP8",
            gpu=GPUS["B200"],
            gpu_count=1,
            checkpoint=_FP8,
            served_names=_NAMES_70B,
            max_num_seqs=64,
            startup_timeout_s=1200,
            target_concurrency=32,
            cpu_cores=8,
            memory_gib=64,
            speed=Speed(71.4, "estimated", "server.capacity.estimated_tok_s"),
            speculator=_EAGLE3,
        ),
        Profile(
            name="8b",
            summary="the small sibling",
            gpu=GPUS["A10"],
            gpu_count=1,
            checkpoint=_8B,
            served_names=_NAMES_8B,
            max_num_seqs=16,
            startup_timeout_s=600,
            target_concurrency=8,
            cpu_cores=4,
            memory_gib=32,
            speed=Speed(33.9, "estimated", "server.capacity.estimated_tok_s"),
        ),
    )
}


if __name__ == "__main__":
    from server.table import main

    main()
