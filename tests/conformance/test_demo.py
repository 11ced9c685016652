"""The demo as a user starts it: a process of its own, on the local engine and on a given endpoint; Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llama70b import Endpoint, Secret

pytestmark = [pytest.mark.timeout(400), pytest.mark.engine]
DEMO = [sys.executable, "-m", "llama70b.demo"]


def environment() -> dict[str, str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("LLAMA70B_BASE", "LLAMA70B_API"))
    }
    return clean | {"NO_COLOR": "1", "COLUMNS": "200"}


def children(pid: int) -> set[int]:
    """Return the processes that descend from one, by /proc."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found: set[int] = set()
    while new := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= new
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_demo_shows_all_three_ways_and_the_exact_verdict(local_endpoint: Endpoint, tmp_path: Path) -> None:
    assert isinstance(local_endpoint.api_key, Secret)
    key = local_endpoint.api_key.get_secret_value()
    picture = tmp_path / "demo.svg"
    done = subprocess.run(
        [*DEMO, "--base-url", local_endpoint.base_url, "--model", local_endpoint.model, "--svg", str(picture)],
        env=environment() | {"LLAMA70B_API_KEY": key},
        capture_output=True, text=True, timeout=350, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "bare model" in text
    for name in ("LangChain agent", "LlamaIndex agent"):
        part = text.split(name)[1]
        assert "check_argument(premises=[" in part
        assert "UNDETERMINED does not follow; undetermined, not false" in part
        assert "a rose that is a flower and does not fade quickly" in part
    assert "stands in for its wire" in text
    assert key not in done.stdout + done.stderr + picture.read_text(encoding="utf-8")
    assert "</svg>" in picture.read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")
@pytest.mark.parametrize("moment", ["starting", "asking"])
def test_ctrl_c_leaves_no_process_behind(moment: str) -> None:
    with subprocess.Popen(
        DEMO, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        if moment == "asking":
            assert process.stdout.readline()  # the head is printed when the engine is ready
        family: set[int] = set()
        deadline = time.monotonic() + 120
        while not (family := children(process.pid)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)
        family |= children(process.pid)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    deadline = time.monotonic() + 15
    while any(alive(pid) for pid in family):
        assert time.monotonic() < deadline, [pid for pid in family if alive(pid)]
        time.sleep(0.1)


def test_an_endpoint_that_is_not_there_is_one_line() -> None:
    done = subprocess.run(
        [*DEMO, "--base-url", "http://127.0.0.1:9"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "error:" in done.stderr
    assert "Traceback" not in done.stderr
