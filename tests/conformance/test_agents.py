"""The agents of both frameworks and the acceptance run on the local engine: a real model makes the calls."""

import asyncio
import json
from typing import Any

import pytest

from llama70b import Client, Endpoint, Secret
from llama70b.acceptance import ROSES, run_checks, to_markdown

# llama-index-workflows asks agents, which are pydantic models, for all their attributes, pydantic's old ones too.
pytestmark = [
    pytest.mark.filterwarnings("ignore:(The `__fields|Accessing the 'model_):DeprecationWarning"),
    pytest.mark.timeout(300),
]
VALID = "All men are mortal. All Greeks are men. Can we conclude that all Greeks are mortal?"


def settings(endpoint: Endpoint) -> dict[str, Any]:
    assert isinstance(endpoint.api_key, Secret)
    return {
        "base_url": endpoint.base_url,
        "api_key": endpoint.api_key.get_secret_value(),
        "model": endpoint.model,
        "max_tokens": 60,
        "temperature": 0.0,
    }


def check_call(name: str, arguments: dict[str, Any], question: str) -> None:
    assert name == "check_argument"
    assert arguments["conclusion"] in question
    assert len(arguments["premises"]) == 2
    assert all(premise in question for premise in arguments["premises"])


@pytest.mark.parametrize(("question", "verdict"), [(ROSES, "undetermined"), (VALID, "entailed")])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_langchain_agent(local_endpoint: Endpoint, question: str, verdict: str, asynchronous: bool) -> None:
    from langchain_llama70b import ChatLlama70B
    from langchain_llama70b.agent import create_syllogism_agent

    agent = create_syllogism_agent(ChatLlama70B(**settings(local_endpoint)), tool_use="forced")
    given = {"messages": [("user", question)]}
    state = asyncio.run(agent.ainvoke(given)) if asynchronous else agent.invoke(given)
    calls = [call for message in state["messages"] for call in getattr(message, "tool_calls", ())]
    assert len(calls) == 1
    check_call(calls[0]["name"], calls[0]["args"], question)
    result = state["structured_response"]
    assert result["verdict"] == verdict
    assert result["tool_calls"] == 1
    assert result["usage"]["completion_tokens"] > 0
    assert state["messages"][-1].content == result["answer"]


@pytest.mark.parametrize(("question", "verdict"), [(ROSES, "undetermined"), (VALID, "entailed")])
@pytest.mark.parametrize("streaming", [False, True])
def test_llamaindex_agent(local_endpoint: Endpoint, question: str, verdict: str, streaming: bool) -> None:
    from llamaindex_llama70b import Llama70B
    from llamaindex_llama70b.agent import create_syllogism_agent

    async def run() -> Any:
        llm = Llama70B(**settings(local_endpoint))
        return await create_syllogism_agent(llm, tool_use="forced", streaming=streaming).run(question)

    output = asyncio.run(run())
    assert len(output.tool_calls) == 1
    check_call(output.tool_calls[0].tool_name, output.tool_calls[0].tool_kwargs, question)
    result = output.structured_response
    assert result["verdict"] == verdict
    assert result["usage"]["completion_tokens"] > 0
    assert output.response.content == result["answer"]


def test_on_vllm_both_agents_make_the_constrained_call(vllm_endpoint: Endpoint) -> None:
    from langchain_llama70b import ChatLlama70B
    from langchain_llama70b.agent import create_syllogism_agent as langchain_agent
    from llamaindex_llama70b import Llama70B
    from llamaindex_llama70b.agent import create_syllogism_agent as llamaindex_agent

    given = settings(vllm_endpoint)
    state = langchain_agent(ChatLlama70B(**given), tool_use="forced").invoke({"messages": [("user", ROSES)]})
    (call,) = [call for message in state["messages"] for call in getattr(message, "tool_calls", ())]
    check_call(call["name"], call["args"], ROSES)
    assert state["structured_response"]["verdict"] == "undetermined"

    async def run() -> Any:
        return await llamaindex_agent(Llama70B(**given), tool_use="forced").run(ROSES)

    output = asyncio.run(run())
    (made,) = output.tool_calls
    check_call(made.tool_name, made.tool_kwargs, ROSES)
    assert output.structured_response["verdict"] == "undetermined"


def test_the_acceptance_run_measures_and_hides_nothing(local_endpoint: Endpoint) -> None:
    with Client(local_endpoint) as client:
        report = run_checks(client)
    assert [outcome.check.name for outcome in report.outcomes] == ["hello", "code", "chinese", "logic"]
    for outcome in report.outcomes:
        assert outcome.reason
        measured = outcome.measured
        assert measured is not None
        assert measured.prompt_tokens
        assert measured.completion_tokens
        assert measured.completion_tokens <= outcome.check.max_tokens
        assert 0 < (measured.first_token_s or 0) <= measured.seconds
    assert report.outcomes[0].passed, report.outcomes[0]  # the smallest model can greet
    text = to_markdown(report)
    assert all(f"{outcome.check.title}: {'pass' if outcome.passed else 'FAIL'}" in text for outcome in report.outcomes)
    assert report.passed is ("FAIL" not in text)
    json.dumps(report.as_dict())
