"""Fuzz the decoder and the assembler of streams: `python -m tests.fuzz.stream [libFuzzer options]`.

The first bytes of the input say where the rest, a stream, is cut into chunks. Of every second input the rest is not
the stream but what chunks of an answer are built from, field by field, with values of any kind: bytes alone seldom are
JSON.
Whatever it is, it ends in an answer or a typed error, the cutting changes nothing, and text, deltas and errors say the
same.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=["llama70b"]):
    from llama70b._assemble import Assembler
    from llama70b._sse import SSEDecoder
    from llama70b.errors import Llama70BError, ResponseTooLarge

MOST_CUTS = 8
MAX_EVENT = 4096
"""Small, so that inputs of a few KB reach the cap."""


def read(chunks: list[bytes], *, keep: bool) -> tuple[Any, ...]:
    """Return what comes of a stream, as `_stream` reads it; `keep` what had arrived when it is cut off."""
    decoder, assembler = SSEDecoder(max_event_bytes=MAX_EVENT), Assembler(request_id="r")
    deltas = []
    error: Llama70BError | None = None
    try:
        for chunk in chunks:
            for kind, data in decoder.feed(chunk):
                if not data or data.isspace():
                    continue
                delta = assembler.push(kind, data)
                if delta is not None:
                    deltas.append(delta)
                if assembler.done:
                    break
            if assembler.done:
                break
            if decoder.fault is not None:
                raise decoder.fault
    except Llama70BError as fault:
        error = assembler.interrupted(fault)
    text = "".join(delta.content for delta in deltas)
    if error is None and not assembler.finished:
        error = assembler.interrupted(assembler.unfinished())
    if error is not None:
        assert error.text.startswith(text)  # and what else came in the event that is at fault
        str(error)
        if not (keep and assembler.begun):
            return ("error", type(error).__name__, error.message, text, error.tool_calls, error.usage)
        assembler.cut_by(error)
    if (last := assembler.last()) is not None:
        deltas.append(last)
    answer = assembler.completion()
    assert error is not None or answer.text == text
    assert len([delta for delta in deltas if delta.usage is not None]) <= 1
    assert len(json.dumps(answer.raw)) > 0
    known = assembler.arrived()
    assert known["answer_chars"] >= len(text)
    logprobs = [entry for delta in deltas for entry in delta.logprobs or ()]
    assert len(answer.choices[0].logprobs or ()) == len(logprobs)
    assert all(math.isnan(entry.logprob) or isinstance(entry.logprob, float) for entry in logprobs)
    return ("answer", text, answer.message.tool_calls, answer.finish_reason, answer.usage)


FIELDS = {
    "chunk": (
        "id",
        "created",
        "model",
        "choices",
        "choices",
        "choices",
        "usage",
        "error",
        "system_fingerprint",
        "metrics",
    ),
    "choice": ("index", "delta", "delta", "delta", "finish_reason", "stop_reason", "logprobs"),
    "delta": ("role", "content", "content", "reasoning", "reasoning_content", "tool_calls", "tool_calls"),
    "call": ("index", "id", "function", "function", "type"),
    "function": ("name", "arguments", "arguments"),
    "usage": ("prompt_tokens", "completion_tokens", "prompt_tokens_details"),
    "logprobs": ("content", "content", "refusal"),
    "entry": ("token", "logprob", "bytes", "top_logprobs"),
}
INSIDE = {
    "choices": ("choice", True),
    "delta": ("delta", False),
    "tool_calls": ("call", True),
    "function": ("function", False),
    "usage": ("usage", False),
    "logprobs": ("logprobs", False),
    "content": ("entry", True),
    "top_logprobs": ("entry", True),
}
VALUES: tuple[Any, ...] = (
    None,
    0,
    1,
    -1,
    10**400,
    1.5,
    True,
    False,
    "",
    "a",
    "é\U0001f600",
    "stop",
    [],
    {},
    [None],
    {"a": 1},
)


def value(provider: Any, field: str, kind: str, depth: int) -> Any:
    """Return a value of a field: mostly what belongs there, now and then anything."""
    inner = INSIDE.get(field) if field != "content" or kind == "logprobs" else None
    if inner is None or depth == 0 or provider.ConsumeIntInRange(0, 7) == 0:
        return VALUES[provider.ConsumeIntInRange(0, len(VALUES) - 1)]
    name, many = inner
    if many:
        return [made(provider, name, depth - 1) for _ in range(provider.ConsumeIntInRange(0, 3))]
    return made(provider, name, depth - 1)


def made(provider: Any, kind: str, depth: int = 6) -> dict[str, Any]:
    """Return an object with some of the fields of its kind."""
    names = FIELDS[kind]
    chosen = [names[provider.ConsumeIntInRange(0, len(names) - 1)] for _ in range(provider.ConsumeIntInRange(1, 5))]
    return {name: value(provider, name, kind, depth) for name in chosen}


def built(provider: Any) -> bytes:
    """Return a stream of such chunks."""
    events = []
    while provider.remaining_bytes() and len(events) < 12:
        ending = ("\n\n", "\r\n\r\n", "\r\r")[provider.ConsumeIntInRange(0, 2)]
        done = provider.ConsumeIntInRange(0, 15) == 0
        events.append(
            "data: " + ("[DONE]" if done else json.dumps(made(provider, "chunk"), ensure_ascii=False)) + ending
        )
    return "".join(events).encode()


def one(given: bytes) -> None:
    """Run one input."""
    cuts, stream = given[:MOST_CUTS], given[MOST_CUTS:]
    if cuts and cuts[0] & 1:
        stream = built(atheris.FuzzedDataProvider(stream))
    places = sorted({int.from_bytes(cuts[n : n + 2], "big") % (len(stream) + 1) for n in range(0, len(cuts), 2)})
    edges = [0, *places, len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(edges)]
    for keep in (False, True):
        whole, cut = read([stream], keep=keep), read(pieces, keep=keep)
        if ResponseTooLarge.__name__ in whole or ResponseTooLarge.__name__ in cut:
            continue  # the cap on an event not yet ended counts what has arrived: a later chunk may have ended it
        assert whole == cut, (whole, cut)


def main() -> None:
    """Hand over to libFuzzer."""
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
