"""Find the code in an answer, and judge what its Fibonacci function returned. Pure.

Accepted, because "calculate fibonacci numbers" allows each of them, but one and the same for all n:

* the nth number, counted F(0) = 0, or F(1) = 0 ("the first number is 0"), or F(1) = F(2) = 1, or F(0) = F(1) = 1;
* a list, tuple or generator: the first n numbers, the numbers up to index n, or up to the value n; from 0 or from 1;
* the same list printed instead of returned;
* an endless generator that takes no n (then there is no negative n to refuse).

For n = -1 (and for n = 0 where counting starts at 1) accepted are: an exception raised on purpose (ValueError,
TypeError, AssertionError, Exception, or one the code defines), None, an empty list, False, a message, 0, a constant
such as -1 (the same for n = -2), and 1, which is F(-1) by the recurrence. Not accepted: an endless recursion, a
crash, or n itself handed back.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

CHECKED = (-1, 0, 1, 2, 10)
_FENCE = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+.#-]*)[^\n]*\n(?P<code>.*?)"
    r"(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_PYTHON = frozenset(["python", "py", "python3", "python2", "py3", ""])
_REFUSES = "refuses"

_FIB = [0, 1]
while len(_FIB) < 64:  # noqa: PLR2004 - more than any list asked for here
    _FIB.append(_FIB[-1] + _FIB[-2])

_NTH: Mapping[str, Mapping[int, object]] = {
    "the nth number, F(0) = 0": {0: 0, 1: 1, 2: 1, 10: 55},
    "the nth number, F(1) = 0": {0: _REFUSES, 1: 0, 2: 1, 10: 34},
    "the nth number, F(1) = 1": {0: _REFUSES, 1: 1, 2: 1, 10: 55},
    "the nth number, F(0) = 1": {0: 1, 1: 1, 2: 2, 10: 89},
}


def _list_conventions() -> dict[str, dict[int, tuple[list[int], ...]]]:
    ones = _FIB[1:]
    return {
        "the first n numbers, from 0": {n: (_FIB[:n],) for n in (0, 1, 2, 10)},
        "the first n numbers, from 1": {n: (ones[:n],) for n in (0, 1, 2, 10)},
        "the numbers up to F(n)": {n: (_FIB[: n + 1],) for n in (0, 1, 2, 10)},
        "the numbers up to the value n": {
            n: tuple([f for f in source if f <= n] for source in (_FIB, ones)) for n in (0, 1, 2, 10)
        },
        "the numbers below the value n": {
            n: tuple([f for f in source if f < n] for source in (_FIB, ones)) for n in (0, 1, 2, 10)
        },
    }


_LISTS = _list_conventions()


def extract_code(answer: str) -> str | None:
    """Return the Python source in an answer, None if there is none.

    Taken are the fenced blocks marked as Python or not marked that are valid Python and define something, joined in
    their order if they are valid together (an answer may split function and usage), else the longest one. An
    unclosed last fence counts. Without any fence, the answer itself or its part from the first `def` on.
    """
    blocks = [_dedented(match["code"]) for match in _FENCE.finditer(answer) if match["language"].lower() in _PYTHON]
    defining = [block for block in blocks if _defines(block)]
    if defining:
        whole = "\n\n".join(block for block in blocks if _parses(block))
        return whole if _parses(whole) else max(defining, key=len)
    if blocks:
        return max(blocks, key=len)  # broken code is code: running it says what is wrong with it
    start = re.search(r"^(?:from|import|def|class|@|async def)\b", answer, re.MULTILINE)
    if start is None:
        return None
    lines = answer[start.start() :].splitlines()
    while lines and not _parses("\n".join(lines)):
        lines.pop()  # prose after the code
    return "\n".join(lines) if lines and _defines("\n".join(lines)) else None


def judge(records: Sequence[Mapping[str, Any]], failure: str = "") -> tuple[bool, str]:
    """Say whether the functions an answer defines calculate Fibonacci numbers.

    Args:
        records: What the child process reported.
        failure: Why it did not come to its end, "" if it did.

    Returns:
        Pass or fail, and the reason. Every function with "fib" in its name must pass.
    """
    for record in records:
        if "error" in record:
            return False, f"the code could not be run: {record['error']}"
    outcomes: dict[str, dict[int | None, Mapping[str, Any]]] = {}
    for record in records:
        if isinstance(record.get("function"), str):
            outcomes.setdefault(record["function"], {})[record.get("n")] = record
    if failure:
        at = [
            f" (in {name}, after n = {max((n for n in seen if n is not None), default='?')})"
            for name, seen in outcomes.items()
        ]
        return False, f"the code {failure}{at[-1] if at else ''}"
    if not outcomes:
        warned = next((f": {record['warning']}" for record in records if "warning" in record), "")
        return False, f"the code defines no function of one argument to call{warned}"
    verdicts = [_judge_one(name, seen) for name, seen in outcomes.items()]
    failed = next((reason for passed, reason in verdicts if not passed), None)
    return (False, failed) if failed else (True, "; ".join(reason for _, reason in verdicts))


def _where(outcomes: Mapping[str, Mapping[int | None, object]]) -> str:
    """Say which call had returned last."""
    calls = [f"{name}({'' if n is None else n})" for name, seen in outcomes.items() for n in seen]
    return f" (after {calls[-1]})" if calls else ""


def _judge_one(name: str, seen: Mapping[int | None, Mapping[str, Any]]) -> tuple[bool, str]:
    if None in seen:
        values = seen[None].get("value")
        right = isinstance(values, list) and len(values) >= 10 and values[:10] in (_FIB[:10], _FIB[1:11])  # noqa: PLR2004
        return right, f"{name}() yields {'Fibonacci' if right else 'other'} numbers without end"
    missing = [n for n in CHECKED if n not in seen]
    if missing:
        return False, f"{name}({missing[0]}) was not reached"
    negative = _negative(seen[-1], seen.get(-2, {}))
    if negative is None:
        return False, f"{name}(-1) {_said(seen[-1])}: a negative n is neither refused nor answered"
    convention = _convention(seen)
    if convention is None:
        shown = ", ".join(f"{name}({n}) {_said(seen[n])}" for n in CHECKED[1:])
        return False, f"not the Fibonacci numbers: {shown}"
    return True, f"{name}: {convention}; n = -1 {negative}"


def _convention(seen: Mapping[int | None, Mapping[str, Any]]) -> str | None:
    for name, expected in _NTH.items():
        if all(_refuses(seen[n]) if want == _REFUSES else _whole(seen[n]) == want for n, want in expected.items()):
            return name
    for name, lists in _LISTS.items():
        if all(_numbers(seen[n]) in wanted or (n == 0 and _refuses(seen[n])) for n, wanted in lists.items()):
            return name
    return None


def _whole(outcome: Mapping[str, Any]) -> int | None:
    value = outcome.get("value")
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    printed = outcome.get("printed")
    if value is None and "raised" not in outcome and isinstance(printed, list) and len(printed) == 1:
        return int(printed[0])
    return None


def _numbers(outcome: Mapping[str, Any]) -> list[int] | None:
    value = outcome.get("value")
    if isinstance(value, list):
        return value
    printed = outcome.get("printed")
    return printed if value is None and "raised" not in outcome and isinstance(printed, list) else None


def _refuses(outcome: Mapping[str, Any]) -> bool:
    """Whether this is an answer that says "not for this n"."""
    if "raised" in outcome:
        return outcome.get("deliberate") is True
    return ("other" not in outcome and outcome.get("value") in (None, False, [], 0)) or isinstance(
        outcome.get("value"), str
    )


def _negative(outcome: Mapping[str, Any], further: Mapping[str, Any]) -> str | None:
    if _refuses(outcome):
        return _said(outcome)
    value = outcome.get("value")
    if value == 1:
        return "returned 1, which is F(-1)"
    if value is not None and value == further.get("value") and not isinstance(value, list):
        return f"returned {value!r}, as for every negative n"
    return None


def _said(outcome: Mapping[str, Any]) -> str:
    if "raised" in outcome:
        return f"raised {str(outcome['raised'])[:40]}"
    if "other" in outcome:
        return f"returned a {str(outcome['other'])[:40]}"
    value, printed = outcome.get("value"), outcome.get("printed")
    if value is None and printed:
        return f"printed {str(printed)[:80]}"
    return f"returned {repr(value)[:80]}"


def _dedented(code: str) -> str:
    lines = code.splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(re.sub(r"^(?:>>>|\.\.\.) ?", "", line[margin:]) for line in lines)


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _defines(code: str) -> bool:
    return _parses(code) and any(
        isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign) for node in ast.parse(code).body
    )
