"""`LlamaRouter`: two LlamaIndex models as one, the small one where it is enough."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, closing
from typing import Any, Self

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.tools.types import BaseTool

from llama70b.cost import Container, price_table
from llama70b.errors import ConfigurationError
from llama70b.ledger import attributed
from llama70b.routing import Decision, Gate, Policy, Reason, Router, Tier, watched
from llamaindex_llama70b._convert import completion_response
from llamaindex_llama70b._routing import ask_of, noted, objection_to
from llamaindex_llama70b.llm import Llama70B

_LOG = logging.getLogger("llama70b")
_TOOLS = "_routed_tools"


class LlamaRouter(FunctionCallingLLM):
    """Two models as one; which of them answers, and why, stands in `additional_kwargs["routing"]`.

        llm = LlamaRouter.of(Llama70B(), Llama70B(base_url=small), policy=Policy(mode="on"))
        llm.complete("Say hello").additional_kwargs["routing"]["tier"]
        llm.explain("Prove that ...")                       # decides, asks nobody

    A drop-in: chat, completion, streams, tools and structured output run through the chosen model's own methods, which
    dispatch their events, so a run is counted once. Any two models will do; tools need function-calling ones. A caller
    chooses by hand with `llm.chat(..., tier="70b")`. Within an agent run (what follows a user's turn) the tier only
    goes up. The default policy is shadow mode: the 70B answers everything, and the record says what would have been
    done.

    Args:
        strong: The 70B.
        weak: The 8B; None only measures.
        router: Decides; see `llama70b.routing.Router`.
        gate: Whether the 8B's answer may stand; None lets every one stand. In a stream the first elements are held
            until that is decided.
    """

    strong: LLM
    weak: LLM | None = None
    router: Any = Field(exclude=True)
    gate: Any = Field(default=None, exclude=True)

    _waking: threading.Event = PrivateAttr(default_factory=threading.Event)

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @classmethod
    def of(
        cls,
        strong: LLM,
        weak: LLM | None = None,
        *,
        policy: Policy | None = None,
        gate: Gate | None = None,
        profiles: tuple[str, str] = ("h200-fp8", "8b"),
        service_s: tuple[float, float] = (6.0, 1.5),
    ) -> Self:
        """Return a router over two models whose states are read off this process's own calls.

        Args:
            strong: The 70B.
            weak: The 8B.
            policy: What you want; shadow mode, balanced, when left out.
            gate: See the class.
            profiles: Deployment profiles of both, for prices, boots and windows.
            service_s: Seconds of a typical answer of each.

        Raises:
            ConfigurationError: There is no such profile.
        """
        table = price_table().profiles
        sites = []
        for name, seconds in zip(profiles, service_s, strict=True):
            if name not in table:
                raise ConfigurationError(f"there is no profile {name!r}", hint=f"one of {', '.join(table)}")
            profile = table[name]
            sites.append(watched(Container(profile.price.dollars_per_hour, profile.boot_s, profile.window_s, seconds)))
        router = Router(sites[0], sites[1] if weak is not None else None, policy=policy)
        return cls(strong=strong, weak=weak, router=router, gate=gate)

    @classmethod
    def class_name(cls) -> str:
        """Return the id of this class in serialised components."""
        return "LlamaRouter"

    @property
    def metadata(self) -> LLMMetadata:
        """What packing and agents may rely on whoever answers: the smaller window, tools only if both call them."""
        both = [model.metadata for model in (self.strong, self.weak) if model is not None]
        return LLMMetadata(
            context_window=min(one.context_window for one in both),
            num_output=min(one.num_output for one in both),
            is_chat_model=all(one.is_chat_model for one in both),
            is_function_calling_model=all(one.is_function_calling_model for one in both),
            model_name=both[0].model_name,
            system_role=both[0].system_role,
        )

    # -- deciding --

    def explain(self, messages: str | Sequence[ChatMessage], **kwargs: Any) -> dict[str, Any]:
        """Return the routing record that a call would get; asks no endpoint and wakes nothing."""
        turns = [ChatMessage(role=MessageRole.USER, content=messages)] if isinstance(messages, str) else messages
        record: dict[str, Any] = self.router.explain(self._ask(turns, kwargs))
        return record

    def _ask(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> Any:
        tier = kwargs.get("tier")
        if tier not in {None, "70b", "8b"}:
            raise ConfigurationError(f"tier is {tier!r}: give '70b' or '8b'")
        offered = kwargs.get(_TOOLS, {})
        tools = offered.get("tools") or ()
        # One tool that must be called is how core asks for structured output.
        structured = len(tools) == 1 and bool(offered.get("tool_required"))
        asked = {**kwargs, "json_schema": True} if structured else kwargs
        return ask_of(messages, asked, requested=tier, tools=0 if structured else len(tools))

    def _route(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> tuple[Decision, dict[str, Any]]:
        decision: Decision = self.router.route(self._ask(messages, kwargs))
        kwargs.pop("tier", None)
        if decision.wake:
            self._wake()
        return decision, decision.record(model=self.router.model.name)

    def _child(
        self, tier: Tier, messages: Sequence[ChatMessage], kwargs: dict[str, Any]
    ) -> tuple[LLM, Sequence[ChatMessage], dict[str, Any], list[str]]:
        """The chosen model, and what it is called with: tools in its own form."""
        child = self.weak if tier == "8b" and self.weak is not None else self.strong
        given = dict(kwargs)
        offered = given.pop(_TOOLS, None)
        names: list[str] = []
        if offered is not None:
            if not isinstance(child, FunctionCallingLLM):
                raise ConfigurationError(
                    f"{child.class_name()} cannot call tools", hint="tools need two models that can"
                )
            names = [tool.metadata.get_name() for tool in offered["tools"]]
            prepared = child._prepare_chat_with_tools_compat(  # noqa: SLF001 - core's own protocol
                chat_history=list(messages), **offered, **given
            )
            messages = prepared.pop("messages")
            given = prepared
        if (
            tier == "8b"
            and self.gate is not None
            and self.gate.least_margin is not None
            and isinstance(child, Llama70B)
        ):
            given = {"logprobs": True, "top_logprobs": 2, **given}
        return child, messages, given, names

    def _wake(self) -> None:
        """Wake the 70B without waiting for it; once at a time."""
        warm_up: Callable[[], Any] | None = getattr(self.strong, "warm_up", None)
        if warm_up is None or self._waking.is_set():
            return
        self._waking.set()

        def run() -> None:
            try:
                with self.router.running("70b"):
                    warm_up()
            except Exception as error:  # noqa: BLE001 - nobody waits for this thread; what it met is said
                _LOG.warning("the 70B could not be woken: %s", error)
            finally:
                self._waking.clear()

        threading.Thread(target=run, name="llama70b-wake", daemon=True).start()

    def _objection(self, tier: Tier, response: ChatResponse, names: list[str], *, whole: bool = True) -> str | None:
        if tier != "8b" or self.gate is None:
            return None
        return objection_to(self.gate, response, names, whole=whole)

    # -- chat --

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return a whole answer of the chosen model; `tier` chooses by hand. Errors are that model's."""
        decision, record = self._route(messages, kwargs)
        tier: Tier = decision.tier
        while True:
            child, turns, given, names = self._child(tier, messages, kwargs)
            with attributed(routing=record), self.router.running(tier):
                response = child.chat(turns, **given)
            objection = self._objection(tier, response, names)
            if objection is None:
                return noted(response, record)
            record, tier = _escalated(record, objection, response), "70b"

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Return a whole answer of the chosen model; see `chat`."""
        decision, record = self._route(messages, kwargs)
        tier: Tier = decision.tier
        while True:
            child, turns, given, names = self._child(tier, messages, kwargs)
            with attributed(routing=record), self.router.running(tier):
                response = await child.achat(turns, **given)
            objection = self._objection(tier, response, names)
            if objection is None:
                return noted(response, record)
            record, tier = _escalated(record, objection, response), "70b"

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
        """Return a generator of the chosen model's growing answer; nothing is sent before the first `next`."""
        decision, record = self._route(messages, kwargs)
        tier: Tier = decision.tier
        while True:
            child, turns, given, names = self._child(tier, messages, kwargs)
            held = _Held(self.gate, names) if tier == "8b" and self.gate is not None else None
            with attributed(routing=record):
                responses = child.stream_chat(turns, **given)
            with self.router.running(tier), closing(_begun(responses, record)) as stream:
                for response in stream:
                    for released in held.take(response) if held else [response]:
                        yield noted(released, record)
                    if held and held.objection is not None:
                        break
                for released in held.finish() if held else []:
                    yield noted(released, record)
            if held is None or held.objection is None:
                return
            record, tier = _escalated(record, held.objection, held.last), "70b"

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        """Return an async generator of the chosen model's growing answer; see `stream_chat`."""
        decision, first_record = self._route(messages, kwargs)

        async def run() -> AsyncGenerator[ChatResponse, None]:
            record, tier = first_record, decision.tier
            while True:
                child, turns, given, names = self._child(tier, messages, kwargs)
                held = _Held(self.gate, names) if tier == "8b" and self.gate is not None else None
                with attributed(routing=record):
                    responses = await child.astream_chat(turns, **given)
                with self.router.running(tier):
                    async with aclosing(_abegun(responses, record)) as stream:
                        async for response in stream:
                            for released in held.take(response) if held else [response]:
                                yield noted(released, record)
                            if held and held.objection is not None:
                                break
                    for released in held.finish() if held else []:
                        yield noted(released, record)
                if held is None or held.objection is None:
                    return
                record, tier = _escalated(record, held.objection, held.last), "70b"

        return run()

    # -- complete --

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002
        """Return the answer to one user turn; see `chat`."""
        return completion_response(self.chat(_turn(prompt), **kwargs))

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002
        """Return the answer to one user turn; see `chat`."""
        return completion_response(await self.achat(_turn(prompt), **kwargs))

    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: ARG002 - core's signature
        **kwargs: Any,
    ) -> Generator[CompletionResponse, None, None]:
        """Return a generator of the growing answer to one user turn; see `stream_chat`."""
        with closing(self.stream_chat(_turn(prompt), **kwargs)) as responses:
            for response in responses:
                yield completion_response(response)

    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: ARG002 - core's signature
        **kwargs: Any,
    ) -> AsyncGenerator[CompletionResponse, None]:
        """Return an async generator of the growing answer to one user turn; see `stream_chat`."""
        stream = await self.astream_chat(_turn(prompt), **kwargs)

        async def run() -> AsyncGenerator[CompletionResponse, None]:
            async with aclosing(stream) as responses:
                async for response in responses:
                    yield completion_response(response)

        return run()

    # -- tools --

    def _prepare_chat_with_tools(  # noqa: PLR0917 - core's signature
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Keep the tools as they are: only the model that is chosen later knows its own form."""
        messages = list(chat_history or ())
        if user_msg is not None:
            messages.append(
                ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg
            )
        if not tools:
            return {"messages": messages, **kwargs}
        offered = {
            "tools": list(tools),
            "verbose": verbose,
            "allow_parallel_tool_calls": allow_parallel_tool_calls,
            "tool_required": tool_required,
        }
        return {"messages": messages, _TOOLS: offered, **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Return the tool calls of an answer, read by the model that gave it."""
        record = response.additional_kwargs.get("routing") or {}
        child = self.weak if record.get("tier") == "8b" and self.weak is not None else self.strong
        assert isinstance(child, FunctionCallingLLM)  # else no tools could have been offered
        return child.get_tool_calls_from_response(response, error_on_no_tool_call=error_on_no_tool_call, **kwargs)


class _Held:
    """The first elements of the 8B's stream, until it is decided whether they may go out."""

    def __init__(self, gate: Gate, names: list[str]) -> None:
        self._gate, self._names = gate, names
        self._responses: list[ChatResponse] | None = []
        self.objection: str | None = None
        self.last = ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=""))

    def take(self, response: ChatResponse) -> list[ChatResponse]:
        """Take an element; return what may go out."""
        self.last = response  # elements are cumulative
        if self._responses is None:
            return [response]
        self._responses.append(response)
        return self._release(whole=False) if len(self._responses) >= self._gate.hold_tokens else []

    def finish(self) -> list[ChatResponse]:
        """The stream has ended; return what may still go out."""
        return [] if self._responses is None or self.objection is not None else self._release(whole=True)

    def _release(self, *, whole: bool) -> list[ChatResponse]:
        self.objection = objection_to(self._gate, self.last, self._names, whole=whole)
        if self.objection is not None:
            return []
        responses, self._responses = self._responses or [], None
        return responses


def _turn(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=prompt)]


def _escalated(record: dict[str, Any], objection: str, response: ChatResponse) -> dict[str, Any]:
    raw = response.raw if isinstance(response.raw, dict) else {}
    return {
        **record,
        "tier": "70b",
        "reason": str(Reason.ESCALATED),
        "objection": objection,
        "escalated_from": {"tier": "8b", "usage": raw.get("usage")},
    }


def _begun(responses: Any, record: dict[str, Any]) -> Generator[ChatResponse, None, None]:
    """The same elements; the ledger hears of the record when the run begins, at the first step."""
    with closing(responses):
        with attributed(routing=record):
            first = next(responses, None)
        if first is not None:
            yield first
            yield from responses


async def _abegun(responses: Any, record: dict[str, Any]) -> AsyncGenerator[ChatResponse, None]:
    """See `_begun`."""
    async with aclosing(responses):
        with attributed(routing=record):
            first = await anext(responses, None)
        if first is not None:
            yield first
            async for response in responses:
                yield response
