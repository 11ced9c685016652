"""What the ledger costs a request, in the caller's thread: `started` and `finished`, while the writer writes.

    python -m benchmarks.routing.overhead [--runs 5000]

No HTTP: the two calls that the client makes are timed one by one. Accepted: the 99th percentile under 1 ms.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from llama70b import ChatRequest, Message, Run, RunEnd, Usage
from llama70b._observe import RunContext
from llama70b.ledger import Ledger, LedgerRecorder

MOST_MS = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description="The ledger's overhead per request.")
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--pause", type=float, default=0.002, help="seconds between requests: 2 ms is 500 a second")
    options = parser.parse_args()
    request = ChatRequest((Message("user", "word " * 400),))
    took = []
    with tempfile.TemporaryDirectory() as folder:
        recorder = LedgerRecorder(Path(folder) / "ledger")
        for number in range(options.runs):
            now = time.monotonic()
            run = Run(
                f"r{number}",
                "https://host",
                "llama",
                False,
                1,
                0,
                2000,
                None,
                now,
                time.time(),
                RunContext(),
                5.0,
                request,
            )
            end = RunEnd("answered", ended=now + 1, ended_at=time.time(), usage=Usage(400, 100), attempts=1)
            begun = time.perf_counter()
            recorder.started(run)
            recorder.finished(run, end)
            took.append((time.perf_counter() - begun) * 1e3)
            time.sleep(options.pause)
        recorder.close()
        rows = len(Ledger(recorder.path).runs())
    took.sort()
    p50, p99 = (took[int(len(took) * share)] for share in (0.5, 0.99))
    print(f"{options.runs} runs, {rows} rows, {recorder.dropped} dropped: p50 {p50:.3f} ms, p99 {p99:.3f} ms, "
          f"most {took[-1]:.3f} ms")  # fmt: skip
    return 0 if p99 < MOST_MS and rows == options.runs else 1


if __name__ == "__main__":
    sys.exit(main())
