"""Fuzz both harnesses from recorded answers: `python -m tests.fuzz SECONDS [corpus folder]`.

Each gets half of the time. Inputs that matter are kept in the corpus folder (default: a temporary one) for the next
run. Prints libFuzzer's own figures; exit code 0 if nothing was found.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
RECORDED = HERE.parent / "unit" / "core" / "data"
SEEDS = {"stream": ("*.sse", bytes(8)), "refusal": ("*.json", b"\x01\x90\x012")}
"""For each harness, which recorded answers it begins with, and the bytes it wants before them."""


def main(seconds: int, corpus: Path) -> int:
    """Run both; return the worse exit code."""
    worst = 0
    for name, (pattern, head) in SEEDS.items():
        folder = corpus / name
        folder.mkdir(parents=True, exist_ok=True)
        for recorded in RECORDED.glob(pattern):
            (folder / f"seed-{recorded.name}").write_bytes(head + recorded.read_bytes())
        options = [f"-max_total_time={seconds // 2}", "-timeout=20", "-rss_limit_mb=1024", "-max_len=8192"]
        options += ["-print_final_stats=1", "-verbosity=1", f"-dict={HERE / 'words.dict'}"]
        options += [f"-artifact_prefix={corpus}/{name}-"]
        command = [sys.executable, "-m", f"tests.fuzz.{name}", str(folder), *options]
        worst = max(worst, abs(subprocess.run(command, check=False, cwd=HERE.parents[1]).returncode))
    return worst


if __name__ == "__main__":
    where = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp(prefix="llama70b-fuzz-"))
    sys.exit(main(int(sys.argv[1]), where))
