"""GPUs and model shapes as data: what the arithmetic of `server.capacity` starts from.

GPU names are Modal's. Memory is what CUDA reports (a little under the label), bandwidth the vendor's data sheet, prices
Modal's list prices per second; `PRICES_AS_OF` dates them, `modal billing rates` confirms them for your workspace.
"""

from dataclasses import dataclass
from typing import Final

PRICES_AS_OF: Final = "2026-09 (list, quoted unchanged since 2026-05; confirm with `modal billing rates`)"
PRICES_SOURCE: Final = "modal.com/pricing"
CPU_USD_PER_CORE_S: Final = 0.0000131
MEMORY_USD_PER_GIB_S: Final = 0.00000222
GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU model.

    Attributes:
        name: Modal's name of it.
        memory_gib: Memory that CUDA reports, in GiB.
        bandwidth_tb_s: Memory bandwidth of the data sheet, in 10^12 bytes per second.
        usd_per_s: List price per second of one GPU, in US dollars.
        fp8: Whether the chip multiplies in FP8; without it FP8 weights still halve the bytes read.
        smi_names: What `nvidia-smi` calls it: every word of one entry occurs in the name.
    """

    name: str
    memory_gib: float
    bandwidth_tb_s: float
    usd_per_s: float
    fp8: bool
    smi_names: tuple[str, ...]


GPUS: Final[dict[str, Gpu]] = {
    gpu.name: gpu
    for gpu in (
        Gpu("A10", 22.05, 0.600, 0.000306, fp8=False, smi_names=("A10",)),
        Gpu("L40S", 44.4, 0.864, 0.000542, fp8=True, smi_names=("L40S",)),
        Gpu("A100-40GB", 39.4, 1.555, 0.000583, fp8=False, smi_names=("A100 40GB",)),
        Gpu("A100-80GB", 79.25, 2.039, 0.000694, fp8=False, smi_names=("A100 80GB",)),
        Gpu("RTX-PRO-6000", 94.9, 1.792, 0.000842, fp8=True, smi_names=("RTX PRO 6000",)),
        Gpu("H100", 79.2, 3.35, 0.001097, fp8=True, smi_names=("H100 80GB",)),
        Gpu("H200", 139.8, 4.80, 0.001261, fp8=True, smi_names=("H200",)),
        Gpu("B200", 178.4, 8.00, 0.001736, fp8=True, smi_names=("B200",)),
    )
}


def gpu_from_smi(name: str) -> Gpu | None:
    """Find the GPU that `nvidia-smi --query-gpu=name` describes.

    Args:
        name: The reported name, such as "NVIDIA A100-SXM4-80GB".

    Returns:
        The GPU, or None for one that the table does not hold.
    """
    words = set(name.upper().replace("-", " ").split())
    for gpu in GPUS.values():
        if any(set(entry.upper().split()) <= words for entry in gpu.smi_names):
            return gpu
    return None


@dataclass(frozen=True, slots=True)
class Architecture:
    """The shape of a Llama model: enough to count its bytes.

    Attributes:
        name: The family's name.
        parameters: All parameters.
        layers: Transformer layers.
        kv_heads: Key/value heads per layer (grouped-query attention).
        head_dim: Size of one head.
        hidden: Width of the residual stream.
        vocabulary: Rows of the embedding and of the output matrix.
        context: Longest context that the model was trained for.
    """

    name: str
    parameters: int
    layers: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocabulary: int
    context: int

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embedding table; the output matrix has as many."""
        return self.vocabulary * self.hidden

    @property
    def linear_parameters(self) -> int:
        """Parameters that quantisation shrinks: all but embedding, output matrix and norms."""
        norms = (2 * self.layers + 1) * self.hidden
        return self.parameters - 2 * self.embedding_parameters - norms


LLAMA_70B: Final = Architecture("Llama-3.3-70B", 70_553_706_496, 80, 8, 128, 8192, 128_256, 131_072)
LLAMA_8B: Final = Architecture("Llama-3.1-8B", 8_030_261_248, 32, 8, 128, 4096, 128_256, 131_072)
