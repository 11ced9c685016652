"""The arithmetic of a deployment: does it fit, how fast can it be, what does a question cost.

Every formula is written out in its docstring and compared with measurements in `tests/server/test_capacity.py`. The
constants that were fitted say to what.
"""

import dataclasses
from typing import Final

from server.errors import ConfigurationError
from server.hardware import CPU_USD_PER_CORE_S, GIB, GPUS, MEMORY_USD_PER_GIB_S, PRICES_AS_OF, Gpu
from server.profiles import DEFAULT_PROFILE, PROFILES, Checkpoint, Precision, Profile

# Activations, CUDA context, NCCL and graphs per GPU. From the KV room that vLLM 0.25.1 reported for three
# configurations on H200: 1.7, 1.8 and 2.6 GiB.
OVERHEAD_GIB: Final = 2.0
# Share of the data sheet's bandwidth that decoding reaches, and milliseconds a layer costs beyond reading its weights,
# on one GPU and more for tensor parallelism's all-reduces. Fitted to the four single-stream figures of 2026-11-22
# (H200).
BANDWIDTH_SHARE: Final = 0.90
LAYER_MS: Final = 0.0525
LAYER_MS_TENSOR_PARALLEL: Final = 0.0085
# Cold start: the platform's own seconds, the engine's seconds without weights (measured, warm caches), and the Volume's
# rate.
SCHEDULING_S: Final = 5.0
ENGINE_START_S: Final = 53.0
VOLUME_GB_S: Final = 1.5
# A lonely question: one answer of this many tokens, then nobody comes.
LONELY_ANSWER_TOKENS: Final = 400
_W4A16_GROUP: Final = 128


@dataclasses.dataclass(frozen=True, slots=True)
class Capacity:
    """What a profile can do.

    Attributes:
        weights_gb: Checkpoint size in 10^9 bytes.
        kv_tokens: Tokens of context that fit beside the weights.
        full_contexts: Requests of the longest length that fit at once.
        roofline_tok_s: Upper bound of one stream's speed.
        estimated_tok_s: What to expect of one stream.
        usd_per_hour: Price of one replica while it is up, GPU and CPU and memory.
        cold_start_s: Seconds from nothing to ready, caches warm.
        usd_per_lonely_question: Boot, one answer and the idle tail.
        usd_per_mtok_single: Price of 10^6 output tokens at one stream, without boot and idle.
    """

    weights_gb: float
    kv_tokens: int
    full_contexts: float
    roofline_tok_s: float
    estimated_tok_s: float
    usd_per_hour: float
    cold_start_s: float
    usd_per_lonely_question: float
    usd_per_mtok_single: float


def weight_bytes(checkpoint: Checkpoint) -> float:
    """Bytes of the weights in GPU memory.

    Quantisation shrinks the linear layers only: `linear * b + rest * 2`, with b = 2 (BF16), 1 (FP8), 0.5 + 2/128
    (W4A16: four bits and one BF16 scale per group of 128). Embedding, output matrix and norms stay BF16.
    """
    shape = checkpoint.architecture
    rest = shape.parameters - shape.linear_parameters
    match checkpoint.precision:
        case Precision.BF16:
            per_linear = 2.0
        case Precision.FP8:
            per_linear = 1.0
        case Precision.W4A16:
            per_linear = 0.5 + 2 / _W4A16_GROUP
    return shape.linear_parameters * per_linear + rest * 2.0


def bytes_per_decoded_token(checkpoint: Checkpoint) -> float:
    """Bytes that one decoding step must read: all weights but the embedding table, of which it reads one row."""
    return weight_bytes(checkpoint) - 2.0 * checkpoint.architecture.embedding_parameters


def kv_bytes_per_token(checkpoint: Checkpoint) -> int:
    """Bytes of KV cache per token over all GPUs: `layers * kv_heads * head_dim * 2 (K and V) * 2 (BF16)`."""
    shape = checkpoint.architecture
    return shape.layers * shape.kv_heads * shape.head_dim * 2 * 2


def kv_room(profile: Profile, *, gpu: Gpu | None = None, speculative: bool = False) -> int:
    """Tokens of KV cache that fit beside the weights.

    `count * (memory * utilization - weights / count - overhead - draft) / kv_bytes_per_token`; negative where the
    weights do not fit.

    Args:
        profile: The deployment.
        gpu: The GPU actually obtained, where it is not the profile's.
        speculative: Whether the draft head is loaded too.

    Returns:
        Tokens, rounded down.
    """
    gpu = gpu or profile.gpu
    draft = profile.speculator.weight_gib if speculative and profile.speculator else 0.0
    weights = weight_bytes(profile.checkpoint) / profile.gpu_count / GIB
    free = gpu.memory_gib * profile.gpu_memory_utilization - weights - OVERHEAD_GIB - draft
    return int(free * GIB * profile.gpu_count // kv_bytes_per_token(profile.checkpoint))


def roofline_tok_s(profile: Profile) -> float:
    """Upper bound of one stream: `bandwidth * GPUs / bytes_per_decoded_token`; each token reads every weight once."""
    return profile.gpu.bandwidth_tb_s * 1e12 * profile.gpu_count / bytes_per_decoded_token(profile.checkpoint)


def estimated_tok_s(profile: Profile) -> float:
    """Expected speed of one stream, in tokens per second.

    `1 / (bytes / (0.90 * bandwidth * GPUs) + layers * t)`: reading at 90 % of the data sheet, and a fixed cost t per
    layer (kernels that do not read weights, and with several GPUs two all-reduces). Fitted to four figures measured on
    H200; the original's 21-22 tok/s on 2 x A100, which took no part in the fit, comes out 9 % high.
    """
    reading = bytes_per_decoded_token(profile.checkpoint) / (
        BANDWIDTH_SHARE * profile.gpu.bandwidth_tb_s * 1e12 * profile.gpu_count
    )
    per_layer = LAYER_MS + (LAYER_MS_TENSOR_PARALLEL if profile.gpu_count > 1 else 0.0)
    return 1.0 / (reading + profile.checkpoint.architecture.layers * per_layer / 1e3)


def usd_per_second(profile: Profile) -> float:
    """List price of one replica per second, in US dollars: GPUs, reserved cores and reserved memory."""
    return (
        profile.gpu.usd_per_s * profile.gpu_count
        + profile.cpu_cores * CPU_USD_PER_CORE_S
        + profile.memory_gib * MEMORY_USD_PER_GIB_S
    )


def cold_start_s(profile: Profile) -> float:
    """Seconds from nothing to ready: `scheduling + weights / volume rate + engine start`, with warm compile caches.

    5 s, 1.5 GB/s (Modal: 1-3 GB/s for large models) and 53 s (measured, no weights). The original's 2-3 minutes lie
    around the 152 s this gives for it.
    """
    return SCHEDULING_S + weight_bytes(profile.checkpoint) / 1e9 / VOLUME_GB_S + ENGINE_START_S


def capacity(profile: Profile) -> Capacity:
    """All figures of one profile.

    A lonely question is billed from the container's start to its end: `(cold start + answer + idle tail) * price`.
    """
    kv_tokens = kv_room(profile)
    rate = usd_per_second(profile)
    billed = cold_start_s(profile) + LONELY_ANSWER_TOKENS / profile.speed.tok_s + profile.scaledown_window_s
    return Capacity(
        weights_gb=weight_bytes(profile.checkpoint) / 1e9,
        kv_tokens=kv_tokens,
        full_contexts=kv_tokens / profile.max_model_len,
        roofline_tok_s=roofline_tok_s(profile),
        estimated_tok_s=estimated_tok_s(profile),
        usd_per_hour=rate * 3600,
        cold_start_s=cold_start_s(profile),
        usd_per_lonely_question=billed * rate,
        usd_per_mtok_single=rate / profile.speed.tok_s * 1e6,
    )


def choose(name: str | None) -> Profile:
    """Look a profile up by name.

    Args:
        name: What the user asked for; None or "" is the recommended one.

    Returns:
        The profile.

    Raises:
        ConfigurationError: No such profile; the message lists those there are.
    """
    if not name:
        return PROFILES[DEFAULT_PROFILE]
    try:
        return PROFILES[name]
    except KeyError:
        raise ConfigurationError(
            f"unknown profile {name!r}; LLAMA70B_PROFILE is one of: {', '.join(PROFILES)}"
        ) from None


def what_fits(gpu: Gpu, count: int) -> str:
    """Name the profiles that fit on these GPUs with room for two full contexts, or the cheapest one elsewhere."""
    fitting = [
        profile.name
        for profile in PROFILES.values()
        if profile.gpu_count <= count and kv_room(profile, gpu=gpu) >= 2 * profile.max_model_len
    ]
    if fitting:
        return f"on {count} x {gpu.name} these fit: {', '.join(fitting)}"
    cheapest = min(PROFILES.values(), key=usd_per_second)
    return f"nothing we ship fits on {count} x {gpu.name}; the cheapest is {cheapest.name} on {cheapest.gpu_request}"


def check(profile: Profile, *, gpu: Gpu | None = None, speculative: bool = False) -> None:
    """Refuse a profile that cannot work, before anything is deployed or billed.

    Args:
        profile: The deployment.
        gpu: The GPU actually obtained, where it is not the profile's.
        speculative: Whether the draft head is loaded too.

    Raises:
        ConfigurationError: Weights or one full context do not fit, the context is longer than the model's, or a draft
            head was asked for where none is pinned. The message says what fits instead.
    """
    gpu = gpu or profile.gpu
    shape = profile.checkpoint.architecture
    if speculative and profile.speculator is None:
        with_head = ", ".join(p.name for p in PROFILES.values() if p.speculator)
        raise ConfigurationError(
            f"{profile.name} has no draft head that fits; speculative decoding is for: {with_head}"
        )
    if not 1 <= profile.max_model_len <= shape.context:
        raise ConfigurationError(
            f"{profile.name}: max_model_len {profile.max_model_len} is outside 1..{shape.context} of {shape.name}"
        )
    room = kv_room(profile, gpu=gpu, speculative=speculative)
    if room <= 0:
        needed = weight_bytes(profile.checkpoint) / profile.gpu_count / GIB
        raise ConfigurationError(
            f"{profile.name}: {needed:.1f} GiB of weights per GPU do not fit into {gpu.name}'s {gpu.memory_gib} GiB at "
            f"utilization {profile.gpu_memory_utilization}; {what_fits(gpu, profile.gpu_count)}"
        )
    if room < profile.max_model_len:
        raise ConfigurationError(
            f"{profile.name}: {room} tokens of KV room on {profile.gpu_count} x {gpu.name} do not hold one context of "
            f"{profile.max_model_len}; set max_model_len to {room // 256 * 256} or less, or: "
            f"{what_fits(gpu, profile.gpu_count)}"
        )


def with_overrides(profile: Profile, *, max_model_len: int | None = None, scaledown_s: int | None = None) -> Profile:
    """Copy a profile with the two settings that users change most, and check the copy."""
    changed = dataclasses.replace(
        profile,
        max_model_len=max_model_len or profile.max_model_len,
        scaledown_window_s=scaledown_s or profile.scaledown_window_s,
    )
    check(changed)
    return changed


PRICE_NOTE: Final = f"Modal list prices as of {PRICES_AS_OF}. GPUs known: {', '.join(GPUS)}."
