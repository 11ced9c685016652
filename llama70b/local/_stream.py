"""Streamed answers in vLLM's dialect. Pure: pieces of generation in, server-sent events out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama70b.local import _tools
from llama70b.local._reply import (
    Envelope,
    Piece,
    call_id,
    chat_logprobs,
    joined,
    metrics,
    prompt_details,
    text_logprobs,
)

DONE = b"data: [DONE]\n\n"


def event(body: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


async def steps(pieces: AsyncIterator[Piece], most: int) -> AsyncIterator[Piece]:
    """Fold llama.cpp's empty last event, and its end mark, into the piece before them, as vLLM sends it.

    Args:
        pieces: As llama.cpp streams them.
        most: Tokens after which it stops; only then is a piece with text held for the event after it.
    """
    held: list[Piece] = []
    async for piece in pieces:
        held.append(piece)
        if piece.finish is None and (not piece.text or piece.completion_tokens >= most):
            continue
        yield joined(held)
        held.clear()


def opening(envelope: Envelope, count: int) -> list[bytes]:
    """A chat's first events, one for each answer: the role, no text."""
    delta = {"role": "assistant", "content": ""}
    first = [{"index": index, "delta": delta, "logprobs": None, "finish_reason": None} for index in range(count)]
    extra = {"prompt_token_ids": envelope.prompt_ids, "prompt_text": None}
    return [_chunk(envelope, [choice], usage=_running(envelope, 0), **extra) for choice in first]


def closing(envelope: Envelope, answers: Sequence[Piece]) -> list[bytes]:
    """The events after the last token: the token counts, then the end mark."""
    counts = envelope.usage(sum(piece.completion_tokens for piece in answers))
    details = _without_none(prompt_details(answers, chat=envelope.chat))
    extra: dict[str, Any] = {"system_fingerprint": envelope.fingerprint}
    timings = metrics(answers)
    if timings is not None:
        extra["metrics"] = _without_none(timings)
    return [_chunk(envelope, [], usage={**counts, "prompt_tokens_details": details}, **extra), DONE]


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _running(envelope: Envelope, completion_tokens: int) -> dict[str, Any]:
    counts = envelope.usage(completion_tokens)
    return {**counts, "completion_tokens_details": None} if envelope.chat else counts


def _chunk(envelope: Envelope, choices: list[dict[str, Any]], **extra: Any) -> bytes:
    kind = "chat.completion.chunk" if envelope.chat else "text_completion"
    return event({**envelope.head(kind), "choices": choices, **extra})


@dataclass(slots=True)
class ChoiceStream:
    """Turns the pieces of one answer into events."""

    envelope: Envelope
    index: int
    _calls: _tools.CallScanner = field(default_factory=_tools.CallScanner)
    _auto: _tools.AutoScanner = field(default_factory=_tools.AutoScanner)
    _last_call: int | None = None

    def events(self, piece: Piece) -> list[bytes]:
        """The events that a piece makes: none while it is not clear yet what it is part of."""
        usage = _running(self.envelope, piece.completion_tokens)
        if not self.envelope.chat:
            return [_chunk(self.envelope, [self._text_choice(piece)], usage=usage)]
        job = self.envelope.job
        deltas = self._deltas(piece)
        if not deltas:
            if piece.finish is None and not piece.logprobs and not job.return_token_ids:
                return []
            deltas = [{}]
        choices: list[dict[str, Any]] = [
            {"index": self.index, "delta": delta, "logprobs": None, "finish_reason": None, "token_ids": None}
            for delta in deltas
        ]
        # What belongs to the piece as a whole travels with its last event.
        choices[-1] |= {"logprobs": chat_logprobs(job, piece), "token_ids": self.envelope.token_ids(piece)}
        if piece.finish is not None:
            choices[-1] |= self._end(piece)
        return [_chunk(self.envelope, [choice], usage=usage) for choice in choices]

    def _end(self, piece: Piece) -> dict[str, Any]:
        called = self._last_call is not None and self.envelope.job.tool_mode != "named"
        finish = "tool_calls" if called and piece.finish == "stop" else piece.finish
        return {"finish_reason": finish, "stop_reason": piece.stop_reason}

    def _text_choice(self, piece: Piece) -> dict[str, Any]:
        return {
            "index": self.index,
            "text": piece.text,
            "logprobs": text_logprobs(self.envelope.job, piece),
            "finish_reason": piece.finish,
            "stop_reason": piece.stop_reason,
            "prompt_token_ids": None,
            "token_ids": self.envelope.token_ids(piece),
        }

    def _deltas(self, piece: Piece) -> list[dict[str, Any]]:
        text, fragments = self._split(piece)
        if self.envelope.job.single_call:
            fragments = [fragment for fragment in fragments if fragment.index == 0]
        deltas: list[dict[str, Any]] = [{"content": text}] if text else []
        for fragment in fragments:
            if fragment.name is not None:
                head = {"id": call_id(), "type": "function", "index": fragment.index}
                deltas.append({"tool_calls": [{**head, "function": {"name": fragment.name}}]})
            if fragment.arguments:
                deltas.append(_arguments(fragment.index, fragment.arguments))
            self._last_call = fragment.index
        if piece.finish is not None and self._last_call is not None and not fragments:
            deltas.append(_arguments(self._last_call, ""))  # vLLM ends a call's stream with empty arguments
        return deltas

    def _split(self, piece: Piece) -> tuple[str, list[_tools.CallPiece]]:
        match self.envelope.job.tool_mode:
            case "none":
                return piece.text, []
            case "named":
                name = self.envelope.job.tool_name if self._last_call is None else None
                return "", [_tools.CallPiece(0, name, piece.text)] if piece.text else []
            case "required":
                return "", self._calls.feed(piece.text)
            case "auto":
                text, fragments = self._auto.feed(piece.text)
                return text + ("" if piece.finish is None else self._auto.finish()), fragments


def _arguments(index: int, text: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
