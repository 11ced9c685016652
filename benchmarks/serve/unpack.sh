#!/usr/bin/env bash
# unpack.sh PIECES SITE: joins piece.* (a tree packed with tar and xz), unpacks it as SITE and compiles its bytecode, for a
# GPU machine without network. Python reads xz itself: the machine may not have it.
set -euo pipefail
work=$(mktemp -d)
cat "$1"/piece.* > "$work/site.tar.xz"
python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="tar")' "$work/site.tar.xz" "$work"
mv "$work/site" "$2"
python3 -m compileall -q -j 0 "$2" > /dev/null || true # a few vendored files are templates, not Python
PYTHONPATH=$2 python3 -c 'import torch, vllm; print("vllm", vllm.__version__, "torch", torch.__version__)'
