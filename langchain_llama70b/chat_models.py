"""`ChatLlama70B`: the endpoint as a LangChain chat model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from langchain_llama70b import _blocks as _blocks  # noqa: PLC0414 - registers the translator of content blocks
from langchain_llama70b._answers import StructuredAnswers
from langchain_llama70b._chunks import ChunkMaker
from langchain_llama70b._connection import Llama70BConnection
from langchain_llama70b._convert import combined_usage, to_result
from langchain_llama70b._counting import TokenCounting
from langchain_llama70b._errors import as_langchain
from langchain_llama70b._events import STREAM_CONFIG, async_listener, lent, listener, recorded, thread_of
from langchain_llama70b._names import PROVIDER
from langchain_llama70b._request import SAMPLING, Plan, plan
from llama70b import Endpoint, ModelInfo, StructuredOutputs
from llama70b._names import ENGINE_FIELDS
from llama70b.client import OnProgress
from llama70b.errors import Llama70BError

_DEFAULTS = (*SAMPLING, *(name for name in Llama70BConnection.model_fields if name in ENGINE_FIELDS))


class ChatLlama70B(StructuredAnswers, TokenCounting):
    """Llama 3.3 70B behind a self-hosted vLLM, as a chat model.

        llm = ChatLlama70B()                          # LLAMA70B_BASE_URL, LLAMA70B_API_KEY
        llm.invoke("Say hello").content
        llm.bind_tools([search]).stream("...")
        llm.with_structured_output(Report).invoke("...")

    Constructing connects to nothing and needs no URL; a missing one is reported by the first call. None means "not
    sent": the server's default applies. Every sampling argument may also be given to a call, where it beats the
    constructor's, and so may every further field of vLLM's request by its name (`priority=1`), or of a newer vLLM's
    in `extra_body`; `extra_headers` go with one call. A name nobody knows is refused, because vLLM would ignore it in
    silence. An answer that vLLM granted fewer than `max_tokens` says so in `response_metadata["granted_tokens"]`, and
    in a warning of the log.

    Args:
        model: Served name. Environment: `LLAMA70B_MODEL`. (also: model_name)
        base_url: `https://host[/v1]`. Environment: `LLAMA70B_BASE_URL`. Fixed: no call can change it.
        api_key: Bearer key or Modal proxy token, or a function that returns the present one (an async one serves
            async calls only). Environment: `LLAMA70B_API_KEY`, sent only to the URL set beside it. Pickles and traces
            do not hold it.
        modal_key: Modal proxy token id, with `modal_secret`, when `api_key` is vLLM's own.
        modal_secret: Modal proxy token secret.
        temperature: Sampling temperature; 0 is greedy.
        top_p: Nucleus mass in (0, 1].
        max_tokens: Most tokens to generate. (also: max_completion_tokens)
        stop: Texts that end the answer. (also: stop_sequences)
        seed: Seed of the sampler.
        n: How many answers `generate` returns; 1 when streaming.
        presence_penalty: In [-2, 2].
        frequency_penalty: In [-2, 2].
        logprobs: Return log-probabilities in `response_metadata["logprobs"]`.
        top_logprobs: Alternatives per token.
        top_k: Sample from this many likeliest tokens.
        min_p: Least probability relative to the likeliest token's.
        repetition_penalty: Above 1 discourages repetition.
        structured_outputs: vLLM's constraint: a dict with one of `regex`, `choice` (list, Enum, Literal), `grammar`,
            `structural_tag`, `json`, `json_object`.
        extra_body: Further fields of the request.
        timeout: Seconds for a call once the endpoint is awake, or `llama70b.Timeouts`. (also: request_timeout)
        max_retries: Retries of faults that are safe to retry; a cold start costs none.
        streaming: Stream behind `invoke` too.
        context_window: Tokens, for `profile`, until `warm_up` or a token count reads the server's.
        max_connections: Most requests in flight.
        ingress: How the endpoint answers while it sleeps; "auto" finds out.
        session_affinity: Send a hash of LangGraph's `thread_id` as `Modal-Session-ID`, so that a conversation stays on
            the replica that has its earlier turns cached. None means on `*.modal.direct` only.
        allow_insecure: Permit plain http to another machine.
        price_per_hour: Dollars an hour that the container costs; then `response_metadata["cost"]` estimates every
            answer's. Environment: `LLAMA70B_PRICE_PER_HOUR`, or `LLAMA70B_PROFILE` for a list price.
        on_progress: Told of every step of a cold start. Callback handlers get `llama70b_cold_start` events too.
        progress_bar: Show a bar while waking; None shows one on a terminal and in a notebook.
        on_interrupt: "return": a stream that is cut off after it has begun ends with what had arrived and
            `finish_reason` "interrupted" in `response_metadata`. "raise": with an error that carries it.
    """

    @property
    def _llm_type(self) -> str:
        return "llama70b-chat"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """What makes two models answer differently; part of the cache's key, so the URL is in and no credential."""
        params: dict[str, Any] = {"model": self.model, "model_name": self.model, "base_url": self.base_url}
        names = (*_DEFAULTS, "stop", "output_version")
        params.update((name, value) for name in names if (value := getattr(self, name)) is not None)
        if isinstance(self.structured_outputs, StructuredOutputs):
            constraint = self.structured_outputs.as_dict()
            params["structured_outputs"] = {name: value for name, value in constraint.items() if value is not None}
        if self.extra_body:
            params["extra_body"] = self.extra_body
        return params

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        model = kwargs.get("model")
        params = LangSmithParams(
            ls_provider=PROVIDER, ls_model_type="chat", ls_model_name=model if isinstance(model, str) else self.model
        )
        temperature = kwargs.get("temperature", self.temperature)
        if temperature is not None:
            params["ls_temperature"] = temperature
        max_tokens = kwargs.get("max_tokens", kwargs.get("max_completion_tokens", self.max_tokens))
        if max_tokens is not None:
            params["ls_max_tokens"] = max_tokens
        stops = self.stop if stop is None else stop
        if stops:
            params["ls_stop"] = [stops] if isinstance(stops, str) else list(stops)
        return params

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        return combined_usage(llm_outputs)

    def _plan(self, messages: Sequence[BaseMessage], stop: Sequence[str] | None, given: Mapping[str, Any]) -> Plan:
        defaults = {name: value for name in _DEFAULTS if (value := getattr(self, name)) is not None}
        defaults["stop"] = self.stop
        defaults["extra_body"] = self.extra_body
        if self.structured_outputs is not None:
            defaults["structured_outputs"] = self.structured_outputs
        return plan(messages, defaults=defaults, stop=stop, given=given)

    def _options(
        self, call: Plan, endpoint: Endpoint, on_progress: OnProgress, run: BaseRunManager | None
    ) -> dict[str, Any]:
        """Return what a client's call takes besides the request."""
        headers = {**self._session_headers(endpoint, thread_of(run)), **call.headers}
        options = {"timeout": call.timeout, "max_retries": call.max_retries, "on_progress": on_progress}
        return {**options, "headers": headers} if headers else options

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            call = self._plan(messages, stop, kwargs)
            client = self._client()
            tell = listener(run_manager, call.on_progress)
            with recorded(run_manager):
                completion = client.chat(call.request, **self._options(call, client.endpoint, tell, run_manager))
        except Llama70BError as error:
            raise as_langchain(error) from error.__cause__
        self._note_answer()
        return to_result(completion, call.answer_tool, call.request.max_tokens)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            call = self._plan(messages, stop, kwargs)
            client = await self._async_client()
            tell = async_listener(run_manager, call.on_progress)
            options = self._options(call, client.endpoint, tell, run_manager)
            with recorded(run_manager):
                completion = await client.chat(call.request, **options)
        except Llama70BError as error:
            raise as_langchain(error) from error.__cause__
        self._note_answer()
        return to_result(completion, call.answer_tool, call.request.max_tokens)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        try:
            call = self._plan(messages, stop, kwargs)
            make = ChunkMaker(call.answer_tool, call.request.max_tokens)
            client = self._client()
            tell = listener(run_manager, call.on_progress)
            options = self._options(call, client.endpoint, tell, run_manager)
            with recorded(run_manager):  # for the call's beginning only: this generator shares its caller's context
                stream = client.stream(call.request, on_interrupt=call.on_interrupt, **options)
            with stream:
                for delta in stream:
                    if (chunk := make.chunk(delta)) is not None:
                        if run_manager is not None:
                            run_manager.on_llm_new_token(delta.content, chunk=chunk)
                        yield chunk
                self._note_answer()
                yield make.last(stream.completion)
        except Llama70BError as error:
            raise as_langchain(error) from error.__cause__

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            call = self._plan(messages, stop, kwargs)
            make = ChunkMaker(call.answer_tool, call.request.max_tokens)
            client = await self._async_client()
            tell = async_listener(run_manager, call.on_progress)
            options = self._options(call, client.endpoint, tell, run_manager)
            with recorded(run_manager):
                stream = await client.stream(call.request, on_interrupt=call.on_interrupt, **options)
            async with stream:
                async for delta in stream:
                    if (chunk := make.chunk(delta)) is not None:
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(delta.content, chunk=chunk)
                        yield chunk
                self._note_answer()
                yield make.last(stream.completion)
        except Llama70BError as error:
            raise as_langchain(error) from error.__cause__

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - the base class's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Return the answer; see `BaseChatModel.invoke`."""
        token = STREAM_CONFIG.set(ensure_config(config))
        try:
            return super().invoke(input, config, stop=stop, **kwargs)
        finally:
            STREAM_CONFIG.reset(token)

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - the base class's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Return the answer; see `BaseChatModel.ainvoke`."""
        token = STREAM_CONFIG.set(ensure_config(config))
        try:
            return await super().ainvoke(input, config, stop=stop, **kwargs)
        finally:
            STREAM_CONFIG.reset(token)

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - the base class's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Yield the answer in chunks; see `BaseChatModel.stream`. A cold start is told to the call's callbacks."""
        config = {**ensure_config(config), "run_id": (config or {}).get("run_id") or uuid4()}
        chunks = super().stream(input, config, stop=stop, **kwargs)
        # A cold start happens before the first chunk, so the config is lent for that step only: a generator shares
        # its caller's context, and what stayed set between two steps would leak into it.
        token = STREAM_CONFIG.set(lent(config, self.callbacks))
        try:
            first = next(chunks)
        except StopIteration:
            return
        finally:
            STREAM_CONFIG.reset(token)
        yield first
        yield from chunks

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - the base class's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Yield the answer in chunks, see `stream`."""
        config = {**ensure_config(config), "run_id": (config or {}).get("run_id") or uuid4()}
        whole = cast("AsyncGenerator[AIMessageChunk, None]", super().astream(input, config, stop=stop, **kwargs))
        async with aclosing(whole) as chunks:
            token = STREAM_CONFIG.set(lent(config, self.callbacks))
            try:
                first = await anext(chunks)
            except StopAsyncIteration:
                return
            finally:
                STREAM_CONFIG.reset(token)
            yield first
            async for chunk in chunks:
                yield chunk

    def warm_up(
        self, on_progress: OnProgress | None = None, *, timeout: float | None = None, probe: bool = False
    ) -> float:
        """Wake the endpoint, wait until it serves, and read its context window into `profile`.

        Args:
            on_progress: Told of every step, besides the model's own listener and the surrounding run, which gets
                `llama70b_cold_start` events.
            timeout: Seconds to wait at most; None takes `timeouts.cold_start`.
            probe: Ask for one token too: an engine can hang behind a healthy `/health`.

        Returns:
            Seconds waited, 0.0 if it was awake.

        Raises:
            ColdStartTimeout: Not ready in time.
            EndpointUnavailable: With `probe`: it says it is ready and does not answer.
        """
        try:
            client = self._client()
            waited = client.wait_until_ready(listener(None, on_progress), timeout=timeout, probe=probe)
            served = client.models()
        except Llama70BError as error:
            raise as_langchain(error) from error.__cause__
        self._note_served(served)
        return waited

    async def awarm_up(
        self,
        on_progress: OnProgress | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the core enforces it
        probe: bool = False,
    ) -> float:
        """Wake the endpoint; see `warm_up`. `on_progress` may return an awaitable."""
        try:
            client = await self._async_client()
            waited = await client.wait_until_ready(async_listener(None, on_progress), timeout=timeout, probe=probe)
            served = await client.models()
        except Llama70BError as error:
            raise as_langchain(error) from error.__cause__
        self._note_served(served)
        return waited

    def _note_served(self, served: Sequence[ModelInfo]) -> None:
        self._note_answer()
        self._learn_window(next((info.max_model_len for info in served if info.id == self.model), None))
