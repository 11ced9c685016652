"""`python -m server.run`: the same server on your own GPUs, with the same command, phases and gateway.

    pip install vllm==0.33.0 -r requirements/server.txt
    python -m server.run --dry-run                         # what would be started on this machine
    python -m server.run --profile h200-fp8                # 127.0.0.1:8000
    python -m server.run --gateway --host 0.0.0.0          # the gateway outside, vLLM on loopback behind it
    python -m server.run --replicas 4 -- --seed 1          # vLLM's own data parallelism; flags after -- go to vLLM

More machines than one: start one of these on each and put `vllm-router` in front (docs/serving.md).
"""

import argparse
import dataclasses
import json
import os
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

from server.capacity import choose, cold_start_s, kv_room, with_overrides
from server.command import Command, EngineSettings, build
from server.engine import Engine
from server.errors import ConfigurationError, EngineFailed, ServerError
from server.gpus import obtained
from server.hardware import GPUS, Gpu
from server.profiles import PROFILES, Profile
from server.status import FileStore

_INNER_PORT_OFFSET: Final = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is going to be started.

    Attributes:
        profile: What is served.
        command: vLLM's command.
        port: vLLM's port.
        gateway_port: The gateway's port, or None without one.
        host: The address that is open to others.
    """

    profile: Profile
    command: Command
    port: int
    gateway_port: int | None
    host: str


def pick(name: str | None, gpu: Gpu, count: int) -> Profile:
    """The named profile, or the fastest of the 70B ones that fits these GPUs.

    Args:
        name: What the user asked for, or None.
        gpu: The GPUs of this machine.
        count: How many.

    Returns:
        The profile.

    Raises:
        ConfigurationError: Unknown, or nothing fits.
    """
    if name:
        return choose(name)
    fitting = [
        profile
        for profile in PROFILES.values()
        if profile.gpu_count <= count and kv_room(profile, gpu=gpu) >= 2 * profile.max_model_len
    ]
    if not fitting:
        raise ConfigurationError(
            f"no profile fits {count} x {gpu.name}; python -m server.profiles shows what each needs"
        )
    # The larger model first, then the profile made for this GPU, then the one that reads fewest bytes per token.
    return max(
        fitting,
        key=lambda p: (p.checkpoint.architecture.parameters, p.gpu.name == gpu.name, p.speed.tok_s),
    )


def plan(arguments: list[str], machine: Callable[[], tuple[Gpu, int]] = obtained) -> Plan:
    """Decide what to start.

    Args:
        arguments: The command line.
        machine: Tells the GPUs.

    Returns:
        The plan.

    Raises:
        ConfigurationError: It cannot work on this machine; says what fits.
    """
    options = _parser().parse_args(arguments)
    if options.gpu:
        kind, _, number = options.gpu.partition(":")
        if kind not in GPUS or not (number or "1").isdecimal():
            raise ConfigurationError(f"--gpu {options.gpu!r}: one of {', '.join(GPUS)}, with a count such as H200:2")
        gpu, count = GPUS[kind], int(number or 1)
    else:
        gpu, count = machine()
    profile = with_overrides(pick(options.profile, gpu, count), max_model_len=options.max_model_len)
    inner = options.port + _INNER_PORT_OFFSET if options.gateway else options.port
    settings = EngineSettings(
        host="127.0.0.1" if options.gateway else options.host,
        port=inner,
        model=options.model,
        cache_dir=options.cache_dir,
        replicas=options.replicas,
        speculative=options.speculative,
        offline=False,
        extra=tuple(word for word in options.vllm if word != "--"),
    )
    command = build(profile, settings, gpu=gpu, gpu_count=count)
    return Plan(profile, command, inner, options.port if options.gateway else None, options.host)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m server.run", description="Serve the model on your own GPUs.")
    parser.add_argument("--profile", help=f"one of {', '.join(PROFILES)}; default: the best that fits")
    parser.add_argument("--gpu", help="GPUs to plan for, such as H200:2; default: ask nvidia-smi")
    parser.add_argument("--model", type=Path, help="local checkpoint folder in place of the hub's")
    parser.add_argument("--replicas", type=int, default=1, help="copies of the model, by vLLM's data parallelism")
    parser.add_argument("--host", default="127.0.0.1", help="address to open (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port to open (default 8000)")
    parser.add_argument("--max-model-len", type=int, help="context window in tokens")
    parser.add_argument("--cache-dir", type=Path, help="folder for compiled code; default: vLLM's own")
    parser.add_argument("--speculative", action="store_true", help="load the profile's draft head")
    parser.add_argument(
        "--gateway", action="store_true", help="put the gateway in front (keys in LLAMA70B_GATEWAY_KEYS)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the command and end")
    parser.add_argument("vllm", nargs=argparse.REMAINDER, help="after --: flags for vLLM")
    return parser


def render(made: Plan) -> str:
    """The command as a shell would take it, environment first."""
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in made.command.env.items())
    return f"{variables} {shlex.join(made.command.argv)}"


class AlwaysOn:
    """A waker for a machine that does not sleep."""

    async def wake(self) -> None:
        """Nothing to wake."""

    async def hold(self, seconds: int) -> None:
        """Nothing to hold."""
        del seconds


def _serve_gateway(made: Plan, engine: Engine, store: FileStore) -> None:
    import uvicorn  # noqa: PLC0415 - only with --gateway

    from server.gateway import Config, Gateway  # noqa: PLC0415
    from server.gateway_rules import digest_keys  # noqa: PLC0415

    config = Config(
        upstream=engine.url,
        upstream_headers=engine.headers,
        keys=digest_keys(json.loads(os.environ["LLAMA70B_GATEWAY_KEYS"])),
        served_names=made.profile.served_names,
        boot_s=cold_start_s(made.profile),
        log=lambda entry: print(json.dumps(entry), flush=True),  # noqa: T201 - the request log goes to stdout
    )
    assert made.gateway_port is not None
    server = uvicorn.Server(
        uvicorn.Config(Gateway(config, store, AlwaysOn()), host=made.host, port=made.gateway_port, log_level="warning")
    )
    # Off the main thread uvicorn leaves signals alone: ours end the engine too.
    threading.Thread(target=server.run, name="gateway", daemon=True).start()


def _check_exposure(made: Plan, environ: dict[str, str]) -> None:
    """An open port without a key serves everyone, and bills you."""
    if made.gateway_port is not None and not environ.get("LLAMA70B_GATEWAY_KEYS"):
        raise ConfigurationError('--gateway needs LLAMA70B_GATEWAY_KEYS=\'{"name": "<a long random key>"}\'')
    loopback = made.host in {"127.0.0.1", "::1", "localhost"}
    if made.gateway_port is None and not loopback and not environ.get("VLLM_API_KEY"):
        raise ConfigurationError(
            f"--host {made.host} without a key is open to everyone: set VLLM_API_KEY, or better use --gateway "
            "(vLLM's key leaves /invocations and others open)"
        )


def main(arguments: list[str] | None = None, machine: Callable[[], tuple[Gpu, int]] = obtained) -> int:
    """Command line.

    Args:
        arguments: Without the program's name; `sys.argv` where None.
        machine: Tells the GPUs.

    Returns:
        vLLM's exit status, or 2 after saying what was refused.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        made = plan(given, machine)
        if _parser().parse_args(given).dry_run:
            print(render(made))  # noqa: T201 - that is what was asked for
            return 0
        _check_exposure(made, dict(os.environ))
        return _serve(made)
    except ServerError as error:
        sys.stderr.write(f"server.run: {error}\n")
        return 1 if isinstance(error, EngineFailed) else 2


def _serve(made: Plan) -> int:
    store = FileStore(Path(tempfile.gettempdir()) / f"llama70b-{made.port}")
    engine = Engine(
        made.command,
        port=made.port,
        model=made.profile.served_names[0],
        store=store,
        startup_timeout_s=made.profile.startup_timeout_s,
        on_death=lambda reason: print(reason, file=sys.stderr),  # noqa: T201 - `wait` below returns then
    )

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    if made.gateway_port is not None:
        _serve_gateway(made, engine, store)  # first: callers see the boot's phases
    try:
        engine.start()
        return engine.wait()
    except KeyboardInterrupt:
        return engine.stop()
    finally:
        engine.stop()  # a second call does nothing; after a crash it takes the workers along


if __name__ == "__main__":
    sys.exit(main())
