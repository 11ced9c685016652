"""Runs in the child process only: limits itself, then defines and calls untrusted functions. See `_sandbox`.

Standard library only, and nothing of this package: it is started by path, in isolated mode. Source on standard input;
one JSON object a line on standard output:

    {"isolation": "namespace" | "hook"}
    {"error": "..."}                                     the program could not be run
    {"function": name, "kind": "value" | "generator" | "endless"}
    {"function": name, "n": n, ...outcome}               see `outcome_of`
    {"end": true}
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import io
import itertools
import json
import os
import resource
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROBES = (-2, -1, 0, 1, 2, 10)
CPU_S = 5
MEMORY = 512 * 1024 * 1024
FILE_SIZE = 1024 * 1024
_MOST_ITEMS = 64
_MOST_FUNCTIONS = 6
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_REFUSED = (
    "socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "os.kill", "os.remove",
    "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.putenv",
    "signal.", "ctypes.", "pty.", "shutil.", "ftplib.", "http.", "urllib.", "smtplib.", "ensurepip", "webbrowser.",
    "mmap.", "sqlite3.", "sys.settrace", "sys.setprofile", "resource.", "fcntl.", "syslog.",
)  # fmt: skip


def leave_the_network() -> str:
    """Move into an empty network namespace if the kernel lets us."""
    try:
        done = ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
    except (OSError, AttributeError):  # not Linux
        done = False
    return "namespace" if done else "hook"


def limit() -> None:
    """Set the kernel's limits."""
    for what, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some; the others hold
            resource.setrlimit(what, (most, most))


def forbid() -> None:
    """Refuse, from now on and for good, what no Fibonacci function needs."""
    library = (str(Path(os.__file__).parent), sys.prefix, sys.base_prefix)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith(_REFUSED):
            raise PermissionError(f"{event} is not allowed here")
        if event == "open":
            path, mode = args[0], args[1]
            reads = mode is None or not set(str(mode)) & set("wax+")
            if not (isinstance(path, str) and path.startswith(library) and reads):
                raise PermissionError("opening files is not allowed here")

    sys.addaudithook(hook)


def outcome_of(function: Callable[..., Any], n: int) -> dict[str, Any]:
    """Call it and describe what came of it: `value`, `printed` numbers, or `raised` with `deliberate`."""
    spoken = io.StringIO()
    try:
        with contextlib.redirect_stdout(spoken):
            value = function(n)
            if isinstance(value, types.GeneratorType):
                value = list(itertools.islice(value, _MOST_ITEMS))
    except RecursionError:
        return {"raised": "RecursionError", "deliberate": False}
    except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
        own = type(error).__module__ == "answer" or type(error) in (ValueError, TypeError, AssertionError, Exception)
        return {"raised": type(error).__name__, "deliberate": own, "message": str(error)[:200]}
    except SystemExit:
        return {"raised": "SystemExit", "deliberate": False}
    return {**plain(value), "printed": numbers(spoken.getvalue())}


def plain(value: object) -> dict[str, Any]:
    """Reduce a value to JSON: whole numbers, lists of them, text, nothing; the rest by its type's name."""
    if value is None or isinstance(value, bool):
        return {"value": value}
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return {"value": value if abs(value) < 10**30 else str(value)[:60]}
    if isinstance(value, str):
        return {"value": value[:200]}
    if isinstance(value, list | tuple) and all(isinstance(item, int) for item in value):
        return {"value": [item for item in value[:_MOST_ITEMS] if abs(item) < 10**30]}
    return {"other": type(value).__name__}


def numbers(text: str) -> list[int]:
    """Return the whole numbers in printed text."""
    words = "".join(char if char.isdigit() or char == "-" else " " for char in text[:2000]).split()
    return [int(word) for word in words[:_MOST_ITEMS] if word.lstrip("-").isdigit() and len(word) < 30]  # noqa: PLR2004


def candidates(names: dict[str, Any]) -> list[tuple[str, Callable[..., Any], bool]]:
    """Return the functions to check: (name, function, takes n). Those with "fib" in their name, else the only one."""
    found = []
    for name, value in names.items():
        if isinstance(value, type) or not callable(value) or getattr(value, "__module__", None) != "answer":
            continue
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):
            continue
        for arguments in ((1,), ()):
            with contextlib.suppress(TypeError):
                signature.bind(*arguments)
                found.append((name, value, bool(arguments)))
                break
    named = [item for item in found if "fib" in item[0].lower()]
    public = [item for item in named if not item[0].startswith("_")]
    return (public or named or (found if len(found) == 1 else []))[:_MOST_FUNCTIONS]


def main() -> None:
    """Read, limit, define, call, report."""
    source = sys.stdin.buffer.read().decode("utf-8", "replace")
    report = os.fdopen(os.dup(1), "w", encoding="ascii")

    def say(**record: Any) -> None:
        report.write(json.dumps(record) + "\n")
        report.flush()

    say(isolation=leave_the_network())
    sys.stdout = io.StringIO()
    module = types.ModuleType("answer")
    module.__dict__["input"] = lambda *_: "10"  # an example that asks for n gets one
    sys.modules["answer"] = module
    limit()
    sys.setrecursionlimit(2000)
    try:
        program = compile(source, "answer.py", "exec")
    except (SyntaxError, ValueError) as error:
        say(error=f"it is not valid Python: {error}"[:200])
        say(end=True)
        return
    forbid()
    try:
        exec(program, module.__dict__)  # noqa: S102 - the point of this file; see `_sandbox` for what holds it back
    except BaseException as error:  # noqa: BLE001 - the examples below a sound function may fail; the function is tried
        say(warning=f"{type(error).__name__}: {error}"[:200])
    for name, function, takes_n in candidates(module.__dict__):
        if takes_n:
            for n in PROBES:
                say(function=name, n=n, **outcome_of(function, n))
        else:
            say(function=name, n=None, **outcome_of(lambda _, made=function: made(), 0))
    say(end=True)


if __name__ == "__main__":
    main()
