"""What is measured: our command, vLLM's default command, and ideas for a faster start, as data."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from server.capacity import kv_bytes_per_token
from server.command import EngineSettings, build
from server.hardware import Gpu
from server.profiles import PROFILES, Profile

LOAD = ((1, 3), (8, 2), (32, 2), (64, 2))
SHORT = ((1, 2),)


@dataclass(frozen=True)
class Config:
    """One server to start.

    Attributes:
        name: How it is called in the tables.
        shape: `70b` or `8b`.
        fp8: Whether the weights are FP8.
        tp: Tensor-parallel size.
        ours: Whether our command is meant; else vLLM's default one.
        cache: Caches with the same name are shared; a new name is a cold one.
        load: (concurrency, rounds) to run once it is up.
        flags: More flags.
        env: More variables; an empty value removes one.
        drop: Flags of ours to leave out, with their values.
        kv_from: Take the KV size that this earlier config found, instead of profiling.
        estimate_s: Seconds it will take, for the budget.
        note: What the idea is.
    """

    name: str
    shape: str
    fp8: bool
    tp: int
    ours: bool
    cache: str
    load: tuple[tuple[int, int], ...] = ()
    flags: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    kv_from: str = ""
    estimate_s: float = 120.0
    note: str = ""

    @property
    def model(self) -> str:
        """Name of the model's folder."""
        return f"{self.shape}-{'fp8' if self.fp8 else 'bf16'}"


def profile_for(config: Config, gpu: Gpu) -> Profile:
    """Our profile of that model, moved onto this GPU."""
    name = "8b" if config.shape == "8b" else ("h200-fp8" if config.fp8 else "a100x2-bf16")
    return dataclasses.replace(
        PROFILES[name],
        gpu=gpu,
        gpu_count=config.tp,
        max_num_seqs=64,
        startup_timeout_s=400,
    )


def command(
    config: Config, gpu: Gpu, *, program: list[str], models: Path, caches: Path, port: int, kv_tokens: float = 0.0
) -> tuple[list[str], dict[str, str]]:
    """Command line and variables of one config.

    Args:
        config: The config.
        gpu: GPU model of this machine.
        program: What stands for `vllm`.
        models: Folder of the model folders.
        caches: Folder of the cache folders.
        port: Where to listen.
        kv_tokens: KV size to ask for where `kv_from` is set.

    Returns:
        argv and the variables to set.
    """
    model, cache = models / config.model, caches / config.cache
    if config.ours:
        made = build(
            profile_for(config, gpu),
            EngineSettings(port=port, model=model, cache_dir=cache, load_format="dummy"),
            gpu=gpu,
        )
        argv, env = list(made.argv[1:]), dict(made.env)
    else:
        argv = [
            *("serve", str(model), "--served-model-name", "default", "--host", "127.0.0.1", "--port", str(port)),
            *("--tensor-parallel-size", str(config.tp), "--max-model-len", "4096"),
            *("--gpu-memory-utilization", "0.90", "--load-format", "dummy"),
        ]
        env = {"VLLM_CACHE_ROOT": str(cache), "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    for name in config.drop:
        argv = without(argv, name)
    argv += config.flags
    if config.kv_from and kv_tokens:
        size = int(0.99 * kv_tokens * kv_bytes_per_token(profile_for(config, gpu).checkpoint) / config.tp)
        argv += ["--kv-cache-memory-bytes", str(size)]
    env = {name: value for name, value in {**env, **config.env}.items() if value}
    return [*program, *argv], env


def without(argv: list[str], flag: str) -> list[str]:
    """The arguments without a flag and its values."""
    result, skipping = [], False
    for word in argv:
        if word.startswith("--"):
            skipping = word == flag
        if not skipping:
            result.append(word)
    return result


_NO_SIZES = ("--cudagraph-capture-sizes",)


def _sizes_in(compilation: dict[str, object]) -> tuple[str, ...]:
    sizes = [1, 2, 4, 8, 16, 32, 64]
    return (
        "--compilation-config",
        json.dumps({**compilation, "cudagraph_capture_sizes": sizes}, separators=(",", ":")),
    )


PLANS: dict[str, list[list[Config]]] = {
    # Stages; the configs of one stage run side by side, each on GPUs of its own.
    "tp1": [
        [
            Config("FP8 TP1 default, cold", "70b", True, 1, False, "d-fp8-1", load=LOAD, estimate_s=200),
            Config("FP8 TP1 ours, cold", "70b", True, 1, True, "o-fp8-1", load=LOAD, estimate_s=200),
        ],
        [
            Config("FP8 TP1 default, warm", "70b", True, 1, False, "d-fp8-1", estimate_s=110),
            Config("FP8 TP1 ours, warm", "70b", True, 1, True, "o-fp8-1", load=SHORT, estimate_s=80),
        ],
        [
            Config("8B TP1 default", "8b", False, 1, False, "d-8b", load=LOAD, estimate_s=120),
            Config("8B TP1 ours", "8b", False, 1, True, "o-8b", load=LOAD, estimate_s=120),
        ],
    ],
    "tp2-bf16": [
        [Config("BF16 TP2 ours, cold", "70b", False, 2, True, "o-bf16-2", load=LOAD, estimate_s=140)],
        [Config("BF16 TP2 ours, warm", "70b", False, 2, True, "o-bf16-2", estimate_s=65)],
        [Config("BF16 TP2 default, cold", "70b", False, 2, False, "d-bf16-2", load=LOAD, estimate_s=200)],
    ],
    "tp2-fp8": [
        # 128 at once, so that the comparison of clients can go that far.
        [
            Config(
                "FP8 TP2 ours, cold",
                "70b",
                True,
                2,
                True,
                "o-fp8-2",
                load=LOAD,
                flags=("--max-num-seqs", "128"),
                estimate_s=140,
            )
        ],
        [Config("FP8 TP2 default, cold", "70b", True, 2, False, "d-fp8-2", load=LOAD, estimate_s=200)],
    ],
    "start": [
        [
            Config(
                "KV size fixed",
                "70b",
                True,
                1,
                True,
                "o-fp8-1",
                load=SHORT,
                kv_from="FP8 TP1 ours, warm",
                estimate_s=75,
                note="no memory profiling; what VLLM_ENABLE_STARTUP_PLAN does by itself from 0.33 on",
            ),
            Config(
                "no compile, full decode graphs",
                "70b",
                True,
                1,
                True,
                "n-fp8-1",
                load=LOAD,
                drop=_NO_SIZES,
                flags=_sizes_in({"mode": 0, "cudagraph_mode": "FULL_DECODE_ONLY"}),
                estimate_s=100,
                note="torch.compile off, graphs still on; no compile cache needed",
            ),
        ],
        [
            Config(
                "-O1 (piecewise graphs only)",
                "70b",
                True,
                1,
                True,
                "p-fp8-1",
                load=SHORT,
                flags=("--optimization-level", "1"),
                estimate_s=110,
                note="cold cache",
            ),
            Config(
                "full decode graphs, compiled, warm",
                "70b",
                True,
                1,
                True,
                "o-fp8-1",
                load=SHORT,
                drop=_NO_SIZES,
                flags=_sizes_in({"cudagraph_mode": "FULL_DECODE_ONLY"}),
                estimate_s=80,
                note="no piecewise graphs for prefill",
            ),
        ],
        [
            Config(
                "Rust front end",
                "70b",
                True,
                1,
                True,
                "o-fp8-1",
                load=SHORT,
                env={"VLLM_USE_RUST_FRONTEND": "1"},
                drop=("--chat-template",),
                estimate_s=80,
                note="API server in Rust; the template comes from the tokenizer",
            ),
            Config(
                "AOT artefact, first",
                "70b",
                True,
                1,
                True,
                "a-fp8-1",
                env={"VLLM_USE_MEGA_AOT_ARTIFACT": "1", "VLLM_USE_AOT_COMPILE": "1"},
                estimate_s=110,
                note="one artefact for all graphs; this start makes it",
            ),
        ],
        [
            Config(
                "all that helped",
                "70b",
                True,
                1,
                True,
                "n-fp8-1",
                load=SHORT,
                drop=_NO_SIZES,
                flags=_sizes_in({"mode": 0, "cudagraph_mode": "FULL_DECODE_ONLY"}),
                kv_from="FP8 TP1 ours, warm",
                estimate_s=70,
                note="no compile, full decode graphs, KV size fixed",
            ),
            Config(
                "AOT artefact, warm",
                "70b",
                True,
                1,
                True,
                "a-fp8-1",
                load=SHORT,
                env={"VLLM_USE_MEGA_AOT_ARTIFACT": "1", "VLLM_USE_AOT_COMPILE": "1"},
                estimate_s=80,
            ),
        ],
    ],
    "dry": [
        [
            Config("stub ours", "8b", False, 1, True, "a", load=((1, 2), (4, 2)), estimate_s=5),
            Config("stub default", "8b", False, 1, False, "b", load=((1, 2),), estimate_s=5),
        ],
        [Config("stub crashes", "8b", False, 1, True, "a", env={"STUB_CRASH": "loading"}, estimate_s=5)],
        [Config("stub, KV fixed", "8b", False, 1, True, "a", kv_from="stub ours", estimate_s=5)],
        [Config("stub, over budget", "8b", False, 1, True, "a", estimate_s=10_000)],
    ],
}

# Two calls on a machine held for minutes: the first server also serves a comparison of clients (`--then`),
# the rest fits a second call.
PLANS["fp8-tp2"] = [PLANS["tp2-fp8"][0]]
PLANS["tp2-rest"] = [PLANS["tp2-bf16"][0], PLANS["tp2-fp8"][1]]
