"""What one more streamed chunk costs, in counts: function calls in all code, and bytecode instructions of our own.

Counts are the same on every machine and under every load, so CI can hold them; docs/performance.md has the seconds.
The budget is what was counted with Python 3.11 and the pinned frameworks, plus three calls and a twentieth of the
instructions (other Pythons compile to other instructions: there a quarter, of both). A count beyond it is a cost added
to every token: take it out again, or count anew in a commit that says why it is worth it.
"""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

from langchain_llama70b import ChatLlama70B
from llama70b import AsyncClient, ChatRequest, Client, Endpoint, Message
from llama70b._assemble import Assembler
from llamaindex_llama70b import Llama70B

_URL = "http://127.0.0.1:1/v1"
_ASK = ChatRequest((Message("user", "x"),))
_AS_COUNTED = sys.version_info[:2] == (3, 11)

# What is read -> (function calls, instructions of ours) for one chunk more, as counted.
COUNTED = {
    "Client.stream": (52.8, 320.1),
    "Client.stream, tool call": (70.8, 482.1),
    "AsyncClient.stream": (52.8, 324.1),
    "AsyncClient.stream, tool call": (70.8, 486.1),
    "ChatLlama70B.stream": (128.8, 421.1),
    "ChatLlama70B.stream, tool call": (171.8, 680.1),
    "ChatLlama70B.astream": (128.8, 434.1),
    "ChatLlama70B.astream, tool call": (171.8, 693.1),
    "Llama70B.stream_chat": (110.8, 455.1),
    "Llama70B.stream_chat, tool call": (150.1, 769.4),
    "Llama70B.astream_chat": (110.8, 468.1),
    "Llama70B.astream_chat, tool call": (150.1, 782.4),
}

PerChunk = Callable[..., tuple[float, float]]


def _core(_runner: asyncio.Runner) -> Callable[[], None]:
    client = Client(Endpoint(_URL), progress_bar=False)

    def read() -> None:
        with client.stream(_ASK) as stream:
            for _ in stream:
                pass

    return read


def _acore(runner: asyncio.Runner) -> Callable[[], None]:
    client = AsyncClient(Endpoint(_URL), progress_bar=False)

    async def read() -> None:
        async with await client.stream(_ASK) as stream:
            async for _ in stream:
                pass

    return lambda: runner.run(read())


def _langchain(_runner: asyncio.Runner) -> Callable[[], None]:
    model = ChatLlama70B(base_url=_URL, progress_bar=False)

    def read() -> None:
        for _ in model.stream("x"):
            pass

    return read


def _alangchain(runner: asyncio.Runner) -> Callable[[], None]:
    model = ChatLlama70B(base_url=_URL, progress_bar=False)

    async def read() -> None:
        async for _ in model.astream("x"):
            pass

    return lambda: runner.run(read())


def _llamaindex(_runner: asyncio.Runner) -> Callable[[], None]:
    model = Llama70B(base_url=_URL, progress_bar=False)

    def read() -> None:
        for _ in model.stream_chat([ChatMessage("x")]):
            pass

    return read


def _allamaindex(runner: asyncio.Runner) -> Callable[[], None]:
    model = Llama70B(base_url=_URL, progress_bar=False)

    async def read() -> None:
        async for _ in await model.astream_chat([ChatMessage("x")]):
            pass

    return lambda: runner.run(read())


READERS: dict[str, Callable[[asyncio.Runner], Callable[[], None]]] = {
    "Client.stream": _core,
    "AsyncClient.stream": _acore,
    "ChatLlama70B.stream": _langchain,
    "ChatLlama70B.astream": _alangchain,
    "Llama70B.stream_chat": _llamaindex,
    "Llama70B.astream_chat": _allamaindex,
}


def _within(name: str, found: tuple[float, float]) -> list[str]:
    """Return what is over its budget."""
    calls, instructions = COUNTED[name]
    budgets = (calls + 3, 1.05 * instructions) if _AS_COUNTED else (1.25 * calls, 1.25 * instructions)
    return [
        f"{name}: {count:.1f} {what} a chunk, budget {budget:.1f}"
        for what, count, budget in zip(("function calls", "instructions"), found, budgets, strict=True)
        if count > budget
    ]


@pytest.mark.parametrize("tool", [False, True], ids=["text", "tool call"])
@pytest.mark.parametrize("reader", READERS)
def test_a_chunk_costs_no_more_than_its_budget(
    reader: str, tool: bool, per_chunk: PerChunk, runner: asyncio.Runner
) -> None:
    name = f"{reader}, tool call" if tool else reader
    found = per_chunk(READERS[reader](runner), tool=tool)
    print(f'    "{name}": ({found[0]:.1f}, {found[1]:.1f}),')
    assert _within(name, found) == []


@pytest.mark.parametrize("reader", READERS)
def test_one_costly_line_a_chunk_is_over_the_budget(
    reader: str, per_chunk: PerChunk, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Assembler.push

    def costly(self: Assembler, kind: str, data: str) -> Any:
        copy.deepcopy(json.loads(data) if data.startswith("{") else {})  # the line
        return push(self, kind, data)

    monkeypatch.setattr(Assembler, "push", costly)
    assert _within(reader, per_chunk(READERS[reader](runner)))
