"""A server that goes wrong on purpose: raw sockets on loopback, one path per fault, a log of what arrived.

    with FaultServer() as server:
        case = server.case("events", blocks=[delta("Hel"), delta("lo")], then="reset")
        Endpoint(case.url) ...
        case.posts                      # chat requests that arrived
        case.hangups                    # when the client closed while an answer was still going on

Each `case` has a path of its own, so that cases may run at the same time and their logs do not mix. Seconds are given
as they would be in life and multiplied by the case's `scale`: 150 s at a scale of 0.01 take 1.5 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

MODEL = "meta-llama/Llama-3.3-70B-Instruct"
_RST = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: close sends RST


class OnPurpose(ConnectionError):
    """The handler broke the connection."""


class HungUp(Exception):
    """The client closed the connection while its answer was still going on."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Case:
    """One fault, addressed by a path of its own."""

    server: FaultServer
    fault: str
    params: dict[str, Any]
    scale: float
    key: str
    log: list[Arrival] = field(default_factory=list)
    hangups: list[float] = field(default_factory=list)
    generations: int = 0
    finished: int = 0
    """Answers sent to their end."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What a handler keeps between requests."""

    @property
    def url(self) -> str:
        return f"{self.server.origin}/{self.key}"

    @property
    def posts(self) -> int:
        return sum(a.method == "POST" and a.path.endswith("/chat/completions") for a in self.log)

    @property
    def gets(self) -> int:
        return sum(a.method == "GET" for a in self.log)

    @property
    def connections(self) -> set[int]:
        """Connections the requests came over, by number."""
        return {a.connection for a in self.log}

    @property
    def open_connections(self) -> int:
        """How many of them are open now."""
        return sum(c.number in self.connections for c in list(self.server.open))

    def seconds(self, real: float) -> float:
        return real * self.scale


class Connection:
    """One TCP connection: what it receives, and whether the other side still listens."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.number = number
        self.writer = writer
        self.requests = 0
        self._reader = reader
        self._received = b""

    async def until(self, mark: bytes) -> bytes:
        while mark not in self._received:
            await self._more()
        found, _, self._received = self._received.partition(mark)
        return found + mark

    async def exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            await self._more()
        found, self._received = self._received[:size], self._received[size:]
        return found

    async def _more(self) -> None:
        data = await self._reader.read(65536)
        if not data:
            raise ConnectionResetError("closed by the client")
        self._received += data

    async def gone(self) -> None:
        """Return when the client has closed; what it sends meanwhile is kept."""
        while True:
            try:
                data = await self._reader.read(65536)
            except ConnectionError:
                return
            if not data:
                return
            self._received += data

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        self.writer.transport.abort()


class Exchange:
    """One request and the means to answer it, rightly or wrongly."""

    def __init__(self, case: Case, arrival: Arrival, connection: Connection) -> None:
        self.case = case
        self.arrival = arrival
        self.connection = connection
        self.params = case.params
        self.streaming = arrival.method == "POST" and b'"stream":true' in arrival.body

    async def sleep(self, real_seconds: float) -> None:
        await asyncio.sleep(self.case.seconds(real_seconds))

    async def raw(self, data: bytes) -> None:
        self.connection.writer.write(data)
        await self.connection.writer.drain()

    async def reply(
        self, status: int, body: bytes | dict[str, Any] = b"", *, kind: str = "application/json", **headers: str
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} x", f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + data)

    async def begin(self, *, kind: str = "text/event-stream", **headers: str) -> None:
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", "Transfer-Encoding: chunked"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    def reset(self) -> None:
        self.connection.reset()
        raise OnPurpose

    def close(self) -> None:
        raise OnPurpose

    async def answer(self, text: str = "Hello there", **params: Any) -> None:
        """Answer rightly, streamed if a stream was asked for: one word an event, `delay` seconds before each."""
        self.case.generations += 1
        if not self.streaming:
            await self.sleep(params.get("delay", 0.0))
            await self.reply(200, completion(text))
            return
        await self.begin()
        for number, word in enumerate(text.split(" ")):
            await self.sleep(params.get("delay", 0.0))
            await self.chunk(delta(word if number == 0 else " " + word))
        await self.chunk(FINISH + USAGE + DONE)
        await self.end()


Handler = Callable[[Exchange], Awaitable[None]]
FAULTS: dict[str, Handler] = {}
EVERY_PATH: set[str] = set()
"""Faults that also answer `/health`, `/v1/models` and `/tokenize`; for the others these work."""


def fault(name: str, *, every_path: bool = False) -> Callable[[Handler], Handler]:
    """Register what the path `/<name>-<n>` does."""

    def register(handler: Handler) -> Handler:
        FAULTS[name] = handler
        if every_path:
            EVERY_PATH.add(name)
        return handler

    return register


def data(value: Any) -> bytes:
    """One event holding JSON, or text as it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def chunk_of(**choice: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "delta": {}, "finish_reason": None, **choice}],
    }


def delta(text: str) -> bytes:
    return data(chunk_of(delta={"content": text}))


COUNTS = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
FINISH = data(chunk_of(finish_reason="stop"))
USAGE = data({**chunk_of(), "choices": [], "usage": COUNTS})
DONE = b"data: [DONE]\n\n"


def completion(text: str = "Hello there", **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}],
        "usage": COUNTS,
    }


def vllm_error(message: str, code: int, kind: str = "BadRequestError", param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


MODELS = {"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 4096}]}


@fault("ok")
async def _ok(x: Exchange) -> None:
    """Everything works; `text`, `delay`."""
    await x.answer(**x.params)


@fault("echo")
async def _echo(x: Exchange) -> None:
    """Works; the answer is the last message, so that a caller can tell its own answer from another's."""
    await x.answer(x.arrival.json["messages"][-1]["content"], **x.params)


@fault("silent")
async def _silent(x: Exchange) -> None:
    """Accepts and never answers."""
    x.case.generations += 1
    await asyncio.Event().wait()


@fault("drip")
async def _drip(x: Exchange) -> None:
    """Sends `head` (default: the headers of a good answer) byte by byte, `delay` seconds apart, for ever."""
    for byte in x.params.get("head", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Padding: ") + b"a" * 5000:
        await x.raw(bytes([byte]))
        await x.sleep(x.params["delay"])


@fault("half")
async def _half(x: Exchange) -> None:
    """Announces a whole body and sends half of it, for the first `times` requests; `then` as in `_part`."""
    if x.case.posts > x.params.get("times", 10**9):
        await x.answer()
        return
    x.case.generations += 1
    body = json.dumps(completion()).encode()
    await x.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
    await x.raw(body[: len(body) // 2])
    await _part(x, x.params["then"])


async def _part(x: Exchange, how: str) -> None:
    match how:
        case "stall":
            await asyncio.Event().wait()
        case "close":
            x.close()
        case "reset":
            await asyncio.sleep(0.02)  # what was sent must arrive before the reset throws it away
            x.reset()
        case "end":
            await x.end()
        case "cut":  # inside the header of a chunk
            await x.raw(b"1f")
            x.close()
        case "drip":  # the header of a chunk, a zero at a time
            while True:
                await x.raw(b"0")
                await x.sleep(x.params["delay"])
        case _:
            raise ValueError(how)


@fault("events")
async def _events(x: Exchange) -> None:
    """Streams `blocks`, `delay` seconds before each; `then` ends the stream (end, stall, close, reset, cut, drip)."""
    x.case.generations += 1
    await x.begin(**x.params.get("headers", {}))
    for block in x.params["blocks"]:
        await x.sleep(x.params.get("delay", 0.0))
        await x.chunk(block)
    await _part(x, x.params.get("then", "end"))


@fault("heartbeats")
async def _heartbeats(x: Exchange) -> None:
    """One token, then `beat` for ever."""
    await x.begin()
    await x.chunk(delta("Hel"))
    while True:
        await x.chunk(x.params.get("beat", b": ping\n\n"))
        await x.sleep(x.params["delay"])


@fault("flood")
async def _flood(x: Exchange) -> None:
    """Streams `block` until the client has enough."""
    await x.begin()
    while True:
        await x.chunk(x.params["block"])


@fault("fixed", every_path=True)
async def _fixed(x: Exchange) -> None:
    """Answers `status`, `body`, `kind`, `headers` to the first `times` chat requests, then rightly."""
    if not x.arrival.path.endswith("/chat/completions"):
        await _works(x)
    elif x.case.posts > x.params.get("times", 10**9):
        await x.answer()
    else:
        await x.reply(
            x.params.get("status", 200),
            x.params.get("body", b""),
            kind=x.params.get("kind", "application/json"),
            **x.params.get("headers", {}),
        )


@fault("bytes")
async def _bytes(x: Exchange) -> None:
    """Answers `raw`, whatever it is, and closes."""
    await x.raw(x.params["raw"])
    x.close()


@fault("reset")
async def _reset(x: Exchange) -> None:
    """Resets the first `times` requests before a byte of the answer."""
    if x.case.posts <= x.params.get("times", 10**9):
        x.reset()
    await x.answer()


@fault("closes_idle")
async def _closes_idle(x: Exchange) -> None:
    """Answers and closes the connection a little later without having said so."""
    await x.answer()
    await x.sleep(x.params["after"])
    x.close()


@fault("closes_on_reuse")
async def _closes_on_reuse(x: Exchange) -> None:
    """Closes when a second request comes over a connection."""
    if x.connection.requests > 1:
        x.close()
    await x.answer()


@fault("holds_after_done")
async def _holds_after_done(x: Exchange) -> None:
    """Says [DONE], then `more` bytes, and holds the connection open."""
    await x.begin()
    await x.chunk(delta("Hello") + FINISH + DONE)
    if more := x.params.get("more"):
        await x.chunk(more)
    await asyncio.Event().wait()


@fault("redirect", every_path=True)
async def _redirect(x: Exchange) -> None:
    """Answers `status` with `location` to everything."""
    await x.reply(x.params["status"], Location=x.params["location"])


@fault("held", every_path=True)
async def _held(x: Exchange) -> None:
    """Answers 303 to itself `hops` times, then rightly; `on_poll` maps the number of a poll to another fault."""
    polls = x.case.gets
    strange = x.params.get("on_poll", {}).get(polls) if x.arrival.method == "GET" else None
    if strange == "reset":
        x.reset()
    if strange == "stall":
        await asyncio.Event().wait()
    if isinstance(strange, int):
        await x.reply(strange)
    elif polls < x.params["hops"]:
        await x.reply(303, Location=f"/{x.case.key}/v1/chat/completions?__modal_function_call_id=fc-{x.case.posts}")
    else:
        x.streaming = x.case.log[0].json.get("stream", False)
        await x.answer()


@fault("held_then_elsewhere")
async def _held_then_elsewhere(x: Exchange) -> None:
    """Answers 303 to itself, and to the poll 303 to `location`."""
    own = f"/{x.case.key}/v1/chat/completions?__modal_function_call_id=fc-1"
    await x.reply(303, Location=own if x.arrival.method == "POST" else x.params["location"])


@fault("cold_then_login", every_path=True)
async def _cold_then_login(x: Exchange) -> None:
    """Answers 503 to the prompt, and 303 to `location` to every look."""
    if x.arrival.method == "POST":
        await x.reply(503)
    else:
        await x.reply(303, Location=x.params["location"])


@fault("cold_then_401", every_path=True)
async def _cold_then_401(x: Exchange) -> None:
    """Answers 503 to the prompt, and 401 to every look."""
    await x.reply(503 if x.arrival.method == "POST" else 401)


@fault("cold_then_500", every_path=True)
async def _cold_then_500(x: Exchange) -> None:
    """Answers 503 to the prompt, and 500 to every look."""
    await x.reply(503 if x.arrival.method == "POST" else 500)


@fault("cold_server", every_path=True)
async def _cold_server(x: Exchange) -> None:
    """A Modal Server: 503 at once until `boot` seconds after the first request (None: for ever)."""
    begun = x.case.memory.setdefault("begun", time.monotonic())
    boot = x.params["boot"]
    if boot is None or time.monotonic() - begun < x.case.seconds(boot):
        await x.reply(503, b"no replica", kind="text/plain")
    elif x.arrival.path.endswith("/chat/completions"):
        await x.answer(**x.params.get("answer", {}))
    else:
        await _works(x)


@fault("cold_function", every_path=True)
async def _cold_function(x: Exchange) -> None:
    """A Modal Web Function: holds a request while it boots, 303 with a call id each 150 s; one run per POST."""
    memory, path = x.case.memory, x.arrival.path
    begun = memory.setdefault("begun", time.monotonic())
    ready = begun + x.case.seconds(x.params["boot"])
    runs: dict[str, asyncio.Task[None]] = memory.setdefault("runs", {})
    call_id = path.partition("__modal_function_call_id=")[2]
    if not call_id:
        call_id = f"fc-{len(runs)}"
        runs[call_id] = asyncio.ensure_future(_run(x, ready))
    done, _ = await asyncio.wait({runs[call_id]}, timeout=x.case.seconds(150))
    if not done:
        await x.reply(303, Location=f"/{x.case.key}/v1/chat/completions?__modal_function_call_id={call_id}")
        return
    if x.arrival.path.endswith(("/health", "/models")):
        await _works(x)
    elif x.params.get("stream"):
        x.case.generations -= 1  # counted by the run
        x.streaming = True
        await x.answer()
    else:
        await x.reply(200, completion())


async def _run(x: Exchange, ready: float) -> None:
    await asyncio.sleep(max(0.0, ready - time.monotonic()) + x.case.seconds(x.params.get("work", 0.0)))
    if x.arrival.method == "POST":
        x.case.generations += 1


@fault("probe", every_path=True)
async def _probe(x: Exchange) -> None:
    """Healthy in every look, silent when asked for an answer."""
    if x.arrival.method == "POST":
        await asyncio.Event().wait()
    await _works(x)


@fault("mixed")
async def _mixed(x: Exchange) -> None:
    """Works, but for a share of requests picked by `pick(number of the request)`, which names another fault."""
    number = x.case.memory["count"] = x.case.memory.get("count", 0) + 1
    name, params = x.params["pick"](number)
    x.params = {**x.params, **params}
    await FAULTS[name](x)


async def _works(x: Exchange) -> None:
    """What the other paths of a healthy server say."""
    path = x.arrival.path.partition("?")[0]
    if path.endswith("/health"):
        await x.reply(200)
    elif path.endswith("/models"):
        await x.reply(200, x.params.get("models", MODELS))
    elif path.endswith("/tokenize"):
        await x.reply(200, x.params.get("tokenize", {"count": 5, "max_model_len": 4096}))
    else:
        await x.reply(404, {"detail": "Not Found"})


class FaultServer:
    """The server, in a thread of its own. `tls` serves https, on its own port as always."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.open: set[Connection] = set()
        self.strays: list[bytes] = []
        """First lines of requests whose path no case has."""
        self._cases: dict[str, Case] = {}
        self._numbers = itertools.count(1)
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faultd", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def case(self, fault_name: str, *, scale: float = 1.0, **params: Any) -> Case:
        if fault_name not in FAULTS:
            raise KeyError(fault_name)
        key = f"{fault_name}-{next(self._numbers)}"
        case = self._cases[key] = Case(self, fault_name, params, scale, key)
        return case

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self.origin = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        self._started.set()
        await self._stop.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, next(self._numbers))
        self.open.add(connection)
        try:
            while True:
                await self._one(connection)
        except (ConnectionError, HungUp, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self.open.discard(connection)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError, TimeoutError):
                await writer.wait_closed()

    async def _one(self, connection: Connection) -> None:
        head = (await connection.until(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
        body = await connection.exactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        key = path.split("://")[-1].partition("/")[2].partition("/")[0] if "://" in path else path.split("/")[1]
        case = self._cases.get(key)
        if case is None:
            self.strays.append(head.encode("latin-1"))
            connection.writer.write(b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n")
            return
        connection.requests += 1
        arrival = Arrival(method, path, headers, body, time.monotonic(), connection.number)
        case.log.append(arrival)
        await self._answered(Exchange(case, arrival, connection))

    async def _answered(self, exchange: Exchange) -> None:
        """Run the handler, and stop it when the client hangs up meanwhile."""
        case = exchange.case
        chat = "/chat/completions" in exchange.arrival.path
        handler = FAULTS[case.fault] if chat or case.fault in EVERY_PATH else _works
        answering = asyncio.ensure_future(handler(exchange))
        listening = asyncio.ensure_future(exchange.connection.gone())
        try:
            await asyncio.wait({answering, listening}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                case.hangups.append(time.monotonic())
                raise HungUp
            try:
                answering.result()
            except OnPurpose:
                raise
            except ConnectionError:
                case.hangups.append(time.monotonic())
                raise
            case.finished += 1
        finally:
            for task in (answering, listening):
                task.cancel()
            await asyncio.gather(answering, listening, return_exceptions=True)
