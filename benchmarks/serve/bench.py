"""Measure on a GPU machine: start every config of a plan, check it, time it, and save at once.

    python -m benchmarks.serve.bench tp1 --out results --budget 560

Needs vLLM, aiohttp and this repository; no network, no weights. Results go to `results/<plan>.json` and `.md` after
every config, so that a run that is cut off leaves what it has. `--program` replaces vLLM (the dry run uses the stub
engine).
"""

import argparse
import contextlib
import datetime as dt
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serve import loadgen, model
from benchmarks.serve.boot import BootFailed, Server
from benchmarks.serve.configs import PLANS, Config, command, without
from benchmarks.serve.report import render
from server.generate_flags import describe
from server.hardware import GPUS, gpu_from_smi

_OVERLAP_PORT = 18_100


@dataclass
class Bench:
    """One run of a plan."""

    plan: str
    out: Path
    program: list[str]
    budget_s: float
    gpu: str
    known: dict[str, Any] | None
    work: Path
    boot_limit_s: float = 400.0
    then: str = ""
    began: float = field(default_factory=time.monotonic)
    results: list[dict[str, Any]] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    earlier: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """All stages, as far as the budget reaches."""
        self.out.mkdir(parents=True, exist_ok=True)
        self._load_earlier()
        for stage in PLANS[self.plan]:
            left = self.budget_s - (time.monotonic() - self.began)
            if left < max(config.estimate_s for config in stage):
                for config in stage:
                    self._save({"name": config.name, "skipped": True, "note": config.note})
                continue
            threads, first_gpu = [], 0
            for lane, config in enumerate(stage):
                devices = ",".join(str(first_gpu + i) for i in range(config.tp))
                first_gpu += config.tp
                threads.append(threading.Thread(target=self._one, args=(config, lane, devices)))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self._wait_memory_free()

    def _one(self, config: Config, lane: int, devices: str) -> None:
        result: dict[str, Any] = {"name": config.name, "note": config.note, "devices": devices, "cache": config.cache}
        port = _OVERLAP_PORT + lane
        server: Server | None = None
        try:
            model.make(self.work / "models" / config.model, config.shape, fp8=config.fp8)
            argv, env, result["dropped"] = self._command(config, port)
            result["argv"], result["env"] = argv, env
            environment = {**os.environ, **env, "CUDA_VISIBLE_DEVICES": devices}
            log = self.out / f"{self.plan}-{len(self.results)}-{lane}.log"
            server = Server(argv, environment, port, log)
            server.start(self.boot_limit_s)
            served = argv[argv.index("--served-model-name") + 1]
            client = loadgen.Client(f"http://127.0.0.1:{port}/v1", served)
            loadgen.measure(loadgen.Client(client.url, served, output_tokens=1), [(1, 1)])
            server.mark_first_token()
            if config.load:
                result["load"] = loadgen.measure(client, list(config.load))
            if self.then and not self.results and lane == 0:
                self._then(client.url, served)
        except (BootFailed, RuntimeError, OSError) as error:
            result["error"] = f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 - one config that fails must not take the paid machine's others along
            result["error"] = f"{type(error).__name__}: {error}"
        finally:
            if server is not None:
                server.stop()
                result |= server.describe()
        self._save(result)

    def _then(self, url: str, served: str) -> None:
        """The command asked for, against the first server while it is up."""
        environment = {**os.environ, "URL": url, "MODEL": served}
        with (self.out / f"{self.plan}-then.log").open("wb") as log:
            ended = subprocess.run(self.then, shell=True, env=environment, stdout=log, stderr=log, check=False)
        print(f"[{time.monotonic() - self.began:5.0f} s] {self.then}: status {ended.returncode}", flush=True)

    def _command(self, config: Config, port: int) -> tuple[list[str], dict[str, str], list[str]]:
        """The config's command, less what this vLLM does not know."""
        argv, env = command(
            config,
            GPUS[self.gpu],
            program=self.program,
            models=self.work / "models",
            caches=self.work / "caches",
            port=port,
            kv_tokens=self.earlier.get(config.kv_from, 0.0),
        )
        if self.known is None:
            return argv, env, []
        dropped = [word for word in argv if word.startswith("--") and word not in self.known["flags"]]
        for flag in dropped:
            argv = without(argv, flag)
        unknown = [n for n in env if n.startswith("VLLM_") and n not in self.known["environment"]]
        return argv, {n: v for n, v in env.items() if n not in unknown}, dropped + unknown

    def _load_earlier(self) -> None:
        """KV sizes that other plans found on this machine."""
        for path in self.out.glob("*.json"):
            with contextlib.suppress(ValueError, KeyError):
                for result in json.loads(path.read_text(encoding="utf-8"))["results"]:
                    self._remember(result)

    def _remember(self, result: dict[str, Any]) -> None:
        if tokens := result.get("figures", {}).get("kv_tokens"):
            self.earlier[result["name"]] = tokens

    def _save(self, result: dict[str, Any]) -> None:
        self.results.append(result)
        self._remember(result)
        document = {
            "plan": self.plan,
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
            "machine": self.machine,
            "results": self.results,
        }
        (self.out / f"{self.plan}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        (self.out / f"{self.plan}.md").write_text(render(document), encoding="utf-8")
        healthy = result.get("marks", {}).get("healthy")
        speeds = {line["concurrency"]: line["tok_s"] for line in result.get("load") or []}
        said = "skipped" if result.get("skipped") else f"healthy {healthy} s, {speeds} {result.get('error', '')[:600]}"
        print(f"[{time.monotonic() - self.began:5.0f} s] {result['name']}: {said}", flush=True)

    def _wait_memory_free(self) -> None:
        for _ in range(40):
            used = _smi("memory.used")
            if not used or max(int(line.split()[0]) for line in used) < 3000:
                return
            time.sleep(0.25)


def _smi(field_name: str) -> list[str]:
    with contextlib.suppress(OSError):
        command_line = ["nvidia-smi", f"--query-gpu={field_name}", "--format=csv,noheader,nounits"]
        return subprocess.run(command_line, capture_output=True, text=True, check=False).stdout.splitlines()
    return []


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _known(program: list[str]) -> dict[str, Any] | None:
    """Flags and variables of the installed vLLM, read from its sources; None where another program stands for it."""
    spec = importlib.util.find_spec("vllm") if "vllm.entrypoints.cli.main" in program else None
    if spec is None or not spec.submodule_search_locations:
        return None
    return describe(Path(next(iter(spec.submodule_search_locations))))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", choices=list(PLANS))
    parser.add_argument("--out", type=Path, required=True, help="folder for results and logs")
    parser.add_argument("--work", type=Path, default=Path("bench-work"), help="folder for model shapes and caches")
    parser.add_argument("--budget", type=float, default=560, help="seconds; configs that would not fit are skipped")
    parser.add_argument("--then", default="", help="shell command to run against the first server (URL, MODEL are set)")
    parser.add_argument("--program", help="what stands for `vllm`")
    parser.add_argument("--gpu", help=f"one of {', '.join(GPUS)}; default: ask nvidia-smi")
    options = parser.parse_args()
    program = shlex.split(options.program) if options.program else [sys.executable, "-m", "vllm.entrypoints.cli.main"]
    names = _smi("name")
    gpu = options.gpu or next((g.name for g in [gpu_from_smi(names[0]) if names else None] if g), None)
    if gpu is None:
        sys.stderr.write(f"GPU {names} is not in server/hardware.py; name one with --gpu\n")
        return 2
    bench = Bench(options.plan, options.out, program, options.budget, gpu, _known(program), options.work)
    bench.then = options.then
    bench.machine = {
        "gpu": gpu,
        "gpus": len(names),
        "driver": next(iter(_smi("driver_version")), "none"),
        "vllm": _version("vllm"),
        "torch": _version("torch"),
        "cpus": os.cpu_count(),
    }
    bench.run()
    print((options.out / f"{options.plan}.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
