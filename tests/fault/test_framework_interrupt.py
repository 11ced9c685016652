"""`on_interrupt` in both frameworks: the error carries what had arrived, or what had arrived is returned."""

from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from llama_index.core.llms import ChatMessage
from pydantic import BaseModel

from langchain_llama70b import ChatLlama70B
from llama70b.errors import IncompleteStream
from llamaindex_llama70b import Llama70B
from llamaindex_llama70b._errors import OutputTruncated
from tests.fault.asking import QUICK
from tests.fault.faultd import Case, FaultServer, chunk_of, data, delta

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1'}}
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}
BEGUN = [delta("Let me"), data(chunk_of(delta={"tool_calls": [CALL]}))]
HELLO = [ChatMessage(role="user", content="Say hello")]


class City(BaseModel):
    name: str
    people: int


@pytest.fixture
def case(faultd: FaultServer) -> Case:
    return faultd.case("events", blocks=BEGUN, then="reset")


def _options(case: Case, **more: Any) -> dict[str, Any]:
    return {"base_url": case.url, "api_key": "key-of-the-tests", "timeout": QUICK, "progress_bar": False, **more}


async def _chunks(llm: ChatLlama70B, way: str, **options: Any) -> list[Any]:
    if way == "sync":
        return list(llm.stream("Say hello", tools=[TOOL], **options))
    return [chunk async for chunk in llm.astream("Say hello", tools=[TOOL], **options)]


async def _responses(llm: Llama70B, way: str, **options: Any) -> list[Any]:
    if way == "sync":
        return list(llm.stream_chat(HELLO, tools=[TOOL], **options))
    return [response async for response in await llm.astream_chat(HELLO, tools=[TOOL], **options)]


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("given", ["model", "call"])
async def test_langchain_returns_what_had_arrived(case: Case, way: str, given: str) -> None:
    option = {"on_interrupt": "return"}
    async with ChatLlama70B(**_options(case, **(option if given == "model" else {}))) as llm:
        chunks = await _chunks(llm, way, **(option if given == "call" else {}))
    whole = sum(chunks[1:], chunks[0])
    assert whole.response_metadata["finish_reason"] == "interrupted"
    assert whole.text == "Let me"
    assert not whole.tool_calls
    assert [(call["id"], call["name"]) for call in whole.invalid_tool_calls] == [("c1", "add")]
    assert case.posts == 1


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_langchain_raises_by_default_with_what_had_arrived(case: Case, way: str) -> None:
    async with ChatLlama70B(**_options(case)) as llm:
        with pytest.raises(IncompleteStream) as caught:
            await _chunks(llm, way)
    assert (caught.value.text, caught.value.tool_calls[0].arguments) == ("Let me", '{"a": 1')


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_langchain_invoke_over_a_stream(case: Case, way: str) -> None:
    async with ChatLlama70B(**_options(case, on_interrupt="return", streaming=True)) as llm:
        answer = llm.invoke("Say hello") if way == "sync" else await llm.ainvoke("Say hello")
    assert (answer.text, answer.response_metadata["finish_reason"]) == ("Let me", "interrupted")


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_langchain_half_an_object_is_no_object(faultd: FaultServer, way: str) -> None:
    case = faultd.case("events", blocks=[delta('{"name": "Pa')], then="reset")
    async with ChatLlama70B(**_options(case, on_interrupt="return", streaming=True)) as llm:
        structured = llm.with_structured_output(City)
        with pytest.raises(OutputParserException, match="stream was cut off"):
            _ = structured.invoke("x") if way == "sync" else await structured.ainvoke("x")


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("given", ["model", "call"])
async def test_llamaindex_returns_what_had_arrived(case: Case, way: str, given: str) -> None:
    option = {"on_interrupt": "return"}
    llm = Llama70B(**_options(case, **(option if given == "model" else {})))
    last = (await _responses(llm, way, **(option if given == "call" else {})))[-1]
    assert last.additional_kwargs["finish_reason"] == "interrupted"
    assert last.message.content == "Let me"
    with pytest.raises(OutputTruncated) as caught:
        llm.get_tool_calls_from_response(last)
    assert caught.value.text == '{"a": 1'
    refused = llm.get_tool_calls_from_response(last, error_on_no_tool_call=False)
    assert refused[0].tool_kwargs == {"malformed_arguments": '{"a": 1', "error": "the arguments are cut off"}
    assert case.posts == 1
    llm.close()
    await llm.aclose()


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_llamaindex_raises_by_default_with_what_had_arrived(case: Case, way: str) -> None:
    llm = Llama70B(**_options(case))
    with pytest.raises(IncompleteStream) as caught:
        await _responses(llm, way)
    assert (caught.value.text, caught.value.tool_calls[0].arguments) == ("Let me", '{"a": 1')
    llm.close()
    await llm.aclose()
