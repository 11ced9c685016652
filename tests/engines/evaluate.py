"""`llama70b syllogism eval` against vLLM on a CPU: `python -m tests.engines.evaluate FOLDER [its options]`.

The server runs for as long as the evaluation does. The small model is served under its own name, so that no report
takes it for the 70B.
"""

from __future__ import annotations

import os
import subprocess
import sys

from llama70b import Secret
from llama70b.local.models import DEFAULT_NAME
from tests.engines.environment import build, engine_folder
from tests.engines.server import serve


def main(arguments: list[str]) -> int:
    """Serves and evaluates; returns the evaluation's exit status."""
    with serve(build(), engine_folder() / "evaluate.log", extra=("--served-model-name", DEFAULT_NAME)) as endpoint:
        key = endpoint.api_key
        assert isinstance(key, Secret)
        command = [sys.executable, "-m", "llama70b", "syllogism", "eval", *arguments]
        command += ["--endpoint", f"vllm={endpoint.base_url},{DEFAULT_NAME}"]
        return subprocess.run(
            command, env=os.environ | {"VLLM_API_KEY": key.get_secret_value()}, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
