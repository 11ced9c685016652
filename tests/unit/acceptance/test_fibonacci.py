"""Finding the code in an answer, running it in the sandbox, and judging what it returned."""

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b.acceptance._fibonacci import extract_code, judge
from llama70b.acceptance._sandbox import run_functions

NTH = "def fibonacci(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n"
CHECKED = NTH.replace("    a, b = 0, 1\n", "    if n < 0:\n        raise ValueError('n')\n    a, b = 0, 1\n", 1)

GOOD = {
    "nth, ValueError": CHECKED,
    "nth, None": CHECKED.replace("raise ValueError('n')", "return None"),
    "nth, message": CHECKED.replace("raise ValueError('n')", "return 'Incorrect input'"),
    "nth, printed message": CHECKED.replace("raise ValueError('n')", "print('Incorrect input')\n        return"),
    "nth, empty list": CHECKED.replace("raise ValueError('n')", "return []"),
    "nth, zero": CHECKED.replace("raise ValueError('n')", "return 0"),
    "nth, constant -1": CHECKED.replace("raise ValueError('n')", "return -1"),
    "nth, own exception": "class Bad(Exception): pass\n" + CHECKED.replace("ValueError('n')", "Bad()"),
    "range ignores a negative n": NTH,
    "recursive with cache": (
        "from functools import lru_cache\n@lru_cache(maxsize=None)\ndef fib(n):\n"
        "    if n < 0:\n        raise ValueError\n    return n if n < 2 else fib(n-1) + fib(n-2)\n"
    ),
    "negafibonacci by a list": (
        "def fib(n):\n    f = [0, 1]\n    for i in range(2, n + 1):\n        f.append(f[i-1] + f[i-2])\n"
        "    return f[n]\n"
    ),
    "one-based, first is 0": (
        "def fibonacci(n):\n    if n <= 0:\n        return 'positive integers only'\n    if n == 1:\n        return 0\n"
        "    if n == 2:\n        return 1\n    return fibonacci(n-1) + fibonacci(n-2)\n"
    ),
    "one-based, first is 1": ("def fib(n):\n    assert n > 0\n    return 1 if n <= 2 else fib(n-1) + fib(n-2)\n"),
    "first n numbers": (
        "def fibonacci(n):\n    seq = []\n    a, b = 0, 1\n    while len(seq) < n:\n        seq.append(a)\n"
        "        a, b = b, a + b\n    return seq\n"
    ),
    "first n numbers, one-based edge cases": (
        "def fibonacci(n):\n    if n <= 0:\n        return []\n    if n == 1:\n        return [0]\n    s = [0, 1]\n"
        "    while len(s) < n:\n        s.append(s[-1] + s[-2])\n    return s\n"
    ),
    "generator of n numbers": (
        "def fib_gen(n):\n    if n < 0:\n        raise ValueError('negative')\n    a, b = 0, 1\n"
        "    for _ in range(n):\n        yield a\n        a, b = b, a + b\n"
    ),
    "up to the value n": (
        "def fib(n):\n    a, b = 0, 1\n    out = []\n    while a <= n:\n        out.append(a)\n"
        "        a, b = b, a + b\n    return out\n"
    ),
    "printed": (
        "def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        print(a, end=' ')\n        a, b = b, a + b\n"
    ),
    "endless generator": "def fib():\n    a, b = 0, 1\n    while True:\n        yield a\n        a, b = b, a + b\n",
    "two functions": CHECKED + CHECKED.replace("fibonacci", "fib_iterative"),
    "helper with two arguments": CHECKED + "def fib_helper(n, memo):\n    return None\n",
    "interactive example below": CHECKED + "n = int(input('n? '))\nprint(fibonacci(n))\n",
    "failing example below": CHECKED + "print(fibonacci(-5))\n",
    "main guard": CHECKED + "if __name__ == '__main__':\n    while True:\n        pass\n",
    "another name": CHECKED.replace("fibonacci", "sequence_number"),
    "typed": "from typing import List\nimport math\n" + CHECKED,
    "default argument": CHECKED.replace("fibonacci(n)", "fibonacci(n, start=0)"),
}

BAD = {
    "n handed back": "def fib(n):\n    return n if n <= 1 else fib(n-1) + fib(n-2)\n",
    "endless recursion": "def fib(n):\n    return 1 if n in (1, 2) else fib(n-1) + fib(n-2)\n",
    "off by one": CHECKED.replace("range(n)", "range(n + 1)").replace("a, b = 0, 1", "a, b = 0, 2"),
    "squares": "def fibonacci(n):\n    if n < 0:\n        raise ValueError\n    return n * n\n",
    "list of the wrong length": (
        "def fib(n):\n    s = [0, 1]\n    for _ in range(2, n):\n        s.append(s[-1] + s[-2])\n    return s\n"
    ),
    "one of two wrong": CHECKED + "def fib2(n):\n    if n < 0:\n        raise ValueError\n    return n\n",
    "crash": "def fib(n):\n    return undefined_name\n",
    "syntax": "def fib(n)\n    return n\n",
    "no function": "x = 1\n",
    "endless loop": "def fib(n):\n    while True:\n        pass\n",
    "ends the process": "import os\ndef fib(n):\n    os._exit(0)\n",
    "sys.exit": "import sys\ndef fib(n):\n    sys.exit(0)\n",
    "memory": "def fib(n):\n    return [0] * 10**10\n",
    "huge output": "def fib(n):\n    print('1 ' * 10**7)\n    return -5\n",
}


def run(code: str, wall_s: float = 4.0) -> tuple[bool, str]:
    done = run_functions(code, wall_s=wall_s)
    return judge(done.records, done.failure)


@pytest.mark.parametrize("name", GOOD)
def test_accepts(name: str) -> None:
    passed, reason = run(GOOD[name], wall_s=10.0)
    assert passed, reason


@pytest.mark.parametrize("name", BAD)
def test_refuses_with_a_reason(name: str) -> None:
    passed, reason = run(BAD[name])
    assert not passed
    assert reason


@pytest.mark.parametrize(
    "body",
    [
        "import socket; socket.create_connection(('127.0.0.1', PORT), timeout=1)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:PORT', timeout=1)",
        "import os; os.system('echo hi > MARK')",
        "import subprocess; subprocess.run(['touch', 'MARK'])",
        "import os; os.fork()",
        "open('MARK', 'w').write('x')",
        "return open('/etc/passwd').read()",
        "import pathlib; return pathlib.Path('/etc/passwd').read_text()",
        "import ctypes; ctypes.CDLL(None).getpid()",
        "import os; os.kill(os.getppid(), 15)",
        "import shutil; shutil.rmtree('/tmp/does-not-matter')",
        "import os; return dict(os.environ)['PATH']",
    ],
)
def test_what_it_may_not_do_it_cannot(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    mark = tmp_path / "mark"
    monkeypatch.setenv("SECRET", "hunter2")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        text = body.replace("MARK", str(mark)).replace("PORT", str(server.getsockname()[1]))
        lines = "\n".join("    " + line for line in text.split("; "))
        done = run_functions(f"def fib(n):\n{lines}\n    return n\n", wall_s=5.0)
        with pytest.raises(TimeoutError):
            server.accept()
    assert not mark.exists()
    passed, _ = judge(done.records, done.failure)
    assert not passed
    assert all("raised" in record for record in done.records), done.records


def test_the_result_says_how_the_network_was_kept_out() -> None:
    assert run_functions(NTH).isolation in {"namespace", "hook"}


def test_nothing_it_starts_outlives_the_check() -> None:
    import time

    start = time.monotonic()
    done = run_functions("while True: pass", wall_s=1.0)
    assert time.monotonic() - start < 5
    assert done.failure == "did not end within 1 s"


ANSWERS = {
    "plain fence": f"Here:\n\n```python\n{CHECKED}```\nDone.",
    "no language": f"```\n{CHECKED}```",
    "tildes": f"~~~py\n{CHECKED}~~~",
    "unclosed": f"Sure!\n```python\n{CHECKED}",
    "indented fence": "1. Do:\n\n   ```python\n" + textwrap.indent(CHECKED, "   ") + "   ```\n",
    "usage apart": f"```python\n{CHECKED}```\nUse it:\n```python\nprint(fibonacci(10))\n```\nOutput:\n```\n55\n```",
    "output block with prose": f"```python\n{CHECKED}```\n```\nFibonacci of 10: 55, done!\n```",
    "shell first": f"```bash\npip install nothing\n```\n```python\n{CHECKED}```",
    "no fence": f"Here is the code.\n\n{CHECKED}\nThis is how it works: it adds.",
    "only code": CHECKED,
    "crlf": f"```python\n{CHECKED}```".replace("\n", "\r\n"),
    "prompts": "```python\n" + "".join(
        f"{'>>> ' if i == 0 else '... '}{line}\n" for i, line in enumerate(CHECKED.splitlines())
    ) + "```",
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_finds_the_code(name: str) -> None:
    code = extract_code(ANSWERS[name])
    assert code is not None
    passed, reason = run(code)
    assert passed, reason


@pytest.mark.parametrize(
    "answer", ["", "I cannot write code.", "```bash\nls\n```", "The def of fibonacci is a sequence."]
)
def test_finds_no_code_where_there_is_none(answer: str) -> None:
    assert extract_code(answer) is None


def test_broken_code_is_shown_to_be_broken() -> None:
    code = extract_code("```python\ndef fib(n)\n    return n\n```")
    assert code is not None
    passed, reason = run(code)
    assert not passed
    assert "not valid Python" in reason


@given(st.text(alphabet="`~\n def():x=1pyton", max_size=200))
def test_any_answer_is_searched_without_an_error(answer: str) -> None:
    extract_code(answer)


@given(st.lists(st.dictionaries(st.sampled_from(["function", "n", "value", "raised", "printed", "other", "error"]),
                                st.none() | st.booleans() | st.integers(-3, 11) | st.text(max_size=5)
                                | st.lists(st.integers(0, 9), max_size=4), max_size=5), max_size=8))  # fmt: skip
def test_any_report_of_the_child_is_judged_without_an_error(records: list[dict[str, object]]) -> None:
    passed, reason = judge(records)
    assert isinstance(passed, bool)
    assert reason
