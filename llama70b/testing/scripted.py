"""A scripted vLLM on loopback: real sockets, answers decided by the test.

    server = ScriptedServer()
    server.say("Hello", "Again")                     # one answer a request, in order; the last one repeats
    server.answer(Answer(tool_calls=[("f", '{"x": 1}')]))
    ... call server.url with KEY ...
    assert server.bodies[-1]["temperature"] == 0
    server.close()

An `Answer` becomes JSON or an event stream, whichever the request asks for, in the shapes of vLLM 0.32. A `Raw` is
sent as it is. Instead of either, a function of the request may be given.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

MODEL = "meta-llama/Llama-3.3-70B-Instruct"
KEY = "test-key"
WINDOW = 4096


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Answer:
    """A chat completion, rendered as the request asks.

    Attributes:
        content: The text; streamed in pieces of words unless `pieces` is given.
        pieces: The streamed pieces, if they matter.
        tool_calls: (name, JSON text) or (id, name, JSON text).
        reasoning: Streamed before the text.
        finish_reason: Default `stop`, or `tool_calls` when there are some. None ends a stream without one.
        usage: (prompt, completion) tokens; None leaves it out.
        cumulative_usage: A count on every chunk too, as vLLM's --enable-force-include-usage sends it.
        logprobs: Tokens with their log-probabilities.
        stop_reason: vLLM's.
        metrics: vLLM's per-request metrics.
        n: How many equal choices (not streamed).
        pause_s: Before every event of a stream.
        error_after: Send this error object inside the stream after the pieces, and no end.
        cut: Close the connection in the middle, after the pieces.
        model: Served name to report; None echoes the request's.
    """

    content: str = ""
    pieces: Sequence[str] | None = None
    tool_calls: Sequence[tuple[str, ...]] = ()
    reasoning: str = ""
    finish_reason: str | None = ""
    usage: tuple[int, int] | None = (11, 7)
    cached_tokens: int | None = None
    cumulative_usage: bool = False
    logprobs: Sequence[tuple[str, float]] = ()
    stop_reason: str | int | None = None
    metrics: dict[str, float] | None = None
    n: int = 1
    pause_s: float = 0.0
    error_after: dict[str, Any] | None = None
    cut: bool = False
    model: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def parts(self) -> list[str]:
        """Return the pieces the text is streamed in."""
        return list(self.pieces) if self.pieces is not None else re.findall(r"\S+\s*|\s+", self.content)

    def calls(self) -> list[tuple[str, str, str]]:
        """Return (id, name, arguments) of every tool call."""
        return [
            (call[0], call[1], call[2]) if call[2:] else (f"chatcmpl-tool-{number}", call[0], call[1])
            for number, call in enumerate(self.tool_calls)
        ]

    def reason(self) -> str | None:
        """Return the finish reason."""
        return ("tool_calls" if self.tool_calls else "stop") if self.finish_reason == "" else self.finish_reason

    def usage_object(self, written: int | None = None) -> dict[str, Any]:
        """Return usage in the wire's form, with `written` completion tokens if given."""
        prompt, completion = self.usage or (0, 0)
        completion = completion if written is None else written
        usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        if self.cached_tokens is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens}
        return usage

    def logprobs_object(self, entries: Iterable[tuple[str, float]]) -> dict[str, Any]:
        """Return log-probabilities in the wire's form."""
        return {
            "content": [{"token": t, "logprob": p, "bytes": list(t.encode()), "top_logprobs": []} for t, p in entries]
        }

    def completion(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the whole answer as a JSON object."""
        message: dict[str, Any] = {"role": "assistant", "content": self.content or "".join(self.pieces or ())}
        if self.reasoning:
            message["reasoning"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": i, "type": "function", "function": {"name": name, "arguments": arguments}}
                for i, name, arguments in self.calls()
            ]
        choice = {
            "message": message,
            "finish_reason": self.reason(),
            "stop_reason": self.stop_reason,
            "logprobs": self.logprobs_object(self.logprobs) if self.logprobs else None,
        }
        body: dict[str, Any] = {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": 1795395670,
            "model": self.model or request.get("model"),
            "choices": [{"index": number, **choice} for number in range(self.n)],
            "system_fingerprint": "vllm-scripted",
        }
        if self.usage is not None:
            body["usage"] = self.usage_object()
        if self.metrics is not None:
            body["metrics"] = self.metrics
        return body

    def events(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the chunks of the stream in vLLM's order: role, thoughts, text, calls, end, usage."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if self.reasoning:
            deltas += [{"reasoning": word} for word in re.findall(r"\S+\s*", self.reasoning)]
        deltas += [{"content": piece} for piece in self.parts()]
        for number, (call_id, name, arguments) in enumerate(self.calls()):
            head = {"id": call_id, "type": "function", "index": number, "function": {"name": name}}
            deltas.append({"tool_calls": [head]})
            deltas += [
                {"tool_calls": [{"index": number, "function": {"arguments": arguments[at : at + 5]}}]}
                for at in range(0, len(arguments), 5)
            ]
        chunks = [self._chunk(request, {"index": 0, "delta": delta, "finish_reason": None}) for delta in deltas]
        for chunk, (token, logprob) in zip(chunks[1:], self.logprobs, strict=False):
            chunk["choices"][0]["logprobs"] = self.logprobs_object([(token, logprob)])
        if self.cumulative_usage:
            for number, chunk in enumerate(chunks):
                chunk["usage"] = self.usage_object(written=number)
        if self.reason() is not None and self.error_after is None and not self.cut:
            end = {"index": 0, "delta": {}, "finish_reason": self.reason(), "stop_reason": self.stop_reason}
            chunks.append(self._chunk(request, end))
            if self.usage is not None:
                last = self._chunk(request, None)
                last |= {"usage": self.usage_object(), "system_fingerprint": "vllm-scripted"}
                if self.metrics is not None:
                    last["metrics"] = self.metrics
                chunks.append(last)
        return chunks

    def _chunk(self, request: dict[str, Any], choice: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "id": "chatcmpl-scripted",
            "object": "chat.completion.chunk",
            "created": 1795395670,
            "model": self.model or request.get("model"),
            "choices": [] if choice is None else [choice],
        }


@dataclass
class Raw:
    """An answer sent as it is.

    Attributes:
        status: HTTP status.
        body: JSON object, text, or bytes.
        headers: Further headers.
        delay_s: Before anything is sent.
        events: Sent as an event stream instead of `body`; a dict is one `data:` line, text is sent as it is.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    events: Sequence[dict[str, Any] | str] | None = None


def error(status: int, message: str, kind: str = "BadRequestError", param: str | None = None) -> Raw:
    """Return vLLM's error answer."""
    return Raw(status, {"error": {"message": message, "type": kind, "param": param, "code": status}})


Script = Answer | Raw | Callable[[Request], "Answer | Raw"]


class ScriptedServer:
    """Serves until closed. `chat` answers come from the script; other paths from `routes`.

    Attributes:
        requests: All that arrived, in order.
        hung_up: How many clients left before their answer was complete.
        routes: Path -> answer, for everything but chat completions.
        require_key: Answer 401 to other keys.
    """

    def __init__(self, *, require_key: bool = True) -> None:
        self.requests: list[Request] = []
        self.hung_up = 0
        self.require_key = require_key
        self.left = threading.Event()
        self.lock = threading.Lock()
        self._script: list[Script] = [Answer("ok")]
        entry = {"id": MODEL, "object": "model", "max_model_len": WINDOW, "root": MODEL}
        self.routes: dict[str, Script] = {
            "/health": Raw(200, ""),
            "/v1/models": Raw(200, {"object": "list", "data": [entry]}),
            "/tokenize": self._tokenize,
        }
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL, with `/v1`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def chats(self) -> list[Request]:
        """The chat completions asked for."""
        return [request for request in self.requests if request.path.startswith("/v1/chat/completions")]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Bodies of the chat completions asked for."""
        return [request.body for request in self.chats]

    def answer(self, *script: Script) -> Self:
        """Set the chat answers, one a request; the last one repeats."""
        with self.lock:
            self._script = list(script)
        return self

    def say(self, *texts: str) -> Self:
        """Set the chat answers to these texts."""
        return self.answer(*(Answer(text) for text in texts))

    def close(self) -> None:
        """Stop serving."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def next_answer(self, request: Request) -> Answer | Raw:
        """Return what to send for a request."""
        path = request.path.split("?")[0]
        if self.require_key and path.startswith("/v1/") and request.headers.get("authorization") != f"Bearer {KEY}":
            return Raw(401, {"error": "Unauthorized"})
        if path == "/v1/chat/completions":
            if (refusal := self.refusal(request)) is not None:
                return refusal
            with self.lock:
                script = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        else:
            script = self.routes.get(path, Raw(404, {"detail": "Not Found"}))
        return script(request) if callable(script) else script

    def refusal(self, request: Request) -> Raw | None:  # noqa: ARG002 - for servers that look closer
        """Return what to send instead of the next answer, without using it up; None lets it pass."""
        return None

    @staticmethod
    def _tokenize(request: Request) -> Raw:
        """Count white-space words of everything sent, plus 10 a message: no tokenizer, but a true function of it."""
        messages = request.body.get("messages", [{"content": request.body.get("prompt", "")}])
        words = len(json.dumps([m.get("content") for m in messages]).split()) + 10 * len(messages)
        words += 20 * len(request.body.get("tools") or ())
        return Raw(200, {"count": words, "max_model_len": WINDOW, "tokens": list(range(words))})


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # clients that connect at once are not turned away
    owner: ScriptedServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a client that went away; anything else is the test's to know."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        text = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, json.loads(text) if text else {})
        with self.server.owner.lock:
            self.server.owner.requests.append(request)
        try:
            answer = self.server.owner.next_answer(request)
            if isinstance(answer, Answer):
                self._send_answer(answer, request.body)
            else:
                self._send_raw(answer)
        except (BrokenPipeError, ConnectionResetError):
            with self.server.owner.lock:
                self.server.owner.hung_up += 1
            self.server.owner.left.set()
            self.close_connection = True

    def _send_answer(self, answer: Answer, body: dict[str, Any]) -> None:
        if not body.get("stream"):
            self._send_raw(Raw(200, answer.completion(body), answer.headers))
            return
        events: list[Any] = list(answer.events(body))
        if answer.error_after is not None:
            events.append({"error": answer.error_after})
        self._stream(events, pause_s=answer.pause_s, cut=answer.cut, done=answer.reason() is not None)

    def _send_raw(self, raw: Raw) -> None:
        if raw.delay_s:
            self._pause(raw.delay_s)
        if raw.events is not None:
            self._stream(list(raw.events), pause_s=0.0, cut=False, done=False)
            return
        is_json = not isinstance(raw.body, str | bytes)
        text = json.dumps(raw.body) if is_json else raw.body
        data = text.encode() if isinstance(text, str) else text
        self.send_response(raw.status)
        headers = {"Content-Type": "application/json" if is_json else "text/plain"} | raw.headers
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: list[Any], *, pause_s: float, cut: bool, done: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if done and not cut:
            events.append("data: [DONE]\n\n")
        for event in events:
            if pause_s:
                self._pause(pause_s)
            text = event if isinstance(event, str) else f"data: {json.dumps(event, ensure_ascii=False)}\n\n"
            data = text.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        if cut:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(b"0\r\n\r\n")

    def _pause(self, seconds: float) -> None:
        """Wait, but notice a client that leaves."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0:
            readable, _, _ = select.select([self.connection], [], [], rest)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError
            if readable:
                time.sleep(min(rest, 0.01))
