"""History made fit for Llama 3.3's template, without losing or inventing a turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b import Message, ToolCall, _history
from llama70b._history import repaired
from tests.unit.core.world import few

A, B = ToolCall("a", "add", "{}"), ToolCall("b", "sub", "{}")


def asks(*calls: ToolCall, text: str = "") -> Message:
    return Message("assistant", text, tool_calls=calls)


def result(call_id: str, text: str = "r") -> Message:
    return Message("tool", text, tool_call_id=call_id)


def test_plain_history_is_left_alone() -> None:
    turns = [Message("system", "s"), Message("user", "u"), asks(A), result("a"), Message("assistant", "x")]
    assert repaired(turns, with_tools=True) == turns
    assert repaired(turns, with_tools=False) == turns


def test_two_calls_become_two_turns_each_with_its_result() -> None:
    turns = [Message("user", "u"), asks(A, B, text="both"), result("b", "2"), result("a", "1"), Message("user", "v")]
    assert repaired(turns, with_tools=True) == [
        Message("user", "u"),
        asks(A, text="both"),
        result("a", "1"),
        asks(B),
        result("b", "2"),
        Message("user", "v"),
    ]


def test_unanswered_calls_and_unasked_results_stay() -> None:
    assert repaired([asks(A, B), result("c")], with_tools=False) == [asks(A), asks(B), result("c")]


def test_calls_that_share_an_id_share_no_result() -> None:
    same = ToolCall("a", "sub", "{}")
    turns = [asks(A, same), result("a", "1"), result("a", "2")]
    assert repaired(turns, with_tools=False) == [asks(A), result("a", "1"), asks(same), result("a", "2")]


def test_tools_need_a_user_turn_before_the_assistant() -> None:
    empty = Message("user", "")
    assert repaired([], with_tools=True) == [empty]
    assert repaired([Message("system", "s")], with_tools=True) == [Message("system", "s"), empty]
    assert repaired([asks(A)], with_tools=True) == [empty, asks(A)]
    assert repaired([asks(A)], with_tools=False) == [asks(A)]


def test_what_was_done_is_logged_once_per_kind(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_history, "_logged", set())
    caplog.set_level("INFO", logger="llama70b")
    for _ in range(3):
        repaired([asks(A, B, text="secret words"), result("a")], with_tools=True)
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert sorted("split" in record.getMessage() for record in caplog.records) == [False, True]
    assert "secret" not in caplog.text


def test_only_the_results_of_the_same_turn_are_moved() -> None:
    turns = [Message("user", "u"), asks(A, B), result("a"), Message("user", "v"), result("b")]
    assert repaired(turns, with_tools=True) == [
        Message("user", "u"),
        asks(A),
        result("a"),
        asks(B),
        Message("user", "v"),
        result("b"),
    ]


CALLS = st.lists(st.builds(ToolCall, st.sampled_from("abc"), st.just("f"), st.just("{}")), max_size=3).map(tuple)
TURNS = st.one_of(
    st.builds(Message, st.sampled_from(["system", "user"]), st.text(max_size=3)),
    st.builds(lambda t, c: Message("assistant", t, tool_calls=c), st.text(max_size=3), CALLS),
    st.builds(lambda t, i: Message("tool", t, tool_call_id=i), st.text(max_size=3), st.sampled_from("abc")),
)


@few
@given(st.lists(TURNS, max_size=8), st.booleans())
def test_nothing_is_lost_doubled_or_left_over(turns: list[Message], with_tools: bool) -> None:
    before = list(turns)
    sent = repaired(turns, with_tools=with_tools)
    assert turns == before
    assert all(len(turn.tool_calls) <= 1 for turn in sent)
    assert [c for t in sent for c in t.tool_calls] == [c for t in turns for c in t.tool_calls]
    key = lambda m: (m.role, m.content, m.tool_call_id or "")  # noqa: E731 - a sort key
    assert sorted((m for m in sent if m.role == "tool"), key=key) == sorted(
        (m for m in turns if m.role == "tool"), key=key
    )
    assert "".join(t.content for t in sent if t.role == "assistant") == "".join(
        t.content for t in turns if t.role == "assistant"
    )
    assert repaired(sent, with_tools=with_tools) == sent
