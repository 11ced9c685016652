"""The events of a chat stream as `Delta`s, and all of them as one `Completion`. No I/O."""

from __future__ import annotations

from typing import Any

from llama70b import _wire
from llama70b._status import Refusal, error_in_answer, refusal_in
from llama70b.errors import IncompleteStream, Llama70BError, ProtocolError
from llama70b.types import Completion, Delta, ToolCall, ToolCallDelta, Usage

MAX_STREAM_BYTES = 64 * 1024 * 1024
_TEXT = (str, type(None))  # a tuple: a union costs a microsecond a fragment
INTERRUPTED = "interrupted"
"""`finish_reason` of an answer that was cut off and is returned all the same (`on_interrupt="return"`)."""


class _Call:
    """A tool call under construction."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self, call_id: str | None) -> None:
        self.id = call_id
        self.name = ""
        self.arguments: list[str] = []


class Assembler:
    """Turn events into deltas, and remember enough to tell what had arrived when a stream breaks.

    Attributes:
        done: `[DONE]` was seen; nothing after it is read.
    """

    def __init__(self, *, request_id: str | None = None) -> None:
        self.done = False
        self._request_id = request_id
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._slots: dict[int, int] = {}  # the wire's index -> the call now meant by it
        self._logprobs: list[Any] = []  # as received
        self._finish_reason: str | None = None
        self._stop_reason: str | int | None = None
        self._usage: Usage | None = None
        self._raw_usage: dict[str, Any] | None = None
        self._usage_given = False
        self._head: dict[str, Any] = {}
        self._metrics: dict[str, Any] | None = None
        self._cut_by: dict[str, str] | None = None

    def push(self, kind: str, data: str) -> Delta | None:
        """Take one event; return what it adds, None if that is nothing.

        Raises:
            ProtocolError: It is not a chunk.
            Llama70BError: It is an error the server reports inside the stream.
        """
        if data == "[DONE]":
            self.done = True
            return None
        chunk = _wire.json_object(data, what="an event of the stream")
        choices = chunk.get("choices")
        if kind == "error" or not isinstance(choices, list) or chunk.get("error"):
            raise self._no_chunk(kind, chunk)
        if not self._head:
            self._head = {name: chunk.get(name) for name in ("id", "created", "model", "system_fingerprint")}
        if (usage := _wire.usage(chunk.get("usage"))) is not None:
            self._usage, self._raw_usage = usage, chunk["usage"]
        if fingerprint := chunk.get("system_fingerprint"):
            self._head["system_fingerprint"] = fingerprint  # vLLM sends it on the last chunk only
        if isinstance(metrics := chunk.get("metrics"), dict):
            self._metrics = metrics
        if not choices:
            return self._usage_only(chunk)
        choice = choices[0]
        if not isinstance(choice, dict):
            raise ProtocolError("a choice of the stream is not an object")
        if choice.get("index"):
            raise ProtocolError("the stream holds more than one answer: ask for n=1")
        return self._delta(choice, chunk)

    def _delta(self, choice: dict[str, Any], chunk: dict[str, Any]) -> Delta:
        delta = Delta(raw=chunk)
        piece = choice.get("delta")
        if isinstance(piece, dict):
            content = piece.get("content")
            if content:
                if not isinstance(content, str):
                    raise ProtocolError(f"a piece of content is {type(content).__name__}, not text")
                delta.content = content
                self._text.append(content)
            if (thought := piece.get("reasoning") or piece.get("reasoning_content")) and isinstance(thought, str):
                delta.reasoning = thought
                self._reasoning.append(thought)
            if calls := piece.get("tool_calls"):
                delta.tool_calls = self._fragments(calls)
        if reason := choice.get("finish_reason"):  # "" is no reason: some servers send it with every piece
            self._finish_reason = delta.finish_reason = str(reason)
            self._stop_reason = delta.stop_reason = choice.get("stop_reason")
        if choice.get("logprobs") is not None and (logprobs := _wire.logprobs(choice["logprobs"])) is not None:
            delta.logprobs = logprobs
            self._logprobs.extend(choice["logprobs"]["content"])
        return delta

    def _usage_only(self, chunk: dict[str, Any]) -> Delta | None:
        if self._usage is None or self._usage_given:
            return None
        self._usage_given = True
        return Delta(usage=self._usage, raw=chunk)

    def _no_chunk(self, kind: str, chunk: dict[str, Any]) -> Llama70BError:
        refusal = refusal_in(chunk)
        if refusal is None and kind == "error":
            refusal = refusal_in({"error": chunk}) if chunk else Refusal(body=chunk)
        if refusal is None:
            return ProtocolError("an event of the stream has no choices", request_id=self._request_id)
        return error_in_answer(refusal, request_id=self._request_id, where="the stream")

    def _fragments(self, value: Any) -> tuple[ToolCallDelta, ...]:
        if not isinstance(value, list):
            raise ProtocolError(f"tool calls of the stream are {type(value).__name__}, not a list")
        fragments = []
        for position, item in enumerate(value):
            if not isinstance(item, dict):
                raise ProtocolError("a tool call of the stream is not an object")
            function = item.get("function")
            function = function if isinstance(function, dict) else {}
            call_id, name, arguments = item.get("id"), function.get("name"), function.get("arguments")
            if not (isinstance(call_id, _TEXT) and isinstance(name, _TEXT) and isinstance(arguments, _TEXT)):
                raise ProtocolError("a tool call of the stream has an id, a name or arguments that are not text")
            slot = self._slot(item.get("index"), position, call_id, name)
            fragment = ToolCallDelta(index=slot, id=call_id, name=name, arguments=arguments or "")
            call = self._calls.get(slot)
            if call is None:
                call = self._calls[slot] = _Call(call_id)
            call.id = call.id or call_id
            call.name = call.name or name or ""
            call.arguments.append(fragment.arguments)
            fragments.append(fragment)
        return tuple(fragments)

    def _slot(self, index: Any, position: int, call_id: str | None, name: str | None) -> int:
        """Return the call a fragment belongs to.

        A missing index means the position. Some servers send index 0 for every call: a new id with a name then
        starts the next one, and fragments without an id belong to the one begun last under their index.
        """
        index = index if isinstance(index, int) else position
        slot = self._slots.get(index)
        if slot is None:
            slot = self._slots[index] = index if index not in self._calls else self._next_slot()
        known = self._calls.get(slot)
        if known is not None and known.id and call_id and call_id != known.id:
            begun = next((n for n, call in self._calls.items() if call.id == call_id), None)
            if begun is None and name:
                begun = self._slots[index] = self._next_slot()
            slot = slot if begun is None else begun
        return slot

    def _next_slot(self) -> int:
        return max(self._calls, default=-1) + 1

    def last(self) -> Delta | None:
        """Return usage that came with the chunks but never on one of its own; call at the end of the stream."""
        if self._usage is None or self._usage_given:
            return None
        self._usage_given = True
        return Delta(usage=self._usage, raw={**self._head, "choices": [], "usage": self._raw_usage})

    @property
    def finished(self) -> bool:
        """Whether the answer has said why it ended."""
        return self._finish_reason is not None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls so far."""
        return tuple(
            ToolCall(id=call.id or f"call_{index}", name=call.name, arguments="".join(call.arguments))
            for index, call in sorted(self._calls.items())
        )

    @property
    def begun(self) -> bool:
        """Whether any part of the answer had arrived."""
        return bool(self._text or self._calls or self._reasoning)

    @property
    def pieces(self) -> int:
        """Pieces of text and fragments of tool calls so far: about one a token."""
        fragments = sum(len(call.arguments) for call in self._calls.values())
        return len(self._text) + len(self._reasoning) + fragments

    def arrived(self) -> dict[str, Any]:
        """Return what a record of the run says of what has arrived; no text."""
        model = self._head.get("model")
        parts = [*self._text, *(part for call in self._calls.values() for part in call.arguments)]
        return {
            "model": model if isinstance(model, str) else None,
            "usage": self._usage,
            "finish_reason": self._finish_reason,
            "answer_chars": sum(map(len, parts)),
        }

    def interrupted(self, error: Llama70BError) -> Llama70BError:
        """Put all that had arrived on an error, and return it."""
        error.text, error.tool_calls, error.usage = "".join(self._text), self.tool_calls, self._usage
        return error

    def unfinished(self) -> IncompleteStream:
        """Return the error for a stream that ended without `finish_reason`."""
        return IncompleteStream(
            "the stream ended without finish_reason: the answer is cut off", request_id=self._request_id
        )

    def cut_by(self, error: Llama70BError) -> Delta:
        """Take what has arrived for the answer, `finish_reason` "interrupted"; return the delta that says so."""
        self._finish_reason = INTERRUPTED
        self._cut_by = {"type": type(error).__name__, "message": error.message}
        choice = {"index": 0, "delta": {}, "finish_reason": INTERRUPTED}
        return Delta(finish_reason=INTERRUPTED, raw={**self._head, "choices": [choice], "error": self._cut_by})

    def completion(self) -> Completion:
        """Return the whole answer.

        Raises:
            IncompleteStream: The stream ended without `finish_reason`.
        """
        if self._finish_reason is None:
            raise self.unfinished()
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text)}
        if self._reasoning:
            message["reasoning"] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.tool_calls
            ]
        choice: dict[str, Any] = {
            "index": 0,
            "message": message,
            "finish_reason": self._finish_reason,
            "stop_reason": self._stop_reason,
        }
        if self._logprobs:
            choice["logprobs"] = {"content": self._logprobs}
        raw: dict[str, Any] = {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._raw_usage}
        if self._metrics is not None:
            raw["metrics"] = self._metrics
        if self._cut_by is not None:
            raw["error"] = self._cut_by
        return _wire.completion(raw)
