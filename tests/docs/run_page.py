"""Run blocks of Python one after the other in one namespace, as a reader would.

Standard input: JSON, a list of `[name of the page, line, code]`. A traceback names page and line.
"""

import asyncio
import inspect
import json
import linecache
import sys
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT


def main() -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for page, line, code in json.load(sys.stdin):
        source = "\n" * (line - 1) + code
        where = f"{page}"
        linecache.cache[where] = (len(source), None, source.splitlines(keepends=True), where)
        compiled = compile(source, where, "exec", flags=PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if compiled.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(compiled, namespace))
        else:
            exec(compiled, namespace)


if __name__ == "__main__":
    main()
