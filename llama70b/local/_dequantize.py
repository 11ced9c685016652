"""Unpack a quantised GGUF file once, so that a tiny model keeps the little precision it has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from llama70b.errors import ConfigurationError
from llama70b.local._extra import load

Precision = Literal["f16", "f32"]

# Written by GGUFWriter itself, or no longer true of the unpacked file.
_NOT_COPIED = frozenset({"general.architecture", "general.file_type", "general.quantization_version"})


def dequantize(source: Path, target: Path, precision: Precision) -> Path:
    """Write `source` again with every quantised tensor unpacked.

    The values are those the quantised file stands for: nothing is gained over it but the rounding that the
    engine's integer kernels would add (llama.cpp quantises activations to 8 bits beside a 4-bit weight).
    One-dimensional tensors (norms) stay in float32, as in every GGUF file.

    Args:
        source: A GGUF file.
        target: Where to write; appears only when complete.
        precision: "f16" (2 bytes a weight) or "f32" (4).

    Returns:
        `target`.

    Raises:
        ConfigurationError: `source` is not a GGUF file.
        MissingExtra: The package `gguf` is not installed.
    """
    gguf = load("gguf", "Unpacking a model file")
    np = load("numpy", "Unpacking a model file")
    try:
        reader = gguf.GGUFReader(source)
    except ValueError as error:
        raise ConfigurationError(f"{source.name} is not a GGUF file: {error}") from error
    architecture = reader.get_field("general.architecture").contents()
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    writer = gguf.GGUFWriter(partial, architecture)
    kind = gguf.LlamaFileType.MOSTLY_F16 if precision == "f16" else gguf.LlamaFileType.ALL_F32
    writer.add_file_type(kind)
    _copy_metadata(reader, writer)
    wide = np.float16 if precision == "f16" else np.float32
    try:
        for tensor in reader.tensors:
            data = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            writer.add_tensor(tensor.name, data.astype(np.float32 if data.ndim == 1 else wide))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _copy_metadata(reader: Any, writer: Any) -> None:
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in _NOT_COPIED:
            continue
        kind, *item_kind = field.types
        writer.add_key_value(name, field.contents(), kind, item_kind[0] if item_kind else None)
