#!/usr/bin/env bash
# pack.sh OUT: the clients that `live` measures, as one tree of packages for Python 3.12 on x86-64 Linux, packed with tar and xz
# into OUT/piece.00, for a GPU machine without network (`benchmarks/serve/unpack.sh` joins such pieces; so does the line below).
# Left out: what the machine's own Python has (numpy and the like), data files, what no chat model imports.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p "$1" && out=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
site=$work/site
mkdir -p "$site"
.venv/bin/uv pip freeze -p .venv-peers/bin/python | grep -E '^[A-Za-z0-9_.-]+==' > "$work/pins.txt"
.venv/bin/uv pip install -q --target "$site" --python-version 3.12 --python-platform x86_64-manylinux_2_28 \
  --only-binary :all: --constraints "$work/pins.txt" --no-compile-bytecode \
  langchain-core langchain-openai langchain-llama-cpp llama-index-core llama-index-llms-openai-like httpx tqdm
cp -r llama70b langchain_llama70b llamaindex_llama70b "$site"
cd "$site"
for name in numpy pillow PIL hf_xet tokenizers transformers pygments; do rm -rf "$name" "$name"-* "$name".libs; done
rm -rf ./*.libs/../numpy.libs bin share llama_index/core/_static/nltk_cache llama_index/core/_static/tiktoken_cache
find . -name '*.pyi' -delete
find . -type d \( -name tests -o -name testing -o -name __pycache__ -o -name include \) -prune -exec rm -rf {} +
find . -name '*.so' -size +500k -exec strip --strip-unneeded {} + 2> /dev/null || true
du -sh . && du -sm ./* | sort -rn | head -24
tar cf - -C "$work" site | xz -T2 -6 > "$out/piece.00"
ls -l "$out/piece.00"
