"""The arms: ways to answer one item, from a constant to an agent with the exact checker.

Every arm is an async context manager that yields a function from an item to an `Outcome`. The two agent arms live in
the adapters (`langchain_llama70b._eval`, `llamaindex_llama70b._eval`): their modules are named by the caller and
imported only when the arm is opened, so that nothing here knows a framework.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

from llama70b.client import AsyncClient
from llama70b.endpoint import Endpoint
from llama70b.errors import ConfigurationError
from llama70b.evaluation import _prompts
from llama70b.evaluation._answers import Judgement, read_answer
from llama70b.evaluation._formal import same_reading
from llama70b.evaluation._items import Item
from llama70b.evaluation._settings import Settings
from llama70b.reasoning.assisted import acheck_assisted, json_format
from llama70b.syllogism import ArgumentResult, Quantifier, Statement, check_argument
from llama70b.types import ChatRequest, Completion, Message, Role, StructuredOutputs

ArmName = Literal[
    "bare",
    "cot",
    "rules",
    "read_and_check",
    "langchain_agent",
    "llamaindex_agent",
    "parser_only",
    "always_invalid",
    "atmosphere",
]
_BARE_TOKENS = 8
_READING_TOKENS = 160


@dataclass(frozen=True, slots=True)
class ArmInfo:
    """What an arm is.

    Attributes:
        name: Its name on the command line.
        title: Its name in the report.
        needs_model: Whether it asks an endpoint.
        about: One line for the report.
    """

    name: ArmName
    title: str
    needs_model: bool
    about: str


ARMS: dict[str, ArmInfo] = {
    arm.name: arm
    for arm in (
        ArmInfo("bare", "bare", True, "one word, constrained to valid or invalid by the engine"),
        ArmInfo("cot", "chain of thought", True, "thinks in free text, ends with an answer line"),
        ArmInfo("rules", "rules in the prompt", True, "the same, with the rules of the syllogism in the prompt"),
        ArmInfo("read_and_check", "read and check", True, "our reader; the model reads refused sentences; our checker"),
        ArmInfo("langchain_agent", "LangChain agent", True, "`create_syllogism_agent` of langchain_llama70b"),
        ArmInfo("llamaindex_agent", "LlamaIndex agent", True, "`create_syllogism_agent` of llamaindex_llama70b"),
        ArmInfo("parser_only", "parser only", False, "our reader and checker, no model"),
        ArmInfo("always_invalid", "always invalid", False, "a constant"),
        ArmInfo("atmosphere", "atmosphere", False, "valid if the conclusion has the premises' mood (Woodworth 1935)"),
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an arm brought for one item.

    Attributes:
        answer: The judgement, None when there is none.
        unanswered: Why there is none.
        raw: The model's own last words, whole.
        prompt_tokens: Tokens read by the model, None when the server did not say.
        completion_tokens: Tokens written.
        calls: Requests to the model, as far as the arm knows.
        model: Name and version as the server gave them.
        reading: The argument as it was read, in canonical words.
        exact: Whether that is what the generator put in; None where there is no reading or no design.
        details: Whatever else the arm knows.
    """

    answer: Judgement | None
    unanswered: str | None = None
    raw: str = ""
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    calls: int = 0
    model: str | None = None
    reading: tuple[str, ...] = ()
    exact: bool | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """What an agent of an adapter brought for one question.

    Attributes:
        result: The agent's structured result (`llama70b.reasoning.Answer.to_dict`).
        calls: Requests to the model.
        model: The served name, if the framework hands it on.
    """

    result: Mapping[str, Any]
    calls: int
    model: str | None = None


Answerer = Callable[[Item], Awaitable[Outcome]]
AskAgent = Callable[[str], Awaitable[AgentTurn]]


class AgentModule(Protocol):
    """What the module of an agent arm has."""

    def open_agent(self, endpoint: Endpoint, settings: Settings) -> AbstractAsyncContextManager[AskAgent]:
        """Open the agent; it is closed with the context."""
        ...


def adapter_fields(endpoint: Endpoint) -> dict[str, Any]:
    """Return an endpoint as the keyword arguments that both adapters' models share."""
    secrets = {name: getattr(endpoint, name) for name in ("api_key", "modal_key", "modal_secret")}
    return {
        **{name: secret and secret.get_secret_value() for name, secret in secrets.items()},
        **{name: getattr(endpoint, name) for name in ("base_url", "model", "max_retries", "allow_insecure")},
        "timeout": endpoint.timeouts,
        "progress_bar": False,
    }


def open_arm(
    name: str, endpoint: Endpoint | None, settings: Settings, agents: Mapping[str, str]
) -> AbstractAsyncContextManager[Answerer]:
    """Open an arm.

    Args:
        name: One of `ARMS`.
        endpoint: The model's; None for arms that need none.
        settings: The run's.
        agents: Module with `open_agent` of each agent arm.

    Raises:
        ConfigurationError: There is no such arm, or it needs an endpoint.
        MissingExtra: The framework of an agent arm is not installed.
    """
    if name not in ARMS:
        raise ConfigurationError(f"there is no arm {name!r}", hint=f"the arms are {', '.join(ARMS)}")
    if not ARMS[name].needs_model:
        return _unaided(name, settings)
    if endpoint is None:
        raise ConfigurationError(f"the arm {name} needs a model", hint="give --endpoint NAME=URL,MODEL, or --local")
    if name in ("langchain_agent", "llamaindex_agent"):
        if name not in agents:
            raise ConfigurationError(f"no module was given for the arm {name}")
        return _agent(agents[name], endpoint, settings)
    return _asking(name, endpoint, settings)


@asynccontextmanager
async def _unaided(name: str, settings: Settings) -> AsyncIterator[Answerer]:
    async def answer(item: Item) -> Outcome:
        match name:
            case "always_invalid":
                return Outcome("invalid")
            case "atmosphere":
                return _atmosphere(item)
            case _:
                return _checked(item, check_argument(item.text, import_=settings.import_))

    yield answer


@asynccontextmanager
async def _asking(name: str, endpoint: Endpoint, settings: Settings) -> AsyncIterator[Answerer]:
    async with AsyncClient(endpoint, progress_bar=False) as client:

        async def answer(item: Item) -> Outcome:
            asked = _Asked(client, settings)
            if name == "read_and_check":
                result = await acheck_assisted(item.text, asked.constrained, import_=settings.import_)
                details = {"sentences_read_by_model": len(result.readings), "doubts": [list(d) for d in result.doubts]}
                return asked.counted(_checked(item, result.result, details))
            messages = _prompts.messages(name, item.text, item.language, settings.import_)
            if name == "bare":
                choices = _prompts.CHOICES[item.language]
                text = await asked.ask(
                    messages, _BARE_TOKENS, structured_outputs=StructuredOutputs(choice=tuple(choices))
                )
                said = choices.get(text.strip())
                return asked.counted(Outcome(said, None if said else "none of the choices"))
            said, why = read_answer(await asked.ask(messages, settings.max_tokens))
            if said is None and asked.finish_reason == "length":
                why = f"cut off at max_tokens ({why})"
            return asked.counted(Outcome(said, why))

        yield answer


class _Asked:
    """The requests of one item, with their tokens."""

    def __init__(self, client: AsyncClient, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._replies: list[Completion] = []

    @property
    def finish_reason(self) -> str | None:
        return self._replies[-1].finish_reason if self._replies else None

    async def ask(self, messages: Sequence[Message], max_tokens: int, **fields: Any) -> str:
        request = ChatRequest(
            messages=tuple(messages),
            temperature=self._settings.temperature,
            seed=self._settings.seed,
            max_tokens=max_tokens,
            **fields,
        )
        self._replies.append(await self._client.chat(request))
        return self._replies[-1].text

    async def constrained(self, messages: Sequence[Mapping[str, str]], json_schema: Mapping[str, Any]) -> str:
        """Answer the assisted reader."""
        turns = [Message(cast("Role", turn["role"]), turn["content"]) for turn in messages]
        return await self.ask(turns, _READING_TOKENS, response_format=json_format(json_schema))

    def counted(self, outcome: Outcome) -> Outcome:
        """Return the outcome with what the requests cost."""
        usages = [reply.usage for reply in self._replies]
        known = [usage for usage in usages if usage is not None]
        complete = len(known) == len(usages)
        last = self._replies[-1] if self._replies else None
        return Outcome(
            outcome.answer,
            outcome.unanswered,
            raw=last.text if last else "",
            prompt_tokens=sum(usage.prompt_tokens for usage in known) if complete else None,
            completion_tokens=sum(usage.completion_tokens for usage in known) if complete else None,
            calls=len(self._replies),
            model=" ".join(filter(None, (last.model, last.system_fingerprint))) if last else None,
            reading=outcome.reading,
            exact=outcome.exact,
            details={**outcome.details, **({"finish_reason": last.finish_reason} if last else {})},
        )


@asynccontextmanager
async def _agent(module: str, endpoint: Endpoint, settings: Settings) -> AsyncIterator[Answerer]:
    loaded = cast("AgentModule", importlib.import_module(module))
    async with loaded.open_agent(endpoint, settings) as ask:

        async def answer(item: Item) -> Outcome:
            turn = await ask(item.text)
            told = turn.result
            # The agents take the text's own reading wherever there is one, so that is what is compared.
            own = check_argument(item.text, import_=settings.import_)
            usage = told.get("usage") or {}
            said, why = _judgement(str(told["verdict"]), [str(span.get("reason")) for span in told.get("refused", ())])
            return Outcome(
                said,
                why,
                raw=str(told.get("model_answer", "")),
                prompt_tokens=usage.get("prompt_tokens"),
                completion_tokens=usage.get("completion_tokens"),
                calls=turn.calls,
                model=turn.model,
                reading=tuple(told.get("reading", ())),
                exact=_exact(item, own) if told.get("decided_by") == "text" else None,
                details={
                    name: told.get(name) for name in ("verdict", "agreement", "corrected", "decided_by", "tool_calls")
                },
            )

        yield answer


def _checked(item: Item, result: ArgumentResult, details: Mapping[str, Any] | None = None) -> Outcome:
    said, why = _judgement(result.verdict, [span.reason.value for span in result.refused])
    reading = result.reading.words if result.reading else ()
    told = {"verdict": result.verdict, **(details or {})}
    return Outcome(said, why, reading=reading, exact=_exact(item, result), details=told)


def _judgement(verdict: str, reasons: Sequence[str]) -> tuple[Judgement | None, str | None]:
    match verdict:
        case "entailed":
            return "valid", None
        case "undetermined" | "contradicted":
            return "invalid", None
        case "inconsistent_premises":
            return None, "the premises contradict each other"
        case _:
            return None, "refused: " + (", ".join(dict.fromkeys(reasons)) or "no reason given")


def _exact(item: Item, result: ArgumentResult) -> bool | None:
    if item.design is None or result.reading is None:
        return None
    if result.reading.conclusion is None:
        return False
    return same_reading((*result.reading.premises, result.reading.conclusion), item.design.statements)


def _atmosphere(item: Item) -> Outcome:
    """Judge by the mood alone: a negative premise makes a negative conclusion, a particular one a particular one."""
    statements: Sequence[Statement] = item.design.statements if item.design else ()
    if not statements:
        read = check_argument(item.text).reading
        if read is None or read.conclusion is None:
            return Outcome(None, "the form could not be read")
        statements = (*read.premises, read.conclusion)
    *premises, conclusion = (statement.obverted.quantifier for statement in statements)
    negative = any(quantifier in (Quantifier.NO, Quantifier.SOME_NOT) for quantifier in premises)
    universal = all(quantifier.universal for quantifier in premises)
    expected = {
        (False, True): Quantifier.ALL,
        (True, True): Quantifier.NO,
        (False, False): Quantifier.SOME,
        (True, False): Quantifier.SOME_NOT,
    }[negative, universal]
    return Outcome("valid" if conclusion is expected else "invalid")
