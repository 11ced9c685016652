"""A loopback server whose answers are precomputed bytes, in vLLM's shape (compare `tests/unit/core/data/*.sse`).

The request's model name says what to answer:

| model | answer |
|---|---|
| `text-N` | N tokens, sent as fast as they are read |
| `drip-N-MS` | N tokens, one every MS milliseconds, each in a write of its own |
| `stamp-N-MS` | the same; every token is the server's monotonic clock in nanoseconds |
| `tool-BYTES` | one tool call with that many bytes of arguments, some four a token |
| `agent-N` | a tool call while no tool has answered, then N tokens |

Usage comes as the request's `stream_options` ask, and `stream_interval` puts that many tokens into a chunk, as in vLLM.
Each event is an HTTP chunk of its own, as uvicorn sends it.
"""

import asyncio
import contextlib
import functools
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
_SLICE = 32 * 1024
_WORDS = [" the", " all", " roses", " fade", " is", " not", " some", " quick", "ly", ",", " flowers", " therefore", "."]


def event(data: bytes) -> bytes:
    """One server-sent event as one HTTP chunk."""
    text = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(text), text)


class Shape:
    """Makes chunks as vLLM does for one request's options."""

    def __init__(self, model: str, *, usage: bool, every_usage: bool) -> None:
        self._head = {"id": "chatcmpl-9b6ade8c7f864c7a", "object": "chat.completion.chunk", "created": 1795397429}
        self._model, self._usage, self._every = model, usage, every_usage

    def chunk(self, delta: dict[str, Any], written: int, finish: str | None = None, **more: Any) -> bytes:
        """A chunk with one choice."""
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        choice |= {"stop_reason": None} if finish else {}
        choice |= {} if "role" in delta else {"token_ids": None}
        value = {**self._head, "model": self._model, "choices": [choice]}
        if self._every:
            value["usage"] = self._counts(written)
        return event(json.dumps({**value, **more}, separators=(",", ":")).encode())

    def end(self, written: int) -> bytes:
        """What follows the last choice."""
        value = {**self._head, "model": self._model, "choices": [], "usage": self._counts(written)}
        value["system_fingerprint"] = "vllm-0.32.0-84c5a78e"
        counts = event(json.dumps(value, separators=(",", ":")).encode()) if self._usage else b""
        return counts + event(b"[DONE]") + b"0\r\n\r\n"

    def begin(self) -> bytes:
        """The first chunk."""
        return self.chunk({"role": "assistant", "content": ""}, 0, prompt_token_ids=None, prompt_text=None)

    @staticmethod
    def _counts(written: int) -> dict[str, int]:
        return {"prompt_tokens": 28, "total_tokens": 28 + written, "completion_tokens": written}


def words(count: int, interval: int) -> Iterator[tuple[str, int]]:
    """Pieces of text with the number of tokens written so far."""
    for start in range(0, count, interval):
        end = min(count, start + interval)
        yield "".join(_WORDS[index % len(_WORDS)] for index in range(start, end)), end


def arguments(size: int) -> str:
    """JSON arguments of about that many bytes."""
    text = "".join(_WORDS[index % len(_WORDS)] for index in range(size))[: max(1, size - 40)]
    return json.dumps({"premises": [text], "conclusion": "Roses fade."})


@functools.lru_cache(maxsize=64)
def pieces(model: str, what: str, size: int, interval: int, *, usage: bool, every: bool) -> tuple[bytes, ...]:
    """All events of one answer."""
    shape = Shape(model, usage=usage, every_usage=every)
    made = [shape.begin()]
    if what == "tool":
        text = arguments(size)
        call = {"id": "chatcmpl-tool-841a734fa570b2d0", "type": "function", "index": 0, "function": {"name": "check"}}
        made.append(shape.chunk({"tool_calls": [call]}, 1))
        step = 4 * interval
        parts = [text[start : start + step] for start in range(0, len(text), step)]
        made += [
            shape.chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}, number + 2)
            for number, part in enumerate(parts)
        ]
        written, finish = len(parts) + 2, "tool_calls"
    else:
        made += [shape.chunk({"content": text}, written) for text, written in words(size, interval)]
        written, finish = size, "stop"
    made += [shape.chunk({}, written, finish), shape.end(written)]
    return tuple(made)


@functools.lru_cache(maxsize=64)
def joined(*key: Any, usage: bool, every: bool) -> bytes:
    """All of one answer."""
    return b"".join(pieces(*key, usage=usage, every=every))


@functools.lru_cache(maxsize=16)
def whole(model: str, what: str, size: int) -> bytes:
    """An answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(text for text, _ in words(size, 1))}
    if what == "tool":
        function = {"name": "check", "arguments": arguments(size)}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "chatcmpl-tool-1", "type": "function", "function": function}],
        }
    finish = "tool_calls" if what == "tool" else "stop"
    value = {
        "id": "chatcmpl-9b6ade8c7f864c7a",
        "object": "chat.completion",
        "created": 1795397429,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish, "stop_reason": None}],
        "usage": {"prompt_tokens": 28, "total_tokens": 28 + size, "completion_tokens": size},
    }
    return plain(json.dumps(value).encode())


def plain(body: bytes) -> bytes:
    """A JSON answer."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


async def answer(writer: asyncio.StreamWriter, asked: dict[str, Any]) -> None:
    """Write the answer to one request."""
    model = asked["model"]
    what, *numbers = model.split("-")
    size, pause_s = int(numbers[0]), (int(numbers[1]) / 1e3 if len(numbers) > 1 else 0.0)
    if what == "agent":
        what, size = ("tool", 60) if asked["messages"][-1]["role"] != "tool" else ("text", size)
    if not asked.get("stream"):
        writer.write(whole(model, what, size))
        return
    options = asked.get("stream_options") or {}
    told = {"usage": bool(options.get("include_usage")), "every": bool(options.get("continuous_usage_stats"))}
    key = (model, what, size, int(asked.get("stream_interval") or 1))
    writer.write(_HEAD)
    if not pause_s:
        body = joined(*key, **told)
        for start in range(0, len(body), _SLICE):
            writer.write(body[start : start + _SLICE])
            await writer.drain()
        return
    shape = Shape(model, usage=told["usage"], every_usage=told["every"])
    written = 0
    for piece in pieces(*key, **told):
        if what == "stamp" and b'"content":" ' in piece:
            written += 1
            piece = shape.chunk({"content": f"{time.monotonic_ns()} "}, written)  # noqa: PLW2901 - in its place
        writer.write(piece)
        await asyncio.sleep(pause_s)


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, kept alive until either side ends."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            body = await reader.readexactly(length)
            if head.startswith(b"POST"):
                await answer(writer, json.loads(body))
            else:
                writer.write(plain(b'{"data":[]}'))
            await writer.drain()
    writer.close()


async def main() -> None:
    """Listen on a free port, print it, serve until standard input ends."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with server:
        await ended


if __name__ == "__main__":
    asyncio.run(main())
