"""vLLM on a CPU, for the integration tests and those who write them: `python -m tests.engines.vllm_cpu --help`."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from pathlib import Path

from llama70b import Secret
from tests.engines.environment import BuildError, build, clean, engine_folder
from tests.engines.server import StartError, serve


def _serve(env_file: Path | None) -> None:
    """Serves until interrupted; prints, or writes to a file, the variables that point the tests at it."""
    engine = build()
    started = time.monotonic()
    with serve(engine, engine_folder() / "serve.log") as endpoint:
        variables = {
            "LLAMA70B_TEST_VLLM_URL": endpoint.base_url.removesuffix("/v1"),
            "LLAMA70B_TEST_VLLM_KEY": _in_clear(endpoint.api_key),
            "LLAMA70B_TEST_VLLM_MODEL": endpoint.model,
        }
        lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        if env_file is None:
            print(lines, end="", flush=True)
        else:
            env_file.touch(mode=0o600)
            env_file.write_text(lines, encoding="utf-8")
        print(f"ready after {time.monotonic() - started:.0f} s; Ctrl-C stops it", file=sys.stderr, flush=True)
        signal.pause()


def _in_clear(key: Secret | str | None) -> str:
    return key.get_secret_value() if isinstance(key, Secret) else key or ""


def _on_sigterm(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.engines.vllm_cpu", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the environment and the checkpoint unless they are there")
    serving = commands.add_parser("serve", help="build, then serve in the foreground")
    serving.add_argument("--env-file", type=Path, help="write the variables that point the tests here to this file")
    commands.add_parser("clean", help="remove what earlier versions of the pins or the converter built")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        match args.command:
            case "build":
                build()
            case "serve":
                _serve(args.env_file)
            case "clean":
                clean()
    except KeyboardInterrupt:
        return 130
    except (BuildError, StartError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
