"""The front's HTTP side: a thin ASGI application that speaks vLLM's dialect over a llama.cpp server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from llama70b._version import __version__
from llama70b.local import _words as words
from llama70b.local._backend import LlamaCpp, payload
from llama70b.local._fields import Fields
from llama70b.local._messages import read_messages, read_tools
from llama70b.local._render import ChatTemplate
from llama70b.local._reply import Envelope, Piece, joined, read_piece
from llama70b.local._request import Job, chat_job, completion_job, render_options
from llama70b.local._sampling import Defaults
from llama70b.local._stream import DONE, ChoiceStream, closing, event, opening, steps

_T = TypeVar("_T")

_GUARDED = ("/v1", "/v2", "/inference", "/cohere")  # vLLM asks for the key on these paths only


@dataclass(frozen=True, slots=True)
class Ready:
    """A loaded model and how to speak to it."""

    backend: LlamaCpp
    template: ChatTemplate
    build: str
    vocabulary: int


@dataclass(slots=True)
class Engine:
    """What the application serves.

    Attributes:
        names: Served model names, the canonical one first.
        root: File name of the weights.
        window: Context window in tokens.
        defaults: Sampling for requests that name none.
        key: Key asked for under /v1; None asks for none.
        ready: Set when the model is loaded; until then every path answers 503.
    """

    names: tuple[str, ...]
    root: str
    window: int
    defaults: Defaults
    key: str | None
    ready: Ready | None = None
    started: int = field(default_factory=lambda: int(time.time()))

    @property
    def fingerprint(self) -> str:
        """`system_fingerprint` of the answers: the release of llama.cpp's wheel."""
        return f"xllamacpp-{self.loaded.build}"

    @property
    def loaded(self) -> Ready:
        """The loaded model; the gate lets no request through before."""
        assert self.ready is not None
        return self.ready

    def check_model(self, name: str | None) -> None:
        """Refuse a name that is not served; none at all means whatever is."""
        if name and name not in self.names:
            raise words.unknown_model(name, self.names)


class Gate:
    """Answers 503 while the model loads and 401 without the key, before anything else looks at the request."""

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        """Guard `app`."""
        self._app = app
        self._engine = engine
        self._digest = None if engine.key is None else hashlib.sha256(engine.key.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            refusal = self._refuse(scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response | None:
        if self._engine.ready is None:
            return JSONResponse(words.LOADING, status_code=503)
        if self._digest is None or not scope["path"].startswith(_GUARDED) or scope["method"] == "OPTIONS":
            return None
        header = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, given = header.partition(b" ")
        if scheme.lower() == b"bearer" and secrets.compare_digest(hashlib.sha256(given).digest(), self._digest):
            return None
        return JSONResponse(words.UNAUTHORIZED, status_code=401)


def application(engine: Engine) -> ASGIApp:
    """Return the ASGI application for an engine."""
    api = Api(engine)
    app = Starlette(
        routes=[
            Route("/health", api.health),
            Route("/version", api.version),
            Route("/v1/models", api.models),
            Route("/tokenize", api.tokenize, methods=["POST"]),
            Route("/detokenize", api.detokenize, methods=["POST"]),
            Route("/v1/chat/completions", api.chat, methods=["POST"]),
            Route("/v1/completions", api.completions, methods=["POST"]),
        ],
        exception_handlers={words.Refusal: _refused, HTTPException: _http_error, Exception: _crashed},
    )
    return Gate(app, engine)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, words.Refusal)
    return JSONResponse(error.body, status_code=error.status)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, status_code=error.status_code)


async def _crashed(_: Request, error: Exception) -> Response:
    return JSONResponse(words.engine_failed(f"{type(error).__name__}: {error}").body, status_code=500)


class Api:
    """The handlers."""

    def __init__(self, engine: Engine) -> None:
        """Serve `engine`."""
        self._engine = engine

    async def health(self, _: Request) -> Response:
        """200 with no body while llama.cpp lives."""
        return Response(status_code=200 if await self._engine.loaded.backend.alive() else 503)

    async def version(self, _: Request) -> Response:
        """Ours and llama.cpp's: a client that looks for vLLM's version must not take this for it."""
        return JSONResponse({"version": f"llama70b-{__version__}+{self._engine.fingerprint}"})

    async def models(self, _: Request) -> Response:
        """Every served name, each with the window."""
        return JSONResponse({"object": "list", "data": [self._card(name) for name in self._engine.names]})

    def _card(self, name: str) -> dict[str, Any]:
        permission = {
            "id": f"modelperm-{secrets.token_hex(8)}",
            "object": "model_permission",
            "created": self._engine.started,
            "allow_create_engine": False,
            "allow_sampling": True,
            "allow_logprobs": True,
            "allow_search_indices": False,
            "allow_view": True,
            "allow_fine_tuning": False,
            "organization": "*",
            "group": None,
            "is_blocking": False,
        }
        return {
            "id": name,
            "object": "model",
            "created": self._engine.started,
            "owned_by": "vllm",
            "root": self._engine.root,
            "parent": None,
            "max_model_len": self._engine.window,
            "permission": [permission],
        }

    async def tokenize(self, request: Request) -> Response:
        """Count and list the tokens of a text or of a conversation with its tools."""
        body = await _json(request)
        fields = Fields(body)
        self._engine.check_model(fields.text("model"))
        backend = self._engine.loaded.backend
        if "messages" in body:
            prompt = self._render(read_messages(body["messages"]), read_tools(body.get("tools")), render_options(body))
            tokens = await backend.tokenize(prompt, add_special=fields.flag("add_special_tokens"))
        elif isinstance(body.get("prompt"), str):
            special = fields.flag("add_special_tokens", default=True)
            tokens = await backend.tokenize(body["prompt"], add_special=special)
        else:
            raise words.invalid("prompt", "Field required", None)
        strings = await backend.pieces(tokens) if fields.flag("return_token_strs") else None
        answer = {"count": len(tokens), "max_model_len": self._engine.window, "tokens": tokens, "token_strs": strings}
        return JSONResponse(answer)

    async def detokenize(self, request: Request) -> Response:
        """The text of token ids."""
        body = await _json(request)
        self._engine.check_model(Fields(body).text("model"))
        tokens = body.get("tokens")
        if not isinstance(tokens, list) or not all(type(token) is int and token >= 0 for token in tokens):
            raise words.invalid("tokens", "Input should be a valid list of token ids", tokens)
        return JSONResponse({"prompt": await self._engine.loaded.backend.detokenize(tokens)})

    async def chat(self, request: Request) -> Response:
        """A chat completion."""
        body = await _json(request)
        self._engine.check_model(Fields(body).text("model"))
        job = chat_job(body, self._engine.defaults)
        if not job.messages:
            raise words.Refusal("Cannot apply chat template to an empty conversation. Provide at least one message.")
        text = self._render(job.messages, job.tools, job.render)
        return await self._answer(request, job, [await self._engine.loaded.backend.tokenize(text)])

    async def completions(self, request: Request) -> Response:
        """A completion of one or several texts."""
        body = await _json(request)
        self._engine.check_model(Fields(body).text("model"))
        job = completion_job(body, self._engine.defaults)
        backend = self._engine.loaded.backend
        special = Fields(body).flag("add_special_tokens", default=True)
        prompts = [
            await backend.tokenize(prompt, add_special=special) if isinstance(prompt, str) else list(prompt)
            for prompt in job.prompts
        ]
        return await self._answer(request, job, prompts)

    def _render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
    ) -> str:
        return self._engine.loaded.template.render(messages, tools=tools, **options)

    async def _answer(self, request: Request, job: Job, prompts: list[list[int]]) -> Response:
        window = self._engine.window
        limit = job.sampling.max_tokens
        if limit is not None and limit > window:
            raise words.too_many_output_tokens(job.max_tokens_name, limit, window)
        for prompt in prompts:
            if len(prompt) >= window:
                raise words.overflow(len(prompt), window)
        strange = [token for token in job.sampling.logit_bias if not 0 <= token < self._engine.loaded.vocabulary]
        if strange:
            raise words.strange_tokens(strange, self._engine.loaded.vocabulary)
        envelope = Envelope.of(job, job.model or self._engine.names[0], prompts, self._engine.fingerprint)
        if job.stream:
            return StreamingResponse(self._events(job, prompts, envelope), media_type="text/event-stream")
        answers = await _unless_gone(request, self._whole(job, prompts))
        # Nobody reads the answer of a client that has gone; 499 is what proxies log for it.
        return Response(status_code=499) if answers is None else JSONResponse(envelope.full(answers))

    def _streams(self, job: Job, prompts: list[list[int]]) -> list[AsyncIterator[Piece]]:
        return [
            steps(self._generate(job, prompt, answer), self._room(job, prompt))
            for prompt in prompts
            for answer in range(job.n)
        ]

    def _room(self, job: Job, prompt: Sequence[int]) -> int:
        """Most tokens the answer may have: a `max_tokens` over the rest of the window is cut, as vLLM does."""
        rest = self._engine.window - len(prompt)
        return rest if job.sampling.max_tokens is None else min(job.sampling.max_tokens, rest)

    async def _generate(self, job: Job, prompt: list[int], answer: int) -> AsyncIterator[Piece]:
        most = self._room(job, prompt)
        body = payload(prompt, job.sampling, grammar=job.grammar, answer=answer, most=most)
        began = time.monotonic()
        async for chunk in self._engine.loaded.backend.complete(body):
            elapsed_ms = (time.monotonic() - began) * 1000
            yield read_piece(chunk, elapsed_ms=elapsed_ms, keep_stop=job.sampling.keep_stop)

    async def _whole(self, job: Job, prompts: list[list[int]]) -> list[Piece]:
        async def one(stream: AsyncIterator[Piece]) -> Piece:
            return joined([piece async for piece in stream])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(stream)) for stream in self._streams(job, prompts)]
        return [task.result() for task in tasks]

    async def _events(self, job: Job, prompts: list[list[int]], envelope: Envelope) -> AsyncIterator[bytes]:
        streams = self._streams(job, prompts)
        choices = [ChoiceStream(envelope, index) for index in range(len(streams))]
        last = [Piece()] * len(streams)
        opened = not envelope.chat
        try:
            async for index, piece in _merged(streams):
                if not opened:
                    opened = True
                    for line in opening(envelope, len(choices)):
                        yield line
                last[index] = piece
                for line in choices[index].events(piece):
                    yield line
        except words.Refusal as refusal:  # the status line is out: the error travels as an event, as in vLLM
            yield event(refusal.body)
            yield DONE
            return
        for line in closing(envelope, last):
            yield line


async def _json(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").lower().split(";", maxsplit=1)[0]
    if kind != "application/json":
        problem = "Unsupported Media Type: Only 'application/json' is allowed"
        raise words.Refusal(f"1 validation error:\n  {problem}", kind="Bad Request")
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise words.invalid("", f"JSON decode error: {error}") from error
    if not isinstance(body, dict):
        raise words.invalid("", "Input should be a valid dictionary", body)
    return body


async def _unless_gone(request: Request, work: Coroutine[Any, Any, _T]) -> _T | None:
    """Run `work`, but give it up when the client hangs up: that closes the stream, which ends the generation."""

    async def hung_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    job, watch = asyncio.ensure_future(work), asyncio.ensure_future(hung_up())
    try:
        await asyncio.wait((job, watch), return_when=asyncio.FIRST_COMPLETED)
        return job.result() if job.done() else None
    except BaseExceptionGroup as group:  # one failed answer of several ends all of them with its own error
        raise group.exceptions[0] from group
    finally:
        for task in (job, watch):
            task.cancel()
        await asyncio.wait((job, watch))


async def _merged(streams: Sequence[AsyncIterator[Piece]]) -> AsyncIterator[tuple[int, Piece]]:
    """Pieces of several answers as they come, each with its answer's number."""
    queue: asyncio.Queue[tuple[int, Piece] | BaseException | None] = asyncio.Queue()

    async def pump(index: int, stream: AsyncIterator[Piece]) -> None:
        try:
            async for piece in stream:
                queue.put_nowait((index, piece))
            queue.put_nowait(None)
        except Exception as error:  # noqa: BLE001  (raised again by the reader)
            queue.put_nowait(error)

    # No TaskGroup: a generator closed early inside one would raise an exception group instead of just ending.
    tasks = [asyncio.create_task(pump(index, stream)) for index, stream in enumerate(streams)]
    try:
        running = len(tasks)
        while running:
            item = await queue.get()
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        # Not gather: Starlette cancels the waiter again and again, gather would hand that on, and a second cancellation
        # in the middle of its clean-up makes httpx leave the connection open, so that llama.cpp goes on.
        await asyncio.wait(tasks)
