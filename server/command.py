"""One builder of the vLLM command line, pure: profile + GPUs obtained -> argv and environment.

Modal (`server.app`), your own machine (`server.run`), the benchmarks and the tests all start vLLM through `build`.
Every flag and variable in here exists in the pinned release: `tests/server/test_command.py` compares with
`vllm_flags.json`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from server.capacity import check, what_fits
from server.errors import ConfigurationError
from server.hardware import Gpu
from server.profiles import Profile
from server.weights import snapshot

TEMPLATE: Final = Path(__file__).parent / "templates" / "llama3_tools.jinja"
MAX_BODY_BYTES: Final = 1 << 20
MAX_CHOICES: Final = 4
MAX_STOP_STRINGS: Final = 8
MAX_TOP_LOGPROBS: Final = 5
DRAIN_S: Final = 60
# Tokens of a step that also prefills: without a graph 80 layers are launched one kernel after another. Seven sizes up
# to 64 gave 50 ms to the first token of a 201-token prompt, the default's 51 sizes up to 512 gave 33
# (docs/serving.md). Beyond 512 tokens the arithmetic hides the launches.
PREFILL_SIZES: Final = (32, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512)

# Either unsafe on a public port (notes in docs/serving.md), or it would put a secret where `ps` shows it.
_REFUSED: Final = {
    "--api-key": "put it into the environment as VLLM_API_KEY: a command line is visible to every process",
    "--hf-token": "put it into the environment as HF_TOKEN: a command line is visible to every process",
    "--trust-remote-code": "Llama needs no remote code, and it runs with your secrets",
    "--trust-request-chat-template": "a caller's template would run on your server",
    "--enable-prompt-embeds": "callers could send tensors into the model",
}


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What does not depend on the model: where things are and how it is started.

    Attributes:
        host: Address to bind; 127.0.0.1 behind a gateway, 0.0.0.0 behind Modal's proxy.
        port: Port to bind.
        model: Local folder to serve in place of the profile's checkpoint.
        hub_dir: Hugging Face cache (`HF_HOME`) that holds the weights; they are loaded by path, so it may be
            read-only. None lets vLLM resolve the hub's id.
        cache_dir: Folder that survives restarts, for compiled code and the start-up plan.
        replicas: Copies of the model on this machine, by vLLM's own data parallelism.
        speculative: Whether to load the profile's draft head.
        offline: Whether a missing file is an error rather than a download.
        load_format: vLLM's `--load-format`; `dummy` makes random weights on the GPU. None reads safetensors with
            prefetch.
        prefetch_threads: Threads that read weights into the page cache.
        extra: More flags, appended last so that they win.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model: Path | None = None
    hub_dir: Path | None = None
    cache_dir: Path | None = None
    replicas: int = 1
    speculative: bool = False
    offline: bool = True
    load_format: str | None = None
    prefetch_threads: int = 16
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """A process to start.

    Attributes:
        argv: Program and arguments; holds no secret, may be printed.
        env: Variables to set over the inherited environment; holds no secret either.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)


def build(
    profile: Profile, settings: EngineSettings, *, gpu: Gpu | None = None, gpu_count: int | None = None
) -> Command:
    """Build the command that serves a profile.

    Args:
        profile: What to serve.
        settings: Where and how.
        gpu: The GPU model actually obtained; the profile's where it is None.
        gpu_count: How many of them; as many as needed where it is None.

    Returns:
        argv and environment.

    Raises:
        ConfigurationError: It would not fit on those GPUs, or a flag in `settings.extra` is refused.
    """
    gpu = gpu or profile.gpu
    needed = profile.gpu_count * settings.replicas
    if settings.replicas < 1:
        raise ConfigurationError(f"replicas must be 1 or more, not {settings.replicas}")
    if gpu_count is not None and gpu_count < needed:
        raise ConfigurationError(
            f"{profile.name} with {settings.replicas} replica(s) needs {needed} GPUs, found {gpu_count} x {gpu.name}; "
            f"{what_fits(gpu, gpu_count)}"
        )
    check(profile, gpu=gpu, speculative=settings.speculative)
    _refuse(settings.extra)
    argv = (
        "vllm",
        "serve",
        *_model(profile, settings),
        *_engine(profile, settings),
        *_limits(profile, settings),
        *_interface(settings),
        *settings.extra,
    )
    return Command(argv, _environment(profile, settings))


def _refuse(extra: Sequence[str]) -> None:
    for argument in extra:
        name = argument.split("=", 1)[0]
        if name in _REFUSED:
            raise ConfigurationError(f"{name} is refused: {_REFUSED[name]}")


def _model(profile: Profile, settings: EngineSettings) -> list[str]:
    names = ["--served-model-name", *profile.served_names]
    if settings.model is not None:
        return [str(settings.model), *names]
    if settings.hub_dir is not None:
        return [str(snapshot(settings.hub_dir, profile.checkpoint.repo, profile.checkpoint.revision)), *names]
    # The tokenizer is pinned apart: releases before 0.22 did not apply --revision to it (CVE-2026-47155).
    revision = profile.checkpoint.revision
    return [profile.checkpoint.repo, "--revision", revision, "--tokenizer-revision", revision, *names]


def _engine(profile: Profile, settings: EngineSettings) -> list[str]:
    """Parallelism, memory, graphs, loading."""
    sizes = profile.decode_sizes
    arguments = [
        *("--tensor-parallel-size", str(profile.gpu_count)),
        *("--max-model-len", str(profile.max_model_len)),
        *("--gpu-memory-utilization", f"{profile.gpu_memory_utilization:.2f}"),
        *("--max-num-seqs", str(profile.max_num_seqs)),
        # NVIDIA's checkpoint asks for an FP8 cache; BF16 is what the table's KV room and our measurements are for.
        *("--kv-cache-dtype", "bfloat16"),
    ]
    if settings.replicas > 1:
        arguments += ["--data-parallel-size", str(settings.replicas)]
    if settings.load_format is not None:
        arguments += ["--load-format", settings.load_format]
    else:
        arguments += ["--safetensors-load-strategy", "prefetch"]
        arguments += ["--safetensors-prefetch-num-threads", str(settings.prefetch_threads)]
    if settings.speculative and profile.speculator is not None:
        head = profile.speculator
        # A step verifies the drafted tokens and one more, so graphs are needed for that multiple of the batch.
        sizes = tuple(size * (head.tokens + 1) for size in sizes)
        source = (
            {"model": str(snapshot(settings.hub_dir, head.repo, head.revision))}
            if settings.hub_dir is not None
            else {"model": head.repo, "revision": head.revision}
        )
        config = {
            "method": head.method,
            **source,
            "num_speculative_tokens": head.tokens,
            "draft_tensor_parallel_size": 1,
        }
        arguments += ["--speculative-config", json.dumps(config, separators=(",", ":"))]
    # The default's 51 sizes take 9 s to capture.
    sizes += tuple(size for size in PREFILL_SIZES if size > sizes[-1])
    return [*arguments, "--cudagraph-capture-sizes", *map(str, sizes)]


def _limits(profile: Profile, settings: EngineSettings) -> list[str]:
    """Admission and what a single request may ask for."""
    return [
        *("--max-num-queued-reqs", str(profile.max_in_flight * settings.replicas)),
        *("--max-logprobs", str(MAX_TOP_LOGPROBS)),
        *("--shutdown-timeout", str(DRAIN_S)),
    ]


def _interface(settings: EngineSettings) -> list[str]:
    """The HTTP side: tools, usage, keep-alive, what is switched off."""
    return [
        *("--host", settings.host, "--port", str(settings.port)),
        *("--enable-auto-tool-choice", "--tool-call-parser", "llama3_json"),
        *("--tool-strict-level", "parameter"),
        "--exclude-tools-when-tool-choice-none",
        *("--chat-template", str(TEMPLATE)),
        "--enable-prompt-tokens-details",
        "--enable-force-include-usage",
        "--enable-per-request-metrics",
        "--enable-request-id-headers",
        "--enable-server-load-tracking",
        *("--sse-keep-alive-interval", "15"),
        "--disable-fastapi-docs",
        *("--disable-access-log-for-endpoints", "/health,/metrics"),
    ]


def _environment(profile: Profile, settings: EngineSettings) -> dict[str, str]:
    env = {
        # `vllm serve` defaults to spawn, which imports torch again in every process: 17-20 s each (docs/serving.md).
        "VLLM_WORKER_MULTIPROC_METHOD": "fork",
        "VLLM_ENABLE_STARTUP_PLAN": "1",
        # One ahead-of-time artefact for all graphs: a warm start of 35 s instead of 62 s at the same decode speed
        # (docs/serving.md); the start that makes it takes 13 s longer.
        "VLLM_USE_AOT_COMPILE": "1",
        "VLLM_USE_MEGA_AOT_ARTIFACT": "1",
        # Default 600 s; a first boot that compiles and reads 141 GB from a slow Volume can take longer.
        "VLLM_ENGINE_READY_TIMEOUT_S": str(profile.startup_timeout_s),
        "VLLM_MAX_N_SEQUENCES": str(MAX_CHOICES),
        "VLLM_MAX_STOP_STRINGS": str(MAX_STOP_STRINGS),
        "VLLM_HTTP_MAX_REQUEST_BODY_SIZE": str(MAX_BODY_BYTES),
        "VLLM_SERVER_DEV_MODE": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if settings.cache_dir is not None:
        env["VLLM_CACHE_ROOT"] = str(settings.cache_dir)
        env["VLLM_FLASHINFER_AUTOTUNE_CACHE_DIR"] = str(settings.cache_dir / "flashinfer")
    if settings.offline:
        env["HF_HUB_OFFLINE"] = "1"
    return env
