"""`Llama70B`: the endpoint as a LlamaIndex model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import BaseModel, SecretStr
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.tools.types import BaseTool

from llama70b import Secret, StructuredOutputs, Timeouts, TokenCount
from llama70b._names import ENGINE_FIELDS
from llama70b.client import OnInterrupt, OnProgress
from llama70b.endpoint import DEFAULT_CONTEXT_WINDOW, Ingress
from llamaindex_llama70b._connection import default_model
from llamaindex_llama70b._convert import completion_response
from llamaindex_llama70b._events import announce, chat_events, completion_events
from llamaindex_llama70b._guard import DEFAULT_OUTPUT, TEMPLATE_RESERVE
from llamaindex_llama70b._names import check_names, renamed
from llamaindex_llama70b._request import GuardMode
from llamaindex_llama70b._streaming import Held
from llamaindex_llama70b._structured import Structured
from llamaindex_llama70b._structured_llm import StructuredLlama70B
from llamaindex_llama70b._tools import openai_tool, selections, tool_choice, wire_choice

_KEY = str | SecretStr | Secret | None


class Llama70B(Structured):
    """A self-hosted Llama-3.3-70B as a LlamaIndex model.

        llm = Llama70B()                    # LLAMA70B_BASE_URL, LLAMA70B_API_KEY from the environment
        llm.complete("Say hello")
        Settings.llm = llm

    Nothing is connected before the first call. Every method takes request fields as keyword arguments (`temperature`,
    `max_tokens`, `stop`, `seed`, `regex`, `choice`, `grammar`, `json_schema`, `response_format`, `top_k` ...; also
    `timeout`, `max_retries`, `context_guard`, `on_interrupt`); they win over `additional_kwargs`, which win over the
    fields.

    Args:
        model: Name the server serves the model under; None reads `LLAMA70B_MODEL`.
        base_url: `https://host[/v1]`; None reads `LLAMA70B_BASE_URL`.
        api_key: None reads `LLAMA70B_API_KEY`. In no repr, dump, event or pickle.
        modal_key: Modal proxy token id, with `modal_secret`, when `api_key` is vLLM's own.
        modal_secret: Modal proxy token secret.
        temperature: 0 is greedy. None, here and below: not sent, the server's default applies.
        top_p: Nucleus mass in (0, 1].
        max_tokens: Most tokens to generate; None lets the server use what is left of the window.
        stop: Texts that end the answer; `REACT_STOP` suits `ReActAgent`.
        seed: Seed of the sampler.
        presence_penalty: In [-2, 2].
        frequency_penalty: In [-2, 2].
        logprobs: Return log-probabilities.
        top_logprobs: Alternatives per token.
        top_k: vLLM: sample from the k likeliest.
        min_p: vLLM: least probability relative to the likeliest.
        repetition_penalty: vLLM: above 0, 1 is none.
        structured_outputs: vLLM: one constraint on every answer: `{"regex": ...}`, `choice`, `grammar`, `json`.
        extra_body: Further request fields, sent as they are.
        timeout: Seconds for a call once the endpoint is awake, or `llama70b.Timeouts`.
        max_retries: Retries after the first attempt. A cold start costs none.
        max_connections: Most requests in flight.
        context_window: Tokens, instead of what the server says.
        ingress: How a sleeping endpoint answers; `auto` finds out.
        allow_insecure: Permit plain http to another machine.
        price_per_hour: Dollars an hour that the container costs; then `additional_kwargs["cost"]` estimates every
            answer's. None reads `LLAMA70B_PRICE_PER_HOUR`, or `LLAMA70B_PROFILE` for a list price.
        strict: Constrain tool arguments to their schema.
        context_guard: What to do before sending what cannot fit the window: `error`, `trim` the oldest turns, `shrink`
            `max_tokens`, or `off`.
        additional_kwargs: Further request fields by their own names.
        on_progress: Told of every step of a cold start; `ColdStartEvent`s are dispatched too.
        progress_bar: Show a bar while waking; None shows one on a terminal.
        on_interrupt: "return": a stream that is cut off after it has begun ends with what had arrived and
            `finish_reason` "interrupted". "raise": with an error that carries it.
        **kwargs: Core's own: `system_prompt` (also applied by `chat`, where the conversation has no system turn),
            `callback_manager`, `pydantic_program_mode`, `output_parser` ... Other integrations' names (`api_base`) for
            the same things are taken too, and vLLM's further request fields by name.

    Raises:
        ConfigurationError: `base_url` cannot work, or an argument has no meaning.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: _KEY = None,
        modal_key: _KEY = None,
        modal_secret: _KEY = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: str | list[str] | None = None,
        seed: int | None = None,
        presence_penalty: float | None = None,
        frequency_penalty: float | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        top_k: int | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        structured_outputs: StructuredOutputs | dict[str, Any] | None = None,
        extra_body: dict[str, Any] | None = None,
        timeout: float | Timeouts | None = None,
        max_retries: int = 2,
        max_connections: int = 512,
        context_window: int | None = None,
        ingress: Ingress = "auto",
        allow_insecure: bool = False,
        price_per_hour: float | None = None,
        strict: bool = True,
        context_guard: GuardMode = "error",
        additional_kwargs: dict[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        progress_bar: bool | None = None,
        on_interrupt: OnInterrupt = "raise",
        **kwargs: Any,
    ) -> None:
        given = {
            "model": model or default_model(),
            "base_url": base_url,
            "api_key": api_key,
            "modal_key": modal_key,
            "modal_secret": modal_secret,
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
            "stop": stop,
            "seed": seed,
            "presence_penalty": presence_penalty,
            "frequency_penalty": frequency_penalty,
            "logprobs": logprobs,
            "top_logprobs": top_logprobs,
            "top_k": top_k,
            "min_p": min_p,
            "repetition_penalty": repetition_penalty,
            "structured_outputs": structured_outputs,
            "extra_body": extra_body,
            "timeout": timeout,
            "max_retries": max_retries,
            "max_connections": max_connections,
            "context_window": context_window,
            "ingress": ingress,
            "allow_insecure": allow_insecure,
            "price_per_hour": price_per_hour,
            "strict": strict,
            "context_guard": context_guard,
            "additional_kwargs": additional_kwargs,
            "on_progress": on_progress,
            "progress_bar": progress_bar,
            "on_interrupt": on_interrupt,
        } | renamed(kwargs)
        engine = {name: given.pop(name) for name in ENGINE_FIELDS - set(type(self).model_fields) if name in given}
        check_names(given, type(self).model_fields, type(self).__name__)
        given["extra_body"] = {**engine, **(extra_body or {})}
        given["additional_kwargs"] = additional_kwargs or {}
        super().__init__(**given)
        if self.base_url is not None:
            self._endpoint()  # a URL that cannot work is said here; none at all, at the first call

    @classmethod
    def class_name(cls) -> str:
        """Return the id of this class in serialised components."""
        return "Llama70B"

    @property
    def metadata(self) -> LLMMetadata:
        """What packing and agents go by.

        `context_window` is the server's `max_model_len` (asked once, two seconds at most, 4096 while it sleeps), less
        48 tokens for the chat template, of which LlamaIndex's packing does not know. `num_output` is `max_tokens`, or
        512, and at most half the window.
        """
        return self._metadata(self._window())

    def _metadata(self, window: int) -> LLMMetadata:
        return LLMMetadata(
            context_window=max(1, window - TEMPLATE_RESERVE),
            num_output=max(1, min(self.max_tokens or DEFAULT_OUTPUT, window // 2)),
            is_chat_model=True,
            is_function_calling_model=True,
            model_name=self.model,
            system_role=MessageRole.SYSTEM,
        )

    def to_payload(self) -> dict[str, Any]:
        """Return what instrumentation events say of this model: no credential, and no request is made for it."""
        window = self._known_window() or DEFAULT_CONTEXT_WINDOW
        known = {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens}
        return {"class_name": self.class_name(), **self._metadata(window).model_dump(), **known}

    # -- chat --

    @chat_events
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return a whole answer.

        Args:
            messages: The conversation; text only.
            **kwargs: Request fields of this call, see the class.

        Returns:
            The message (text, thoughts, tool calls), `raw` as a plain dict, and in `additional_kwargs` usage,
            `finish_reason`, timing and more.

        Raises:
            Llama70BError: See the tree in `llama70b.errors`.
        """
        return self._answer(messages, kwargs)

    @chat_events
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return a whole answer; see `chat`."""
        return await self._aanswer(messages, kwargs)

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
        """Return a generator of the growing answer; arguments and errors as for `chat`.

        Every element has the new text in `delta` and all so far in `message`. The last has an empty `delta` and what
        `chat` would have returned: usage, `finish_reason`, timing. Nothing is sent before the first `next`; closing
        the generator closes the connection, and the server stops.
        """
        held = Held()

        def begin(_self: Any, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
            return held.keep(self._stream(messages, kwargs))

        return held.closing(llm_chat_callback()(begin)(self, messages, **kwargs))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        """Return an async generator of the growing answer; see `stream_chat`."""
        held = Held()

        async def begin(
            _self: Any, messages: Sequence[ChatMessage], **kwargs: Any
        ) -> AsyncGenerator[ChatResponse, None]:
            return held.keep(await self._astream(messages, kwargs))

        return held.aclosing(await llm_chat_callback()(begin)(self, messages, **kwargs))

    # -- complete --

    @completion_events
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the answer to one user turn; see `chat`."""
        return completion_response(self._answer(self._turn(prompt, formatted), kwargs))

    @completion_events
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Return the answer to one user turn; see `chat`."""
        return completion_response(await self._aanswer(self._turn(prompt, formatted), kwargs))

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse, None, None]:
        """Return a generator of the growing answer to one user turn; see `stream_chat`."""
        held = Held()

        def begin(_self: Any, prompt: str, formatted: bool, **kwargs: Any) -> Generator[CompletionResponse, None, None]:
            stream = held.keep(self._stream(self._turn(prompt, formatted), kwargs))
            return (completion_response(response) for response in stream)

        return held.closing(llm_completion_callback()(begin)(self, prompt, formatted, **kwargs))

    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> AsyncGenerator[CompletionResponse, None]:
        """Return an async generator of the growing answer to one user turn; see `stream_chat`."""
        held = Held()

        async def begin(
            _self: Any, prompt: str, formatted: bool, **kwargs: Any
        ) -> AsyncGenerator[CompletionResponse, None]:
            stream = held.keep(await self._astream(self._turn(prompt, formatted), kwargs))
            return (completion_response(response) async for response in stream)

        return held.aclosing(await llm_completion_callback()(begin)(self, prompt, formatted, **kwargs))

    # -- tools --

    def _prepare_chat_with_tools(  # noqa: PLR0917 - core's signature
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: ARG002 - as above
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return keyword arguments for `chat`; core looks for `tool_required` in this signature."""
        messages = list(chat_history or ())  # the caller's list stays as it is
        if user_msg is not None:
            given = ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg
            messages.append(given)
        if not tools:
            return {"messages": messages, **kwargs}
        return {
            "messages": messages,
            "tools": [openai_tool(tool) for tool in tools],
            "tool_choice": wire_choice(_tool_choice(tool_choice, required=tool_required)),
            "parallel_tool_calls": allow_parallel_tool_calls,
            **kwargs,
        }

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,
        **kwargs: Any,  # noqa: ARG002 - core's signature
    ) -> list[ToolSelection]:
        """Return the tool calls of an answer, or, so far, of one element of a stream (cheap: nothing is parsed again).

        Args:
            response: From `chat` or `stream_chat`.
            error_on_no_tool_call: Raise when there is none, or one cannot be used. Without it, arguments that are no
                JSON object become `{"malformed_arguments": ..., "error": ...}`, which an agent's tool refuses visibly.
            **kwargs: Not used.

        Raises:
            ToolCallMissing, ToolArgumentsInvalid, OutputTruncated: See there; all are ValueErrors.
        """
        return selections(response, demanded=error_on_no_tool_call)

    def as_structured_llm(self, output_cls: type[BaseModel], **kwargs: Any) -> StructuredLLM:
        """Return a model whose answers are objects of `output_cls`, constrained by the server."""
        kwargs.setdefault("callback_manager", self.callback_manager)
        kwargs.setdefault("rate_limiter", getattr(self, "rate_limiter", None))
        return StructuredLlama70B(llm=self, output_cls=output_cls, **kwargs)

    # -- the endpoint --

    def warm_up(
        self, *, timeout: float | None = None, probe: bool = False, on_progress: OnProgress | None = None
    ) -> float:
        """Wake the endpoint and wait until it serves the model.

        Args:
            timeout: Seconds to wait at most; None takes `Timeouts.cold_start`.
            probe: Then ask for one token, because an engine can hang behind a healthy `/health`.
            on_progress: Told of every step, besides the model's own listener and the `ColdStartEvent`s.

        Returns:
            Seconds waited, 0.0 if it was awake.

        Raises:
            ColdStartTimeout: Not ready in time.
        """
        waited = self.client.wait_until_ready(_both(on_progress), timeout=timeout, probe=probe)
        self._awake()
        return waited

    async def awarm_up(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the core's name, and the core enforces it
        probe: bool = False,
        on_progress: OnProgress | None = None,
    ) -> float:
        """Wake the endpoint and wait until it serves the model; see `warm_up`."""
        waited = await self.aclient.wait_until_ready(_both(on_progress), timeout=timeout, probe=probe)
        self._awake()
        return waited

    def count_tokens(self, messages: Sequence[ChatMessage], **kwargs: Any) -> TokenCount:
        """Return the exact length of a prompt, template and tools included, counted by the server. Wakes it."""
        return self.client.count_tokens(self._understood(messages, kwargs).request)

    async def acount_tokens(self, messages: Sequence[ChatMessage], **kwargs: Any) -> TokenCount:
        """Return the exact length of a prompt; see `count_tokens`."""
        return await self.aclient.count_tokens(self._understood(messages, kwargs).request)


_tool_choice = tool_choice  # `_prepare_chat_with_tools` has an argument of that name


def _both(listener: OnProgress | None) -> OnProgress:
    def tell(progress: Any) -> object:
        announce(progress)
        return None if listener is None else listener(progress)

    return tell
