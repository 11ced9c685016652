"""What importing an adapter loads beyond the framework's own base class and httpx, in modules: counts, no seconds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_LANGCHAIN = "import httpx; from langchain_core.language_models.chat_models import BaseChatModel"
_LLAMAINDEX = "import httpx; from llama_index.core.llms.function_calling import FunctionCallingLLM"
# Never needed to construct or call a model; each costs a tenth of a second or more.
_HEAVY = {
    "openai",
    "tiktoken_ext",
    "matplotlib",
    "pandas",
    "scipy",
    "sklearn",
    "starlette",
    "typer",
    "rich",
    "langgraph",
}


def _modules(code: str) -> set[str]:
    tell = f"{code}; import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("base", "ours", "most_foreign"),
    [
        ("import httpx", "llama70b", 90),
        (_LANGCHAIN, "langchain_llama70b", 12),
        (_LLAMAINDEX, "llamaindex_llama70b", 6),
    ],
)
def test_an_import_brings_few_modules_that_are_not_ours(base: str, ours: str, most_foreign: int) -> None:
    added = _modules(f"{base}; import {ours}") - _modules(base)
    foreign = {name for name in added if "llama70b" not in name}
    assert len(foreign) <= most_foreign, sorted(foreign)
    assert not {name.partition(".")[0] for name in foreign} & _HEAVY
