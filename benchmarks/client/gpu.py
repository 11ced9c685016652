"""On a GPU machine: start vLLM with the 70B's shape and dummy weights, run `live` against it, stop it.

    PYTHONPATH=vllm-site python -m benchmarks.client.gpu --clients-site clients-site --out $OUT --tp 2 --budget 420

vLLM and the clients have package folders of their own: they pin different versions of the same things. Results, the
server's phases and the end of its log go to `--out`; `live` saves after every round.
"""

import argparse
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.client.children import ROOT
from benchmarks.serve import model
from benchmarks.serve.boot import BootFailed, Server
from benchmarks.serve.configs import Config, command, without
from server.generate_flags import describe
from server.hardware import GPUS

_PORT = 18_100


def known_here(argv: list[str], env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """What of our command the installed vLLM knows, read from its sources."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("vLLM is not installed: put its folder into PYTHONPATH")
    known = describe(Path(next(iter(spec.submodule_search_locations))))
    for flag in [word for word in argv if word.startswith("--") and word not in known["flags"]]:
        argv = without(argv, flag)
    kept = {name: value for name, value in env.items() if not name.startswith("VLLM_") or name in known["environment"]}
    return argv, kept


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients-site", type=Path, required=True, help="folder of the clients' packages")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("bench-work"), help="model shape and compile cache")
    parser.add_argument("--tp", type=int, default=1)
    parser.add_argument("--gpu", default="H200", choices=list(GPUS))
    parser.add_argument("--shape", default="70b", choices=["70b", "8b"])
    parser.add_argument("--budget", type=float, default=420, help="seconds for all of it")
    parser.add_argument("--program", help="what stands for `vllm`: the stub engine, for a dry run")
    parser.add_argument("--live", nargs=argparse.REMAINDER, default=[], help="further arguments of `live`")
    options = parser.parse_args()
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    config = Config("clients", options.shape, options.shape == "70b", options.tp, True, "clients")
    model.make(options.work / "models" / config.model, config.shape, fp8=config.fp8)
    program = shlex.split(options.program) if options.program else [sys.executable, "-m", "vllm.entrypoints.cli.main"]
    folders = {"models": options.work / "models", "caches": options.work / "caches"}
    argv, env = command(config, GPUS[options.gpu], program=program, port=_PORT, **folders)
    argv = [*without(without(argv, "--max-num-seqs"), "--cudagraph-capture-sizes"), "--max-num-seqs", "128"]
    argv += ["--cudagraph-capture-sizes", "1", "2", "4", "8", "16", "32", "64", "128"]
    if not options.program:
        argv, env = known_here(argv, env)
    (options.out / "server.json").write_text(json.dumps({"argv": argv, "env": env}, indent=1), encoding="utf-8")
    server = Server(argv, {**os.environ, **env}, _PORT, options.out / "server.log")
    try:
        server.start(options.budget - 60)
        print(f"[{time.monotonic() - began:5.0f} s] healthy; {server.describe()['phases']}", flush=True)
        left = options.budget - (time.monotonic() - began) - 10
        served = argv[argv.index("--served-model-name") + 1]
        weights = f"{options.shape} {'FP8' if config.fp8 else 'BF16'} shape with dummy weights"
        note = f"vLLM, {weights}, TP {options.tp}, {options.gpu}"
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # vLLM's packages stay out
        arguments = ["--url", f"http://127.0.0.1:{_PORT}/v1", "--model", served, "--out", str(options.out)]
        arguments += ["--site", str(options.clients_site), "--budget", f"{left:.0f}", "--note", note, *options.live]
        clean["PYTHONPATH"] = f"{options.clients_site}{os.pathsep}{ROOT}"
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.client.live", *arguments], env=clean, cwd=ROOT, check=False
        )
    except BootFailed as error:
        print(f"the server did not start: {error}", flush=True)
        return 1
    finally:
        server.stop()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
