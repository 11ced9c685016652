"""Streams of a fixed input without sockets, and counts of what reading them takes: the same on every machine."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from llama70b import _http
from llama70b._ops import OK, Context, Reply, Send
from llama70b._readlimit import ReadLimit

_ROOT = Path(__file__).resolve().parents[3]
_OURS = tuple(f"{_ROOT / name}/" for name in ("llama70b", "langchain_llama70b", "llamaindex_llama70b"))
_PER_PIECE = 10
_FEW, _MANY = 100, 300

Reader = Callable[[int], None]
"""Reads a stream of so many chunks to its end."""


def body(chunks: int, *, tool: bool = False) -> list[bytes]:
    """A stream as vLLM sends it (`tests/unit/core/data`), in pieces of ten events."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1795397429, "model": "m"}

    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, "token_ids": None}
        return b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"

    begun = {"index": 0, "id": "call-1", "type": "function", "function": {"name": "check", "arguments": '{"text": "'}}
    deltas: list[dict[str, Any]] = [{"tool_calls": [begun]} if tool else {"role": "assistant", "content": ""}]
    part = {"tool_calls": [{"index": 0, "function": {"arguments": " fade"}}]} if tool else {"content": " fade"}
    events = [event(delta) for delta in [*deltas, *[part] * chunks]]
    if tool:
        events.append(event({"tool_calls": [{"index": 0, "function": {"arguments": '"}'}}]}))
    usage = {"prompt_tokens": 28, "total_tokens": 28 + chunks, "completion_tokens": chunks}
    events += [event({}, "tool_calls" if tool else "stop")]
    events += [b"data: " + json.dumps({**head, "choices": [], "usage": usage}).encode() + b"\n\n", b"data: [DONE]\n\n"]
    return [b"".join(events[start : start + _PER_PIECE]) for start in range(0, len(events), _PER_PIECE)]


class Opened:
    """An open body that is there already; what `_opened` has, without a connection."""

    def __init__(self, pieces: list[bytes], context: Context) -> None:
        self.pieces = (piece for piece in pieces)
        self.limit = ReadLimit(60.0, context.now)

    def drain(self) -> None:
        """Nothing is left."""

    def close(self) -> None:
        """Nothing is open."""


class AsyncOpened(Opened):
    """The same, awaited."""

    def __init__(self, pieces: list[bytes], context: Context) -> None:
        super().__init__(pieces, context)
        self.pieces: AsyncIterator[bytes] = self._awaited(pieces)

    @staticmethod
    async def _awaited(pieces: list[bytes]) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def drain(self) -> None:
        """Nothing is left."""

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bytes]]:
    """Every exchange is answered with the body that stands under "body"."""
    held: dict[str, list[bytes]] = {}
    monkeypatch.setenv("LLAMA70B_LEDGER", "off")

    def exchange(_self: Any, _op: Send, context: Context) -> Reply:
        return Reply(OK, {"content-type": "text/event-stream"}, opened=Opened(held["body"], context))

    async def aexchange(_self: Any, _op: Send, context: Context) -> Reply:
        return Reply(OK, {"content-type": "text/event-stream"}, opened=AsyncOpened(held["body"], context))

    monkeypatch.setattr(_http.SyncHttp, "exchange", exchange)
    monkeypatch.setattr(_http.AsyncHttp, "exchange", aexchange)
    return held


def _calls(work: Callable[[], None]) -> int:
    """Function calls, of Python and of C, and resumptions of generators, that `work` makes in all code."""
    count = 0

    def seen(_frame: FrameType, what: str, _argument: object) -> None:
        nonlocal count
        count += what in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def _instructions(work: Callable[[], None]) -> int:
    """Bytecode instructions that `work` executes in our three packages."""
    count = 0

    def inside(_frame: FrameType, what: str, _argument: object) -> Any:
        nonlocal count
        count += what == "opcode"
        return inside

    def entered(frame: FrameType, _what: str, _argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(_OURS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return inside

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.fixture
def per_chunk(answered: dict[str, list[bytes]]) -> Callable[..., tuple[float, float]]:
    """Counts for one chunk more: (function calls, instructions of ours)."""

    def count(read: Callable[[], None], *, tool: bool = False) -> tuple[float, float]:
        def run(chunks: int) -> None:
            answered["body"] = body(chunks, tool=tool)
            read()

        run(_FEW)  # imports and caches
        gc.collect()
        gc.disable()
        try:
            found = []
            for how in (_calls, _instructions):
                few, many = how(lambda: run(_FEW)), how(lambda: run(_MANY))
                found.append((many - few) / (_MANY - _FEW))
        finally:
            gc.enable()
        return found[0], found[1]

    return count


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all streams of a test."""
    with asyncio.Runner() as one:
        yield one
