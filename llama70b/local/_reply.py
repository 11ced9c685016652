"""Whole answers in vLLM's dialect, built from what llama.cpp generated. Pure.

The dialect is that of the deployment, which runs with `--enable-prompt-tokens-details`, `--enable-force-include-usage`
and `--enable-per-request-metrics`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama70b.local import _tools
from llama70b.local._request import Job

_LEAST_LOGPROB = -9999.0  # vLLM's floor; llama.cpp says null for a probability of zero


@dataclass(frozen=True, slots=True)
class Timing:
    """Where one answer's time went.

    Attributes:
        cached_tokens: Prompt tokens found in the cache.
        read_tokens: Prompt tokens computed.
        prompt_ms: From the first prompt token's computation to the first answer token.
        answer_ms: From the first answer token to the last.
        total_ms: From the request to the last answer token.
    """

    cached_tokens: int
    read_tokens: int
    prompt_ms: float
    answer_ms: float
    total_ms: float

    def metrics(self, completion_tokens: int) -> dict[str, float | None]:
        """Timings by vLLM's names (`build_per_request_timing_metrics`)."""
        busy = self.prompt_ms + self.answer_ms
        return {
            "time_to_first_token_ms": self.prompt_ms,
            "generation_time_ms": self.answer_ms,
            "queue_time_ms": max(0.0, self.total_ms - busy),
            "mean_itl_ms": self.answer_ms / (completion_tokens - 1) if completion_tokens > 1 else None,
            "tokens_per_second": completion_tokens / busy * 1000 if busy > 0 else None,
        }


@dataclass(frozen=True, slots=True)
class Piece:
    """One step of generation, as llama.cpp streams it.

    Attributes:
        text: New text.
        tokens: New token ids.
        logprobs: llama.cpp's `completion_probabilities`, empty unless asked for.
        finish: "stop" or "length" on the last piece.
        stop_reason: The stop text that ended it, None for the model's own end.
        completion_tokens: Tokens so far, the end mark included.
        timing: On the last piece.
    """

    text: str = ""
    tokens: tuple[int, ...] = ()
    logprobs: tuple[Mapping[str, Any], ...] = ()
    finish: str | None = None
    stop_reason: str | None = None
    completion_tokens: int = 0
    timing: Timing | None = None


def read_piece(chunk: Mapping[str, Any], *, elapsed_ms: float, keep_stop: bool = False) -> Piece:
    """Read one event of llama.cpp's `/completion` stream.

    Args:
        chunk: The event.
        elapsed_ms: Since the request.
        keep_stop: Make the stop text part of the answer.
    """
    stopping = str(chunk.get("stopping_word") or "")
    text = str(chunk["content"])
    finish, timing = None, None
    if chunk["stop"]:
        finish = "length" if chunk["stop_type"] == "limit" else "stop"
        text += stopping if keep_stop else ""
        spent = chunk["timings"]
        timing = Timing(
            int(spent["cache_n"]), int(spent["prompt_n"]), spent["prompt_ms"], spent["predicted_ms"], elapsed_ms
        )
    return Piece(
        text=text,
        tokens=tuple(chunk.get("tokens") or ()),
        logprobs=tuple(chunk.get("completion_probabilities") or ()),
        finish=finish,
        stop_reason=stopping or None,
        completion_tokens=int(chunk["tokens_predicted"]),
        timing=timing,
    )


def joined(pieces: Sequence[Piece]) -> Piece:
    """Several pieces as one."""
    last = pieces[-1]
    return Piece(
        text="".join(piece.text for piece in pieces),
        tokens=tuple(token for piece in pieces for token in piece.tokens),
        logprobs=tuple(entry for piece in pieces for entry in piece.logprobs),
        finish=last.finish,
        stop_reason=last.stop_reason,
        completion_tokens=last.completion_tokens,
        timing=last.timing,
    )


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all messages of one answer share.

    Attributes:
        job: The request.
        model: Name to answer under.
        prompts: Token ids of each prompt.
        fingerprint: `system_fingerprint`.
        id: Of the answer.
        created: Unix seconds.
    """

    job: Job
    model: str
    prompts: Sequence[Sequence[int]]
    fingerprint: str
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def of(cls, job: Job, model: str, prompts: Sequence[Sequence[int]], fingerprint: str) -> Envelope:
        """Give the answer an id of the right kind."""
        return cls(job, model, prompts, fingerprint, f"{'cmpl' if job.prompts else 'chatcmpl'}-{secrets.token_hex(8)}")

    @property
    def chat(self) -> bool:
        """Whether this answers a chat, not `/v1/completions`."""
        return not self.job.prompts

    @property
    def prompt_ids(self) -> list[int] | None:
        """A chat's `prompt_token_ids`, if asked for."""
        return list(self.prompts[0]) if self.job.return_token_ids else None

    def token_ids(self, piece: Piece) -> list[int] | None:
        """`token_ids` of a choice, if asked for."""
        return list(piece.tokens) if self.job.return_token_ids else None

    def head(self, kind: str) -> dict[str, Any]:
        """The fields every message begins with."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def usage(self, completion_tokens: int) -> dict[str, Any]:
        """Token counts without details."""
        prompt = sum(map(len, self.prompts))
        return {
            "prompt_tokens": prompt,
            "total_tokens": prompt + completion_tokens,
            "completion_tokens": completion_tokens,
        }

    def full(self, answers: Sequence[Piece]) -> dict[str, Any]:
        """The answer to a request that is not streamed."""
        make = self._choice if self.chat else self._text_choice
        choices = [make(index, piece) for index, piece in enumerate(answers)]
        details = prompt_details(answers, chat=self.chat) | {"multimodal_tokens": None}
        counts = self.usage(sum(piece.completion_tokens for piece in answers))
        timings = metrics(answers)
        body = {
            **self.head("chat.completion" if self.chat else "text_completion"),
            "choices": choices,
            "service_tier": None,
            "system_fingerprint": self.fingerprint,
            "usage": {**counts, "prompt_tokens_details": details, "completion_tokens_details": None},
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None if timings is None else {**timings, "speculative_decoding": None},
        }
        if self.chat:
            body |= {"prompt_logprobs": None, "prompt_token_ids": self.prompt_ids, "prompt_text": None}
        return body

    def _choice(self, index: int, piece: Piece) -> dict[str, Any]:
        content, calls = content_and_calls(self.job, piece.text)
        finish = piece.finish
        if (self.job.tool_mode == "auto" and calls) or (self.job.tool_mode == "required" and finish == "stop"):
            finish = "tool_calls"
        message: dict[str, Any] = {"role": "assistant", "content": content}
        message |= dict.fromkeys(("refusal", "annotations", "audio", "function_call"))
        if calls:
            message["tool_calls"] = [
                {"id": call_id(), "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in calls
            ]
        message["reasoning"] = None
        return {
            "index": index,
            "message": message,
            "logprobs": chat_logprobs(self.job, piece),
            "finish_reason": finish,
            "stop_reason": piece.stop_reason,
            "token_ids": self.token_ids(piece),
            "routed_experts": None,
        }

    def _text_choice(self, index: int, piece: Piece) -> dict[str, Any]:
        prompt = self.prompts[index // self.job.n]
        return {
            "index": index,
            "text": piece.text,
            "logprobs": text_logprobs(self.job, piece),
            "finish_reason": piece.finish,
            "stop_reason": piece.stop_reason,
            "token_ids": self.token_ids(piece),
            "prompt_logprobs": None,
            "prompt_token_ids": list(prompt) if self.job.return_token_ids else None,
            "routed_experts": None,
        }


def metrics(answers: Sequence[Piece]) -> dict[str, float | None] | None:
    """Timings of a lone answer; several cannot be told apart, so vLLM says none."""
    (first, *others) = answers
    return None if others or first.timing is None else first.timing.metrics(first.completion_tokens)


def prompt_details(answers: Sequence[Piece], *, chat: bool) -> dict[str, Any]:
    """How many prompt tokens came from the cache; how many went into it, vLLM says of chats only."""
    timings = [piece.timing for piece in answers if piece.timing is not None]
    created = sum(timing.read_tokens for timing in timings) if chat else None
    return {"cached_tokens": sum(timing.cached_tokens for timing in timings), "created_cache_tokens": created}


def content_and_calls(job: Job, text: str) -> tuple[str | None, list[_tools.Call]]:
    """Split a whole answer into text and tool calls, by the rules of the request's `tool_choice`."""
    content: str | None = ""
    match job.tool_mode:
        case "none":
            return text, []
        case "named":
            # Blank arguments make no call, as in vLLM.
            calls = [_tools.Call(job.tool_name or "", text)] if text.strip() else []
        case "required":
            calls = _tools.forced_calls(text)
        case "auto":
            calls = _tools.calls_in_text(text)
            content = None if calls else text
    return content, calls[:1] if job.single_call else calls


def call_id() -> str:
    """A tool call's id, as vLLM makes them."""
    return f"chatcmpl-tool-{secrets.token_hex(8)}"


def chat_logprobs(job: Job, piece: Piece) -> dict[str, Any] | None:
    """Log-probabilities of a piece in the chat's shape; None unless asked for."""
    top = job.sampling.top_logprobs
    if top is None:
        return None
    return {
        "content": [
            {**_logprob(entry), "top_logprobs": [_logprob(other) for other in entry["top_logprobs"][:top]]}
            for entry in piece.logprobs
        ]
    }


def text_logprobs(job: Job, piece: Piece) -> dict[str, Any] | None:
    """Log-probabilities of a piece in the shape of `/v1/completions`; None unless asked for."""
    if job.sampling.top_logprobs is None:
        return None
    chosen = [_logprob(entry) for entry in piece.logprobs]
    offsets, at = [], 0
    for entry in chosen:
        offsets.append(at)
        at += len(entry["token"])
    return {
        "text_offset": offsets,
        "token_logprobs": [entry["logprob"] for entry in chosen],
        "tokens": [entry["token"] for entry in chosen],
        "top_logprobs": [
            {other["token"]: _logprob(other)["logprob"] for other in entry["top_logprobs"]} for entry in piece.logprobs
        ],
    }


def _logprob(entry: Mapping[str, Any]) -> dict[str, Any]:
    logprob = entry.get("logprob")
    logprob = _LEAST_LOGPROB if logprob is None else max(float(logprob), _LEAST_LOGPROB)
    return {"token": entry["token"], "logprob": logprob, "bytes": entry["bytes"]}
