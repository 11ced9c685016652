"""Turns the small model's GGUF file into a float32 Hugging Face checkpoint that vLLM serves.

Runs inside the vLLM environment (it needs torch and transformers), never in the client's::

    ENV/bin/python tests/engines/make_checkpoint.py MODEL.gguf OUT_DIR

transformers' own GGUF loader dequantises the tensors and un-permutes the q and k projections, which GGUF keeps in
interleaved-RoPE order for Llama architectures. Float32 because at this size precision decides the answer: in bfloat16
the same weights answer "What is the capital of France?" with nonsense.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

# The parser `llama3_json` refuses a tokenizer without Llama's tool marker. The vocabulary fills the embedding matrix to
# the last row, so the marker takes the place of a special token that the instruct model was never taught to use.
TOOL_MARKER = "<|python_tag|>"
REPLACED_TOKEN = "<reponame>"


def _renamed(tokenizer_json: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """The serialised tokenizer with one special token renamed, its id kept."""
    vocab = tokenizer_json["model"]["vocab"]
    vocab[new] = vocab.pop(old)
    (added,) = (token for token in tokenizer_json["added_tokens"] if token["content"] == old)
    added["content"] = new
    return tokenizer_json


def write_tokenizer(gguf: Path, out: Path) -> None:
    """Writes the tokenizer's files from the GGUF's own metadata; the server brings the chat template."""
    loaded = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The metadata only names the pre-tokenizer, "smollm", and the loader takes plain GPT-2's: that one splits digits.
    loaded.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    serialised = _renamed(json.loads(loaded.backend_tokenizer.to_str()), REPLACED_TOKEN, TOOL_MARKER)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(serialised)),
        bos_token=loaded.bos_token,
        eos_token=loaded.eos_token,
        pad_token=loaded.pad_token,
        unk_token=loaded.unk_token,
        model_max_length=8192,
    )
    tokenizer.save_pretrained(out)


def write_model(gguf: Path, out: Path) -> None:
    """Writes model.safetensors, config.json and generation_config.json."""
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = loaded.config
    # The weights are plain float32 now, but the loaded object still calls itself quantised and refuses to be saved:
    # a fresh model of the same shape takes them over.
    del config.quantization_config
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(loaded.state_dict())
    # The model card's sampling, which the server applies to requests that name none.
    model.generation_config.update(do_sample=True, temperature=0.1, top_p=0.9)
    model.save_pretrained(out)


def main() -> None:
    """Command line: the GGUF file and the folder to fill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    write_tokenizer(args.gguf, args.out)
    write_model(args.gguf, args.out)


if __name__ == "__main__":
    main()
