"""`ChatLlamaRouter`: two chat models as one, the small one where it is enough."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, SkipValidation

from langchain_llama70b._held import Held, abegun, atold, begun, message_of, noted_result, told, with_record
from langchain_llama70b._routing import TIER_TAGS, ask_of, objection_to
from langchain_llama70b.chat_models import ChatLlama70B
from llama70b.cost import Container, price_table
from llama70b.errors import ConfigurationError
from llama70b.ledger import attributed
from llama70b.routing import Decision, Gate, Policy, Reason, Router, Tier, watched

_LOG = logging.getLogger("llama70b")
_STRUCTURED = "ls_structured_output_format"


class ChatLlamaRouter(BaseChatModel):
    """Two chat models as one; which of them answers, and why, stands in `response_metadata["routing"]`.

        llm = ChatLlamaRouter.of(ChatLlama70B(), ChatLlama70B(base_url=small), policy=Policy(mode="on"))
        llm.invoke("Say hello").response_metadata["routing"]["tier"]
        llm.explain("Prove that ...")                       # decides, asks nobody

    A drop-in: streaming, tools, structured output and async run through the chosen model's own `_generate` and
    `_stream`, so tokens are counted once. Any two chat models will do. A caller chooses by hand with
    `llm.invoke(..., tier="70b")` or the tag `llama70b:70b`. Within an agent run (what follows a human turn) the tier
    only goes up. The default policy is shadow mode: the 70B answers everything, and the record says what would have
    been done.

    Args:
        strong: The 70B.
        weak: The 8B; None only measures.
        router: Decides; see `llama70b.routing.Router`.
        gate: Whether the 8B's answer may stand; None lets every one stand. In a stream the first tokens are held
            until that is decided.
    """

    strong: BaseChatModel
    weak: BaseChatModel | None = None
    router: SkipValidation[Router] = Field(repr=False)
    gate: SkipValidation[Gate | None] = None
    bound: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    tool_names: tuple[str, ...] = Field(default=(), repr=False)
    structured: bool = Field(default=False, repr=False)
    waking: SkipValidation[threading.Event] = Field(default_factory=threading.Event, repr=False, exclude=True)

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @classmethod
    def of(
        cls,
        strong: BaseChatModel,
        weak: BaseChatModel | None = None,
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

    @property
    def _llm_type(self) -> str:
        return "llama70b-router"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """Both models and the policy: the cache must not mix them up."""
        return {
            "strong": dict(self.strong._identifying_params),  # noqa: SLF001 - LangChain's own protocol
            "weak": dict(self.weak._identifying_params) if self.weak else None,  # noqa: SLF001
            "policy": str(self.router.policy),
            "model": self.router.model.name,
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self.strong._get_ls_params(stop=stop, **kwargs)  # noqa: SLF001

    # Deciding

    def explain(self, input: LanguageModelInput, **kwargs: Any) -> dict[str, Any]:  # noqa: A002 - LangChain's name
        """Return the routing record that a call would get; asks no endpoint and wakes nothing."""
        messages = self._convert_input(input).to_messages()
        return self.router.explain(self._ask(messages, kwargs, None))

    def _ask(self, messages: Sequence[BaseMessage], kwargs: Mapping[str, Any], run: BaseRunManager | None) -> Any:
        tier = kwargs.get("tier") or next(
            (TIER_TAGS[tag] for tag in (run.tags if run else ()) if tag in TIER_TAGS), None
        )
        if tier not in {None, "70b", "8b"}:
            raise ConfigurationError(f"tier is {tier!r}: give '70b' or '8b'")
        merged = {**self.bound.get("70b", {}), **kwargs}
        asked = {**merged, "response_format": True} if self.structured else merged
        return ask_of(messages, asked, requested=tier, tools=0 if self.structured else len(self.tool_names))

    def _route(
        self, messages: Sequence[BaseMessage], kwargs: dict[str, Any], run: BaseRunManager | None
    ) -> tuple[Decision, dict[str, Any]]:
        decision = self.router.route(self._ask(messages, kwargs, run))
        kwargs.pop("tier", None)
        if decision.wake:
            self._wake()
        return decision, decision.record(model=self.router.model.name)

    def _child(self, tier: Tier, kwargs: Mapping[str, Any]) -> tuple[BaseChatModel, dict[str, Any]]:
        child = self.weak if tier == "8b" and self.weak is not None else self.strong
        merged = {**self.bound.get(tier, {}), **kwargs}
        wants_margin = self.gate is not None and self.gate.least_margin is not None
        if tier == "8b" and wants_margin and isinstance(child, ChatLlama70B):
            merged = {"logprobs": True, "top_logprobs": 2, **merged}
        return child, merged

    def _wake(self) -> None:
        """Wake the 70B without waiting for it; once at a time."""
        warm_up: Callable[[], Any] | None = getattr(self.strong, "warm_up", None)
        if warm_up is None or self.waking.is_set():
            return
        self.waking.set()

        def run() -> None:
            try:
                with self.router.running("70b"):
                    warm_up()
            except Exception as error:  # noqa: BLE001 - nobody waits for this thread; what it met is said
                _LOG.warning("the 70B could not be woken: %s", error)
            finally:
                self.waking.clear()

        threading.Thread(target=run, name="llama70b-wake", daemon=True).start()

    def _escalated(self, record: Mapping[str, Any], objection: str, message: AIMessage) -> dict[str, Any]:
        usage = dict(message.usage_metadata) if message.usage_metadata else None
        return {
            **record,
            "tier": "70b",
            "reason": str(Reason.ESCALATED),
            "objection": objection,
            "escalated_from": {"tier": "8b", "usage": usage},
        }

    # Answering

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        decision, record = self._route(messages, kwargs, run_manager)
        tier: Tier = decision.tier
        while True:
            child, merged = self._child(tier, kwargs)
            with attributed(routing=record), self.router.running(tier):
                result = child._generate(messages, stop=stop, run_manager=run_manager, **merged)  # noqa: SLF001
            objection = self._objection(tier, result)
            if objection is None:
                return noted_result(result, record)
            record, tier = self._escalated(record, objection, message_of(result)), "70b"

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        decision, record = self._route(messages, kwargs, run_manager)
        tier: Tier = decision.tier
        while True:
            child, merged = self._child(tier, kwargs)
            with attributed(routing=record), self.router.running(tier):
                result = await child._agenerate(messages, stop=stop, run_manager=run_manager, **merged)  # noqa: SLF001
            objection = self._objection(tier, result)
            if objection is None:
                return noted_result(result, record)
            record, tier = self._escalated(record, objection, message_of(result)), "70b"

    def _objection(self, tier: Tier, result: ChatResult) -> str | None:
        if tier != "8b" or self.gate is None:
            return None
        return objection_to(self.gate, message_of(result), self.tool_names)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        decision, record = self._route(messages, kwargs, run_manager)
        tier: Tier = decision.tier
        if tier == "8b" and self.gate is not None:
            held = Held(self.gate, self.tool_names)
            child, merged = self._child(tier, kwargs)
            chunks = begun(child._stream(messages, stop=stop, **merged), record)  # noqa: SLF001
            with self.router.running(tier), closing(chunks):
                for chunk in chunks:
                    for released in held.take(chunk):
                        yield told(released, held.first(), record, run_manager)
                    if held.objection is not None:
                        break
                for released in held.finish():
                    yield told(released, held.first(), record, run_manager)
            if held.objection is None:
                return
            record, tier = self._escalated(record, held.objection, held.message), "70b"
        child, merged = self._child(tier, kwargs)
        first = True
        chunks = begun(child._stream(messages, stop=stop, run_manager=run_manager, **merged), record)  # noqa: SLF001
        with self.router.running(tier), closing(chunks):
            for chunk in chunks:
                yield with_record(chunk, record) if first else chunk
                first = False

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        decision, record = self._route(messages, kwargs, run_manager)
        tier: Tier = decision.tier
        if tier == "8b" and self.gate is not None:
            held = Held(self.gate, self.tool_names)
            child, merged = self._child(tier, kwargs)
            chunks = abegun(child._astream(messages, stop=stop, **merged), record)  # noqa: SLF001
            with self.router.running(tier):
                async with aclosing(chunks):
                    async for chunk in chunks:
                        for released in held.take(chunk):
                            yield await atold(released, held.first(), record, run_manager)
                        if held.objection is not None:
                            break
                for released in held.finish():
                    yield await atold(released, held.first(), record, run_manager)
            if held.objection is None:
                return
            record, tier = self._escalated(record, held.objection, held.message), "70b"
        child, merged = self._child(tier, kwargs)
        first = True
        chunks = abegun(child._astream(messages, stop=stop, run_manager=run_manager, **merged), record)  # noqa: SLF001
        with self.router.running(tier):
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield with_record(chunk, record) if first else chunk
                    first = False

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002 - the base class's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Yield the answer in chunks; see `BaseChatModel.stream`."""
        return super().stream(input, config, stop=stop, **self._tagged(config, kwargs))

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002 - the base class's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Yield the answer in chunks; see `BaseChatModel.astream`."""
        return super().astream(input, config, stop=stop, **self._tagged(config, kwargs))

    def _tagged(self, config: RunnableConfig | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Read the tier off the tags: `stream` hands `_stream` no run manager that would know them."""
        tags = (*(self.tags or ()), *(ensure_config(config).get("tags") or ()))
        tier = next((TIER_TAGS[tag] for tag in tags if tag in TIER_TAGS), None)
        return {"tier": tier, **kwargs} if tier else dict(kwargs)

    # Binding

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return a router whose models both know the tools, each in its own form; it is a chat model still.

        Raises:
            ConfigurationError: A model's `bind_tools` returns something else than a binding of itself.
        """
        bound: dict[str, dict[str, Any]] = {}
        for tier, child in (("70b", self.strong), ("8b", self.weak)):
            if child is None:
                continue
            binding = child.bind_tools(tools, tool_choice=tool_choice, **kwargs)
            if not isinstance(binding, RunnableBinding):
                raise ConfigurationError(
                    f"{type(child).__name__}.bind_tools returns a {type(binding).__name__}: a router cannot split it",
                    hint="bind the tools to both models yourself, and choose with a RunnableBranch",
                )
            # What it says to tracers is read before the chosen model's own method is called, and means nothing to that.
            known = {name: value for name, value in binding.kwargs.items() if name != _STRUCTURED}
            bound[tier] = {**self.bound.get(tier, {}), **known}
        names = tuple(convert_to_openai_tool(tool)["function"]["name"] for tool in tools)
        return self.model_copy(update={"bound": bound, "tool_names": names, "structured": _STRUCTURED in kwargs})
