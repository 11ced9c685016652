"""What one request used: read off the bytes that pass, without holding them back."""

import json
import time
from typing import Any, Final

from server.gateway_rules import ChatRequest

_MAX_LINE: Final = 1 << 20
_MAX_BODY: Final = 8 << 20
_BYTES_PER_TOKEN: Final = 4


class Meter:
    """Counts tokens and time of one request.

    Attributes:
        stream: Whether the answer is a stream of events.
        status: HTTP status of the engine's answer; 0 before there is one.
        outcome: `finished`, `aborted` by the caller, or `failed` on the way.
        finish_reason: The model's own word for why it stopped.
    """

    def __init__(self, asked: ChatRequest, *, stream: bool) -> None:
        self.stream, self.status, self.outcome, self.finish_reason = stream, 0, "failed", ""
        self._began = time.monotonic()
        self._first: float | None = None
        self._rest = b""
        self._usage: dict[str, Any] = {}
        self._events = 0
        characters = sum(len(message.model_dump_json()) for message in asked.messages)
        self._prompt_estimate = characters // _BYTES_PER_TOKEN

    def take(self, chunk: bytes) -> None:
        """Look at bytes on their way to the caller."""
        if self._first is None:
            self._first = time.monotonic()
        self._rest += chunk
        if not self.stream:
            self._rest = self._rest[:_MAX_BODY]
            return
        # Events of vLLM end their lines with \n only; anything else is passed on, and just not counted.
        *lines, self._rest = self._rest.split(b"\n")
        self._rest = self._rest[-_MAX_LINE:]
        for line in lines:
            if line.startswith(b"data: {"):
                self._events += 1
                if b'"usage"' in line or b'"finish_reason"' in line:
                    self._read(line.removeprefix(b"data: "))

    @property
    def tokens(self) -> int:
        """Tokens to charge: as reported, else estimated from what passed; 0 where the engine never answered."""
        if self._finish():
            return int(self._usage.get("prompt_tokens", 0)) + int(self._usage.get("completion_tokens", 0))
        return self._prompt_estimate + self._events if self.status == 200 else 0  # noqa: PLR2004

    @property
    def estimated(self) -> bool:
        """Whether the engine never said what the request used."""
        return not self._finish()

    def fields(self) -> dict[str, Any]:
        """Usage and times, JSON-ready."""
        self._finish()
        details = self._usage.get("prompt_tokens_details") or {}
        completion = self._usage.get("completion_tokens", self._events if self.stream else 0)
        return {
            "stream": self.stream,
            "status": self.status,
            "outcome": self.outcome,
            "finish_reason": self.finish_reason or None,
            "prompt_tokens": self._usage.get("prompt_tokens", self._prompt_estimate),
            "completion_tokens": completion,
            "cached_tokens": details.get("cached_tokens", 0),
            "estimated": self.estimated,
            "ttft_s": None if self._first is None else round(self._first - self._began, 4),
            "total_s": round(time.monotonic() - self._began, 4),
        }

    def _finish(self) -> bool:
        if not self.stream and not self._usage and self._rest:
            self._read(self._rest)
            self._rest = b""
        return bool(self._usage)

    def _read(self, text: bytes) -> None:
        try:
            value = json.loads(text)
        except ValueError:
            return  # an unfinished body of an aborted request
        if isinstance(value, dict):
            if isinstance(usage := value.get("usage"), dict):
                self._usage = usage
            for choice in value.get("choices") or ():
                self.finish_reason = choice.get("finish_reason") or self.finish_reason


def entry(meter: Meter, request_id: str, key: str, model: str) -> dict[str, Any]:
    """One line of the request log: no prompt, no answer, no secret.

    Args:
        meter: What was used.
        request_id: Id that the engine's log carries too.
        key: Name of the key, never the key.
        model: Model asked for.

    Returns:
        A JSON-ready entry for the usage ledger.
    """
    head = {"event": "request", "t": round(time.time(), 3), "request_id": request_id, "key": key, "model": model}
    return {**head, **meter.fields()}
