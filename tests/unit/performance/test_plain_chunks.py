"""Chunks that are copied instead of validated are what LangChain's constructors would have made."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_llama70b._chunks import ChunkMaker
from langchain_llama70b._names import PROVIDER
from llama70b import Delta, ToolCallDelta

_FRAGMENTS = st.text(alphabet='{}[]",:\\ \n\tab1é', max_size=12)


def _constructed(delta: Delta) -> ChatGenerationChunk:
    calls = [tool_call_chunk(name=c.name, args=c.arguments, id=c.id, index=c.index) for c in delta.tool_calls]
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content=delta.content, tool_call_chunks=calls, response_metadata={"model_provider": PROVIDER}
        )
    )


@settings(deadline=None)
@given(st.text(max_size=5), st.lists(st.tuples(_FRAGMENTS, st.none() | st.just("check")), max_size=2))
def test_a_chunk_equals_the_constructed_one(content: str, fragments: list[tuple[str, str | None]]) -> None:
    calls = tuple(ToolCallDelta(n, name and "id", name, text) for n, (text, name) in enumerate(fragments))
    delta = Delta(content=content, tool_calls=calls)
    made = ChunkMaker().chunk(delta)
    if made is None:
        assert not content
        assert not fragments
        return
    wanted = _constructed(delta)
    assert made == wanted
    assert made.model_dump() == wanted.model_dump()
    assert made.text == wanted.text


def test_no_two_chunks_share_what_can_be_changed_in_place() -> None:
    maker = ChunkMaker()
    first, second = (maker.chunk(Delta(content="a")) for _ in range(2))
    assert first is not None
    assert second is not None
    for one, other in ((first, second), (first.message, second.message)):
        for name, value in vars(one).items():
            if isinstance(value, dict | list | set):
                assert value is not vars(other)[name], f"{name} is shared"
