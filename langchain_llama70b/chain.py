"""The syllogism chain, for models too small to call tools: read, check exactly, let the model phrase the answer.

from langchain_llama70b import syllogism_chain
chain = syllogism_chain(ChatLlama70B())
chain.invoke("If all roses are flowers and ..., can we conclude that ...?")["verdict"]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from langchain_llama70b._asking import Asking
from llama70b.reasoning.assisted import AssistedResult, acheck_assisted, check_assisted
from llama70b.reasoning.explain import answer_of, explain_messages
from llama70b.syllogism import Import, check_argument

_KEYS = ("input", "question", "text", "argument", "query")


@dataclass(frozen=True, slots=True)
class _Checked:
    """What goes from one step of the chain to the next."""

    text: str
    result: AssistedResult
    usage: Mapping[str, int]
    said: str | None = None


def syllogism_chain(
    llm: BaseChatModel | None = None,
    *,
    assist: bool = True,
    votes: int = 1,
    explain: bool = True,
    import_: Import = "all_terms",
) -> Runnable[Any, dict[str, Any]]:
    """Build the chain: a plain LCEL `Runnable` from a question to the structured answer of the agent.

    Args:
        llm: Any chat model; it needs no tools. None: reader and checker alone.
        assist: Ask it about sentences the grammar refuses, one at a time and under guard.
        votes: How often to ask about one sentence, see `llama70b.reasoning.assisted.plan`.
        explain: Let it phrase the answer; its words are shown only if their verdict is the checker's.
        import_: Convention of existential import.

    Returns:
        A runnable. In: a text, a prompt value, messages (the last human one counts), or a mapping that holds the text
        under `input`, `question`, `text`, `argument` or `query`. Out: `verdict`, `answer`, `reading`, `countermodel`,
        `explanation`, `assumptions`, `usage`, `read_by_model` ... (`llama70b.reasoning.Answer`).

    Raises:
        ValueError: `votes` is below 1.
    """
    if votes < 1:
        raise ValueError(f"votes is {votes}: give 1 or more")
    steps = _Steps(llm, assist=assist, votes=votes, explain=explain, import_=import_)
    read = RunnableLambda(steps.read, afunc=steps.aread, name="read_and_check")
    phrase = RunnableLambda(steps.phrase, afunc=steps.aphrase, name="phrase")
    locked: RunnableLambda[_Checked, dict[str, Any]] = RunnableLambda(_locked, name="lock")
    return (read | phrase | locked).with_config(run_name="syllogism_chain")


class _Steps:
    """The steps that may ask the model."""

    def __init__(self, llm: BaseChatModel | None, *, assist: bool, votes: int, explain: bool, import_: Import) -> None:
        self._llm = llm
        self._assist = assist
        self._explain = explain
        self._votes = votes
        self._import: Import = import_

    def read(self, given: Any, config: RunnableConfig) -> _Checked:
        text = _text(given)
        if self._llm is None or not self._assist:
            return self._alone(text)
        asking = Asking(self._llm, config)
        result = check_assisted(text, asking.complete, import_=self._import, votes=self._votes)
        return _Checked(text, result, asking.usage)

    async def aread(self, given: Any, config: RunnableConfig) -> _Checked:
        text = _text(given)
        if self._llm is None or not self._assist:
            return self._alone(text)
        asking = Asking(self._llm, config)
        result = await acheck_assisted(text, asking.acomplete, import_=self._import, votes=self._votes)
        return _Checked(text, result, asking.usage)

    def phrase(self, checked: _Checked, config: RunnableConfig) -> _Checked:
        asked = self._asked(checked)
        if asked is None or self._llm is None:
            return checked
        return _phrased(checked, self._llm.invoke(asked, config))

    async def aphrase(self, checked: _Checked, config: RunnableConfig) -> _Checked:
        asked = self._asked(checked)
        if asked is None or self._llm is None:
            return checked
        return _phrased(checked, await self._llm.ainvoke(asked, config))

    def _alone(self, text: str) -> _Checked:
        return _Checked(text, AssistedResult(check_argument(text, import_=self._import)), {})

    def _asked(self, checked: _Checked) -> list[dict[str, str]] | None:
        return explain_messages(checked.text, checked.result) if self._explain else None


def _phrased(checked: _Checked, message: BaseMessage) -> _Checked:
    used = getattr(message, "usage_metadata", None) or {}
    usage = dict(checked.usage)
    for name, theirs in (
        ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"), ("total_tokens", "total_tokens")
    ):  # fmt: skip
        usage[name] = usage.get(name, 0) + int(used.get(theirs, 0))
    return _Checked(checked.text, checked.result, usage, str(message.text))


def _locked(checked: _Checked) -> dict[str, Any]:
    return answer_of(checked.text, checked.result, checked.said, checked.usage).to_dict()


def _text(given: Any) -> str:
    """Return the question in what a chain is given.

    Raises:
        TypeError: It is none of the kinds `syllogism_chain` names.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, PromptValue):
        return _text(given.to_messages())
    if isinstance(given, BaseMessage):
        return str(given.text)
    if isinstance(given, Mapping):
        found = next((given[name] for name in (*_KEYS, "messages") if name in given), None)
        if found is not None:
            return _text(found)
    elif isinstance(given, Sequence) and given:
        humans = [one for one in given if isinstance(one, HumanMessage)]
        if humans:
            return str(humans[-1].text)
    raise TypeError(f"no question in a {type(given).__name__}: give a text, messages, or a mapping with 'input'")
