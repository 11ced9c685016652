"""A model folder with the right shape and no weights: `--load-format dummy` makes those on the GPU.

Bytes and arithmetic are those of the real model, so is the speed; the text is random. The tokenizer is byte-level with
the real vocabulary's size: 256 bytes, filler words, and Llama 3's special tokens at their real ids. Nothing is
downloaded.
"""

import json
from pathlib import Path

from server.command import TEMPLATE
from server.hardware import LLAMA_8B, LLAMA_70B, Architecture

SHAPES = {"70b": (LLAMA_70B, 28_672, 64), "8b": (LLAMA_8B, 14_336, 32)}  # architecture, feed-forward width, heads
_SPECIAL = {
    "<|begin_of_text|>": 128_000,
    "<|end_of_text|>": 128_001,
    "<|finetune_right_pad_id|>": 128_004,
    "<|start_header_id|>": 128_006,
    "<|end_header_id|>": 128_007,
    "<|eom_id|>": 128_008,
    "<|eot_id|>": 128_009,
    "<|python_tag|>": 128_010,
}


def _config(shape: Architecture, width: int, heads: int, *, fp8: bool) -> dict[str, object]:
    config: dict[str, object] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "bos_token_id": 128_000,
        "eos_token_id": [128_001, 128_008, 128_009],
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-05,
        "rope_theta": 500_000.0,
        "rope_scaling": {
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": shape.vocabulary,
    }
    if fp8:
        # Static scales per tensor, as NVIDIA's checkpoint: the weights are FP8 from the start, nothing is converted.
        config["quantization_config"] = {
            "quant_method": "fp8",
            "activation_scheme": "static",
            "ignored_layers": ["lm_head"],
        }
    return config


def _bytes_to_characters() -> dict[int, str]:
    """GPT-2's printable stand-ins for the 256 bytes, which byte-level BPE is defined over."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def _tokenizer(vocabulary: int) -> dict[str, object]:
    characters = list(_bytes_to_characters().values())
    words = {character: index for index, character in enumerate(characters)}
    words |= {f"w{index}": index for index in range(len(words), 128_000)}
    special = dict(_SPECIAL)
    special |= {
        f"<|reserved_{index}|>": index for index in range(128_000, vocabulary) if index not in _SPECIAL.values()
    }
    added = [
        {
            "id": index,
            "content": name,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for name, index in sorted(special.items(), key=lambda item: item[1])
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {"type": "BPE", "vocab": words, "merges": [], "fuse_unk": False, "byte_fallback": False},
    }


def make(folder: Path, shape: str, *, fp8: bool = False) -> Path:
    """Write the folder.

    Args:
        folder: Where; made if needed.
        shape: `70b` or `8b`.
        fp8: Whether the configuration asks for FP8 weights.

    Returns:
        The folder.
    """
    architecture, width, heads = SHAPES[shape]
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "config.json": _config(architecture, width, heads, fp8=fp8),
        "generation_config.json": {"bos_token_id": 128_000, "eos_token_id": [128_001, 128_008, 128_009]},
        "tokenizer.json": _tokenizer(architecture.vocabulary),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|eot_id|>",
            "model_max_length": architecture.context,
            "chat_template": TEMPLATE.read_text(encoding="utf-8"),
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder
