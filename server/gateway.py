"""The gateway: a small ASGI application on a CPU in front of the GPU. Optional.

It answers what Modal's proxy cannot: what the endpoint is doing and how long that will take (`GET /status`, never wakes
the GPU), wake it once however often asked (`POST /wake`), let through only checked chat requests, say 503 with
`Retry-After` and a body that OpenAI clients understand while it is cold, and write down what every request used.

    status, wake        server.status: what the engine's supervisor wrote, read and doubted
    rules               server.gateway_rules: paths, hosts, keys, caps, rates (pure)
    this file           sockets: reading within limits, streaming through, passing disconnects on
"""

import asyncio
import contextlib
import hashlib
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import httpx
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from server.command import MAX_BODY_BYTES
from server.gateway_log import Meter, entry
from server.gateway_openapi import document
from server.gateway_rules import (
    Allowance,
    ChatRequest,
    Refused,
    WakeOptions,
    check_host,
    check_key,
    check_route,
    parse_chat,
    request_id,
)
from server.phases import Phase
from server.status import Status, Store, load_record, observe

# Stock OpenAI clients wait what Retry-After says, up to a minute or two; beyond that they give up at once.
_LONGEST_RETRY_S: Final = 60
_SHORTEST_RETRY_S: Final = 2
_WAKE_REPEAT_S: Final = 60.0
_PASSED_BACK: Final = ("content-type", "retry-after")
_UPSTREAM_TIMEOUT: Final = httpx.Timeout(connect=10.0, read=600.0, write=30.0, pool=None)


class Waker(Protocol):
    """How the GPU is woken; on your own machine it never sleeps and this does nothing."""

    async def wake(self) -> None:
        """Cause a boot. Returns at once."""

    async def hold(self, seconds: int) -> None:
        """Keep one replica up for so long, also without requests."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the gateway is told.

    Attributes:
        upstream: Base URL of the engine.
        upstream_headers: Credentials for it; never logged.
        keys: Name -> SHA-256 of the key that a caller must send.
        served_names: Model names that exist.
        boot_s: Boot estimate while none was observed.
        allowed_hosts: Host names served; empty allows every well-formed one.
        tokens_per_minute: Per key.
        concurrent: Requests at once, per key.
        body_s: Seconds that a body may take to arrive.
        log: Receives one entry per chat request.
    """

    upstream: str
    upstream_headers: Mapping[str, str] = field(repr=False)
    keys: Mapping[str, bytes] = field(repr=False)
    served_names: tuple[str, ...]
    boot_s: float
    log: Callable[[dict[str, Any]], None]
    allowed_hosts: frozenset[str] = frozenset()
    tokens_per_minute: int = 200_000
    concurrent: int = 32
    body_s: float = 10.0


class Gateway:
    """The ASGI application.

    Args:
        config: What it is told.
        store: Where the engine's supervisor writes.
        waker: How the GPU is woken.
        transport: For tests; the real network where it is None.
    """

    def __init__(
        self, config: Config, store: Store, waker: Waker, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        if not config.keys:
            raise ValueError("the gateway needs at least one key: an open one would spend your GPU on strangers")
        self._config, self._store, self._waker, self._transport = config, store, waker, transport
        self._allowances = {name: Allowance(config.tokens_per_minute, config.concurrent) for name in config.keys}
        self._waking = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None
        self._salts = {name: hashlib.sha256(b"salt" + digest).hexdigest()[:32] for name, digest in config.keys.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event of ASGI."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._route(request, send)
        except Refused as refused:
            response = _refusal(refused)
        except ClientDisconnect:
            return
        if response is not None:
            await response(scope, receive, send)

    async def _route(self, request: Request, send: Send) -> Response | None:
        check_host([value for name, value in request.scope["headers"] if name == b"host"], self._config.allowed_hosts)
        raw_path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
        raw_path = raw_path.split(b"?", 1)[0]
        check_route(raw_path, request.method)
        name = check_key(
            [value for header, value in request.scope["headers"] if header == b"authorization"], self._config.keys
        )
        match raw_path:
            case b"/status":
                return JSONResponse((await self._status()).to_json())
            case b"/openapi.json":
                return JSONResponse(document())
            case b"/wake":
                return await self._wake_route(request)
            case b"/v1/chat/completions":
                return await self._chat(request, send, name)
            case _:
                return await self._read_through(raw_path.decode())

    async def _status(self) -> Status:
        def read() -> Status:
            wake = self._store.get("wake")
            return observe(load_record(self._store), wake["at"] if wake else None, time.time(), self._config.boot_s)

        # The store may be a network away; the event loop carries everyone's streams.
        return await asyncio.to_thread(read)

    async def _wake(self) -> Status:
        """Wake the GPU unless it is awake or waking; however many ask at once, the engine is poked once."""
        async with self._waking:
            status = await self._status()
            pending = status.phase is Phase.SCHEDULING and status.since_s < _WAKE_REPEAT_S
            if pending or status.phase in {Phase.READY, Phase.LOADING, Phase.COMPILING, Phase.WARMING}:
                return status
            await asyncio.to_thread(self._store.put, "wake", {"at": time.time()})
            try:
                await self._waker.wake()
            except httpx.HTTPError as error:
                raise Refused(
                    503, "wake_failed", f"the engine's address does not answer: {type(error).__name__}"
                ) from error
            return await self._status()

    async def _wake_route(self, request: Request) -> Response:
        hold_s = 0
        if body := await self._body(request):
            try:
                options = WakeOptions.model_validate_json(body)
            except ValidationError:
                raise Refused(400, "invalid_value", 'send nothing, or {"hold_s": 0..3600}', param="hold_s") from None
            hold_s = options.hold_s
        status = await self._wake()
        if hold_s:
            until = time.time() + hold_s
            await asyncio.to_thread(self._store.put, "lease", {"until": until})
            await self._waker.hold(hold_s)
        return JSONResponse(status.to_json(), status_code=200 if status.phase is Phase.READY else 202)

    async def _ready_or_refuse(self) -> None:
        status = await self._status()
        if status.phase is Phase.READY:
            return
        if status.phase is not Phase.DRAINING:
            status = await self._wake()
        raise _warming(status)

    async def _read_through(self, path: str) -> Response:
        await self._ready_or_refuse()
        try:
            answer = await self._http().get(
                f"{self._config.upstream}{path}", headers=dict(self._config.upstream_headers)
            )
        except httpx.TransportError as error:
            raise _gone(error) from error
        return Response(answer.content, answer.status_code, _headers(answer))

    async def _chat(self, request: Request, send: Send, name: str) -> Response | None:
        asked = parse_chat(await self._body(request))
        if asked.model not in self._config.served_names:
            served = ", ".join(self._config.served_names)
            raise Refused(
                404, "model_not_found", f"model {asked.model[:80]!r} is not served; served: {served}", param="model"
            )
        await self._ready_or_refuse()
        allowance = self._allowances[name]
        allowance.admit(time.monotonic())
        identifier = request_id(request.headers.get("x-request-id")) or uuid.uuid4().hex
        meter = Meter(asked, stream=bool(asked.stream))
        try:
            outgoing = self._outgoing(asked, identifier, self._salts[name])
            return await self._pass_through(request, send, outgoing, meter)
        finally:
            allowance.release(time.monotonic(), meter.tokens)
            self._config.log(entry(meter, identifier, name, asked.model))

    def _outgoing(self, asked: ChatRequest, identifier: str, salt: str) -> httpx.Request:
        headers = {
            **self._config.upstream_headers,
            "content-type": "application/json",
            "accept-encoding": "identity",
            "x-request-id": identifier,
        }
        url = f"{self._config.upstream}/v1/chat/completions"
        return self._http().build_request("POST", url, content=asked.to_upstream(salt), headers=headers)

    async def _pass_through(
        self, request: Request, send: Send, outgoing: httpx.Request, meter: Meter
    ) -> Response | None:
        """Send the request on and stream the answer back; a caller who leaves takes the generation along."""

        async def exchange() -> Response | None:
            try:
                answer = await self._http().send(outgoing, stream=True)
            except httpx.TransportError as error:
                meter.outcome = "failed"
                raise _gone(error) from error
            try:
                meter.status = answer.status_code
                if answer.status_code in {502, 503, 504} and "json" not in answer.headers.get("content-type", ""):
                    raise _gone(None)  # Modal's proxy, not vLLM: the container went away
                await _stream(answer, send, meter, outgoing.headers["x-request-id"])
            finally:
                await answer.aclose()
            return None

        return await _until_disconnect(exchange(), request, meter)

    async def _body(self, request: Request) -> bytes:
        """Read the body within its limits of size and time."""
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > MAX_BODY_BYTES:
            raise Refused(413, "body_too_large", f"at most {MAX_BODY_BYTES} bytes are read")
        body = bytearray()
        try:
            async with asyncio.timeout(self._config.body_s):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise Refused(413, "body_too_large", f"at most {MAX_BODY_BYTES} bytes are read")
        except TimeoutError:
            raise Refused(408, "body_too_slow", f"the body did not arrive within {self._config.body_s:g} s") from None
        return bytes(body)

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            # Concurrency is bounded by the allowances; httpx 0.28's pool loses slots when requests are cancelled.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=4.0)
            self._client = httpx.AsyncClient(
                timeout=_UPSTREAM_TIMEOUT, limits=limits, trust_env=False, transport=self._transport
            )
        return self._client

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._client is not None:
            await self._client.aclose()
        await send({"type": "lifespan.shutdown.complete"})


async def _stream(answer: httpx.Response, send: Send, meter: Meter, identifier: str) -> None:
    """Pass bytes on as they come, the first headers included."""
    headers = [*_headers(answer).items(), ("x-request-id", identifier), ("cache-control", "no-store")]
    if meter.stream:
        headers.append(("x-accel-buffering", "no"))
    await send(
        {
            "type": "http.response.start",
            "status": answer.status_code,
            "headers": [(key.encode(), value.encode("latin-1")) for key, value in headers],
        }
    )
    try:
        async for chunk in answer.aiter_raw():
            meter.take(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except httpx.TransportError as error:
        meter.outcome = "failed"
        if not meter.stream:
            raise  # half a JSON body: the server closes the connection, which a client must read as broken
        await send({"type": "http.response.body", "body": _gone(error).to_event(), "more_body": False})
        return
    meter.outcome = "finished"
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_disconnect(work: Awaitable[Response | None], request: Request, meter: Meter) -> Response | None:
    """Run `work`, and cancel it when the caller goes: vLLM stops generating when its connection closes."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_disconnected(request))
    try:
        done, _ = await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        meter.outcome = "aborted"
        return None
    finally:
        for each in (task, watch):
            each.cancel()
            with contextlib.suppress(asyncio.CancelledError, Refused, httpx.HTTPError):
                await each


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _headers(answer: httpx.Response) -> dict[str, str]:
    return {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}


def _refusal(refused: Refused) -> JSONResponse:
    headers = {} if refused.retry_after is None else {"retry-after": str(refused.retry_after)}
    if refused.status == httpx.codes.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(refused.to_json(), refused.status, headers)


def _warming(status: Status) -> Refused:
    """503 with the wait that is left, in words an OpenAI client shows and a header it obeys."""
    wait = status.eta_s if status.eta_s is not None else status.boot_s
    retry_after = int(min(max(wait, _SHORTEST_RETRY_S), _LONGEST_RETRY_S))
    if status.phase is Phase.FAILED:
        return Refused(
            503, "model_failed", f"the engine failed: {status.error}; waking it again", retry_after=retry_after
        )
    if status.phase is Phase.DRAINING:
        return Refused(503, "model_draining", "the engine is shutting down", retry_after=retry_after)
    shards = f", {status.done}/{status.total} shards" if status.phase is Phase.LOADING and status.total else ""
    message = f"the model is waking: {status.phase.value}{shards}, about {wait:.0f} s left"
    return Refused(503, "model_warming", message, retry_after=retry_after)


def _gone(error: httpx.TransportError | None) -> Refused:
    """The engine said it was ready and is not there: crashed or preempted a moment ago."""
    why = f" ({type(error).__name__})" if error is not None else ""
    return Refused(503, "engine_gone", f"the engine went away{why}; ask again", retry_after=_SHORTEST_RETRY_S)
