"""The pure pieces: partial JSON, schemas, choices, conversions."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from llama70b import Delta, Logprob, ToolCallDelta
from llama70b._names import ENGINE_FIELDS
from llamaindex_llama70b._convert import logprobs, to_message
from llamaindex_llama70b._names import ALIASES, check_names, renamed
from llamaindex_llama70b._request import choices
from llamaindex_llama70b._streaming import Accumulator, PartialJson
from llamaindex_llama70b._tools import without_titles

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)


class TestPartialJson:
    @settings(deadline=None)  # the machine is shared
    @given(OBJECTS, st.integers(1, 9))
    def test_it_ends_at_the_whole_and_never_raises(self, value: dict[str, Any], step: int) -> None:
        text = json.dumps(value)
        partial = PartialJson()
        for end in range(step, len(text) + step, step):
            before = partial.value
            kept = json.dumps(before)
            partial.read(text[:end])
            assert json.dumps(before) == kept  # readings are not changed afterwards
            assert set(partial.value) <= set(value) or end < len(text)
        assert partial.value == value or len(text) >= 256  # from there on a reading may be an eighth old

    @settings(deadline=None)  # the machine is shared
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        PartialJson().read(text)

    def test_all_parses_together_are_linear(self) -> None:
        text = json.dumps({"text": "x" * 50_000})
        partial, parsed = PartialJson(), 0
        for end in range(1, len(text), 5):
            before = partial._next
            partial.read(text[:end])
            parsed += end if partial._next != before else 0
        assert parsed < 12 * len(text)


class TestAccumulator:
    def test_calls_without_ids(self) -> None:
        state = Accumulator(single_call=False)
        state.push(Delta(tool_calls=(ToolCallDelta(0, None, "f", "{}"),)))
        shown = state.push(Delta(tool_calls=(ToolCallDelta(1, None, "g", '{"a"'),)))
        assert shown is not None
        assert [(b.tool_call_id, b.tool_name) for b in shown.message.blocks if isinstance(b, ToolCallBlock)] == [
            ("call_0", "f"),
            ("call_1", "g"),
        ]

    def test_what_brings_nothing_shows_nothing(self) -> None:
        state = Accumulator(single_call=True)
        assert state.push(Delta()) is None
        assert state.push(Delta(finish_reason="stop")) is None
        assert state.push(Delta(tool_calls=(ToolCallDelta(0, "a", "f", ""),))) is not None
        assert state.push(Delta(tool_calls=(ToolCallDelta(1, "b", "g", "{}"),))) is None

    @settings(deadline=None)  # the machine is shared
    @given(st.lists(st.text(max_size=5)))
    def test_cumulative(self, pieces: list[str]) -> None:
        state = Accumulator(single_call=False)
        text = ""
        for piece in pieces:
            shown = state.push(Delta(content=piece))
            text += piece
            if piece:
                assert shown is not None
                assert shown.message.content == text
                assert shown.delta == piece
            else:
                assert shown is None


class TestConvert:
    def test_blocks(self) -> None:
        message = ChatMessage(
            role="user",
            blocks=[
                TextBlock(text="a"),
                CachePoint(cache_control=CacheControl(type="ephemeral")),
                ThinkingBlock(content="hm"),
                CitableBlock(title="t", source="s", content=[TextBlock(text="b")]),
                CitationBlock(
                    cited_content=TextBlock(text="c"), source="s", title="t", additional_location_info={"page": 1}
                ),
            ],
        )
        assert to_message(message).content == "a\nb\nc"

    @settings(deadline=None)  # the machine is shared
    @given(st.text(), st.sampled_from(["user", "assistant", "system", "tool"]))
    def test_text(self, text: str, role: Any) -> None:
        made = to_message(ChatMessage(role=role, content=text))
        assert (made.role, made.content) == (role, text)

    @settings(deadline=None)  # the machine is shared
    @given(OBJECTS)
    def test_arguments(self, arguments: dict[str, Any]) -> None:
        block = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs=arguments)
        (call,) = to_message(ChatMessage(role="assistant", blocks=[block])).tool_calls
        assert call.parsed() == arguments

    def test_a_tool_id_on_other_roles_is_dropped(self) -> None:
        made = to_message(ChatMessage(role="assistant", content="a", additional_kwargs={"tool_call_id": "c"}))
        assert made.tool_call_id is None

    def test_logprobs_with_alternatives(self) -> None:
        entry = Logprob("a", -0.1, (97,), top=(Logprob("b", -0.05, (98,)), Logprob("a", -0.1, (97,))))
        assert [(p.token, p.logprob) for p in (logprobs([entry]) or [])[0]] == [("a", -0.1), ("b", -0.05)]
        assert logprobs(None) is None


class TestSmallThings:
    @settings(deadline=None)  # the machine is shared
    @given(JSON)
    def test_without_titles_loses_only_titles(self, value: Any) -> None:
        schema = {"type": "object", "title": "T", "properties": {"title": {"title": "X", "default": value}}}
        kept = without_titles(schema)
        assert kept["properties"].keys() == {"title"}
        assert "title" not in kept
        assert "title" not in kept["properties"]["title"]

    def test_choices(self) -> None:
        class Colour(Enum):
            RED = "red"
            TWO = 2

        assert choices(Colour) == ("red", "2")
        assert choices(Literal["a", "b"]) == ("a", "b")
        assert choices(("x",)) == ("x",)

    def test_names(self) -> None:
        assert renamed({"max_completion_tokens": 1, "stream": True, "seed": None}) == {"max_tokens": 1}
        assert not set(ALIASES) & ENGINE_FIELDS
        check_names(["guided_json"], [], "x")
        with pytest.raises(ValueError, match="did you mean top_k"):
            check_names(["topk"], ENGINE_FIELDS, "x")
