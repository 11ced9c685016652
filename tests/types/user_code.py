"""Typical code of a user's, for type checkers: `mypy --strict` and `pyright` in strict mode find nothing to say.

It is never run, only checked (`tests/types/test_types.py`). `assert_type` says what an editor has to show.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from enum import Enum
from typing import Any, Literal, assert_type

import llama_index.core.llms as li
from langchain.agents import create_agent  # pyright: ignore[reportUnknownVariableType] - a hole of its own
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from llama_index.core import Settings, SummaryIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import Document
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, SecretStr

import langchain_llama70b as lc_errors
from langchain_llama70b import ChatLlama70B, create_syllogism_agent, register
from llama70b import (
    AsyncClient,
    ChatRequest,
    Client,
    ColdStartProgress,
    Completion,
    Delta,
    Endpoint,
    Message,
    ModelInfo,
    StructuredOutputs,
    Timeouts,
    TokenCount,
    ToolCall,
    ToolSpec,
    Usage,
    errors,
)
from llamaindex_llama70b import Llama70B


class Report(BaseModel):
    """A report."""

    city: str
    degrees: int


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"20 C in {city}"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def show(progress: ColdStartProgress) -> None:
    print(progress.state, progress.elapsed_s, progress.estimate_s)


async def show_async(progress: ColdStartProgress) -> None:
    print(progress.detail)


# The core.


def core() -> None:
    endpoint = Endpoint("https://example--llama.modal.direct", api_key="k", timeouts=Timeouts(total=600), max_retries=3)
    assert_type(Endpoint.from_env(), Endpoint)
    request = ChatRequest(
        messages=(Message("system", "Be brief."), Message("user", "Hi")),
        temperature=0,
        max_tokens=100,
        stop=("END",),
        tools=(ToolSpec("add", "Add.", {"type": "object", "properties": {}}),),
        tool_choice="auto",
        structured_outputs=None,
        extra={"priority": 1},
    )
    with Client(endpoint, on_progress=show, progress_bar=False) as client:
        completion = client.chat(request, timeout=30)
        assert_type(completion, Completion)
        assert_type(completion.text, str)
        assert_type(completion.usage, Usage | None)
        for call in completion.message.tool_calls:
            assert_type(call, ToolCall)
            assert_type(call.parsed(), dict[str, Any])
        with client.stream(request, timeout=Timeouts(first_byte=120)) as stream:
            for delta in stream:
                assert_type(delta, Delta)
                print(delta.content, end="")
            whole = stream.completion
        if whole is not None and whole.timing is not None:
            print(whole.timing.total_s + whole.timing.cold_start_s)
        assert_type(client.count_tokens(request), TokenCount)
        assert_type(client.models(), tuple[ModelInfo, ...])
        assert_type(client.health(), bool)
        assert_type(client.wait_until_ready(show, timeout=600), float)
    ChatRequest(
        messages=(Message("user", "Red or blue?"),), structured_outputs=StructuredOutputs(choice=("red", "blue"))
    )


async def core_async() -> None:
    request = ChatRequest(messages=(Message("user", "Hi"),))
    async with AsyncClient(on_progress=show_async) as client:
        assert_type(await client.chat(request), Completion)
        async with await client.stream(request) as stream:
            async for delta in stream:
                print(delta.content)
        await client.wait_until_ready(show_async)


def core_errors(client: Client, request: ChatRequest) -> str:
    try:
        return client.chat(request).text
    except errors.ContextOverflow as error:
        return f"{error.prompt_tokens} tokens do not fit {error.max_model_len}"
    except errors.ColdStartTimeout as error:
        return error.message
    except errors.IncompleteStream as error:
        return error.text
    except (errors.RateLimited, errors.EndpointUnavailable) as error:
        return f"{error.status} {error.request_id} {error.retryable}"
    except errors.Llama70BError as error:
        return f"{error.message} {error.hint}"


# LangChain.


def langchain_model() -> ChatLlama70B:
    ChatLlama70B()
    ChatLlama70B(api_key=SecretStr("k"), timeout=30.0, max_retries=1)
    ChatLlama70B(base_url="https://example.com/v1", api_key=lambda: "k", on_progress=show, progress_bar=False)
    return ChatLlama70B(
        model="meta-llama/Llama-3.3-70B-Instruct",
        base_url="https://example--llama.modal.direct",
        api_key="k",
        temperature=0,
        max_tokens=512,
        stop=["END"],
        seed=7,
        timeout=Timeouts(total=120),
        top_k=5,
        structured_outputs={"regex": "a+"},
        extra_body={"priority": 1},
        streaming=False,
        context_window=4096,
    )


async def fetch_key() -> str:
    return "k"


def langchain_calls(llm: ChatLlama70B) -> None:
    assert_type(llm.invoke("Hi"), AIMessage)
    assert_type(llm.invoke([SystemMessage("Be brief."), HumanMessage("Hi")], stop=["END"], temperature=0.5), AIMessage)
    chunks: Iterator[AIMessageChunk] = llm.stream("Hi", max_tokens=5)
    print("".join(str(chunk.text) for chunk in chunks))
    answers = llm.batch(["a", "b"], {"max_concurrency": 2})
    assert_type(answers, list[AIMessage])
    usage = answers[0].usage_metadata
    if usage is not None:
        print(usage["input_tokens"] + usage["output_tokens"])
    chain = ChatPromptTemplate.from_template("{text}") | llm | StrOutputParser()
    assert_type(chain.invoke({"text": "hi"}), str)
    assert_type(llm.get_num_tokens("Hi"), int)
    assert_type(llm.warm_up(show, timeout=600), float)
    with llm:
        llm.invoke("Hi")
    llm.close()


async def langchain_async(llm: ChatLlama70B) -> None:
    ChatLlama70B(api_key=fetch_key, on_progress=show_async)
    assert_type(await llm.ainvoke("Hi"), AIMessage)
    chunks: AsyncIterator[AIMessageChunk] = llm.astream("Hi")
    print("".join([str(chunk.text) async for chunk in chunks]))
    await llm.abatch(["a", "b"])
    await llm.awarm_up(show_async)
    async with llm:
        await llm.ainvoke("Hi")
    await llm.aclose()


def langchain_tools_and_forms(llm: ChatLlama70B) -> None:
    bound = llm.bind_tools([weather, add, Report], tool_choice="any", strict=True)
    answer = bound.invoke("How warm is Rome?")
    assert_type(answer, AIMessage)
    for call in answer.tool_calls:
        print(call["name"], call["args"])
    forms: list[Runnable[Any, Any]] = [
        llm.with_structured_output(Report),
        llm.with_structured_output(Report, method="function_calling", include_raw=True),
        llm.with_structured_output({"title": "report", "type": "object"}, method="json_mode"),
        llm.with_structured_output(Colour),
        llm.with_structured_output(Literal["yes", "no"]),
        llm.with_choice(["yes", "no"]),
        llm.with_regex("[0-9]+"),
        llm.with_grammar('root ::= "yes" | "no"'),
        llm.with_retry(stop_after_attempt=2),
        llm.with_fallbacks([langchain_model()]),
        llm.with_config({"tags": ["a"]}),
    ]
    print(len(forms))


def langchain_agents(llm: ChatLlama70B) -> None:
    agent: Any = create_agent(  # pyright: ignore[reportUnknownVariableType]
        llm, [weather, add], system_prompt="Be exact.", response_format=Report
    )
    print(agent.invoke({"messages": [HumanMessage("hi")]})["structured_response"])
    syllogisms: Any = create_syllogism_agent(llm)
    print(syllogisms.invoke({"messages": [("human", "hi")]}))
    register()


def langchain_errors(llm: ChatLlama70B) -> str:
    try:
        return str(llm.invoke("Hi").text)
    except lc_errors.ContextOverflow as error:
        return f"{error.prompt_tokens} of {error.max_model_len}"
    except lc_errors.RateLimited as error:
        return f"{error.is_retryable} {error.response}"


# LlamaIndex.


def llamaindex_model() -> Llama70B:
    Settings.llm = Llama70B()
    return Llama70B(
        "meta-llama/Llama-3.3-70B-Instruct",
        base_url="https://example--llama.modal.direct",
        api_key="k",
        temperature=0,
        max_tokens=512,
        timeout=Timeouts(total=120),
        max_retries=2,
        context_window=4096,
        on_progress=show,
        context_guard="trim",
    )


def llamaindex_calls(llm: Llama70B) -> None:
    messages = [li.ChatMessage(role="user", content="Hi")]
    assert_type(llm.chat(messages), li.ChatResponse)
    assert_type(llm.complete("Hi", temperature=0.5), li.CompletionResponse)
    for part in llm.stream_chat(messages):
        print(part.delta)
    for piece in llm.stream_complete("Hi"):
        print(piece.delta)
    print(llm.metadata.context_window)
    report = llm.structured_predict(Report, PromptTemplate("Weather in {city}?"), city="Rome")
    assert_type(report, Report)
    print(llm.as_structured_llm(Report).chat(messages).raw)
    adder = FunctionTool.from_defaults(add)
    response = llm.chat_with_tools([adder], "1 + 2?", tool_required=True)
    for call in llm.get_tool_calls_from_response(response):
        print(call.tool_name, call.tool_kwargs)
    print(llm.predict_and_call([adder], "1 + 2?").response)


async def llamaindex_async(llm: Llama70B) -> None:
    messages = [li.ChatMessage(role="user", content="Hi")]
    assert_type(await llm.achat(messages), li.ChatResponse)
    assert_type(await llm.acomplete("Hi"), li.CompletionResponse)
    async for part in await llm.astream_chat(messages):
        print(part.delta)
    async for piece in await llm.astream_complete("Hi"):
        print(piece.delta)
    assert_type(await llm.astructured_predict(Report, PromptTemplate("Weather?")), Report)
    agent = FunctionAgent(tools=[FunctionTool.from_defaults(add)], llm=llm, system_prompt="Be exact.")
    # The overload that type checkers find first is the deprecated one, and its result is no known type.
    answer = await agent.run(user_msg="1 + 2?")  # pyright: ignore[reportDeprecated, reportUnknownVariableType]
    print(str(answer))  # pyright: ignore[reportUnknownArgumentType]
    await llm.aclose()


def llamaindex_index(llm: Llama70B) -> None:
    index = SummaryIndex.from_documents([Document(text="The capital of France is Paris.")])
    engine = index.as_query_engine(llm=llm, response_mode="compact")  # pyright: ignore[reportUnknownMemberType] - its own
    print(engine.query("What is the capital?"))


def llamaindex_errors(llm: Llama70B) -> str:
    try:
        return llm.complete("Hi").text
    except errors.ContextOverflow as error:
        return f"{error.prompt_tokens} of {error.max_model_len}"
    except errors.Llama70BError as error:
        return error.message
