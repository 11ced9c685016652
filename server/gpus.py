"""Which GPUs this machine has, as `nvidia-smi` tells."""

import shutil
import subprocess

from server.errors import ConfigurationError
from server.hardware import GPUS, Gpu, gpu_from_smi


def obtained() -> tuple[Gpu, int]:
    """Ask for the GPUs of this machine.

    Returns:
        The model and how many.

    Raises:
        ConfigurationError: No GPU, several models, or one that the table does not hold.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        raise ConfigurationError("no nvidia-smi: this machine has no NVIDIA GPU that we can see")
    answer = subprocess.run(  # noqa: S603 - a fixed command
        [program, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False, timeout=60
    )
    names = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    if answer.returncode or not names:
        raise ConfigurationError(f"nvidia-smi found no GPU: {(answer.stderr or answer.stdout).strip()[:200]}")
    if len(set(names)) > 1:
        raise ConfigurationError(
            f"GPUs of several models ({', '.join(sorted(set(names)))}): name some in CUDA_VISIBLE_DEVICES"
        )
    gpu = gpu_from_smi(names[0])
    if gpu is None:
        raise ConfigurationError(f"{names[0]} is not in our table (server/hardware.py): {', '.join(GPUS)}")
    return gpu, len(names)
