"""The event-stream decoder: whatever the cuts and line ends, the same events."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b._sse import MAX_EVENT_BYTES, Event, SSEDecoder
from llama70b.errors import ProtocolError, ResponseTooLarge
from tests.unit.core.world import cut, few


def decoded(*chunks: bytes) -> list[Event]:
    return decoded_by(SSEDecoder(), *chunks)


def decoded_by(decoder: SSEDecoder, *chunks: bytes) -> list[Event]:
    return [event for chunk in chunks for event in decoder.feed(chunk)]


# What https://html.spec.whatwg.org/multipage/server-sent-events.html says of each block, and then some.
STANDARD: dict[str, tuple[str, list[Event]]] = {
    "one line": ("data: x\n\n", [("", "x")]),
    "without the space": ("data:x\n\n", [("", "x")]),
    "only one space is taken off": ("data:  x\n\n", [("", " x")]),
    "several lines": ("data: a\ndata: b\ndata\ndata:\n\n", [("", "a\nb\n\n")]),
    "an empty event": ("data\n\n", [("", "")]),
    "two empty lines": ("data\ndata\n\n", [("", "\n")]),
    "comment": (": keep-alive\n\n: more\ndata: x\n\n", [("", "x")]),
    "event": ("event: error\ndata: x\n\ndata: y\n\n", [("error", "x"), ("", "y")]),
    "the last event name counts": ("event: a\nevent: b\ndata: x\n\n", [("b", "x")]),
    "event without data": ("event: error\n\ndata: x\n\n", [("", "x")]),
    "id and retry are ignored": ("id: 7\nretry: 10\ndata: x\n\n", [("", "x")]),
    "an unknown field": ("date: x\nDATA: y\n data: z\n\n", []),
    "colons in the data": ("data: a: b:c\n\n", [("", "a: b:c")]),
    "byte order mark": ("\ufeffdata: x\n\n", [("", "x")]),
    "a second mark is data": ("\ufeff\ufeffdata: x\n\ndata: \ufeffy\n\n", [("", "\ufeffy")]),
    "line separators of Unicode": (
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n",
        [("", "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg")],
    ),
    "NUL": ("data: a\0b\n\n", [("", "a\0b")]),
    "characters of 2, 3 and 4 bytes": ("data: é你🦙\n\n", [("", "é你🦙")]),
    "blank lines between": ("\n\n\ndata: x\n\n\n\n\ndata: y\n\n", [("", "x"), ("", "y")]),
    "unterminated at the end": ("data: x\n\ndata: y\n", [("", "x")]),
    "nothing": ("", []),
}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("case", STANDARD)
def test_the_standard_for_every_line_end_and_cut(case: str, line_end: str) -> None:
    text, expected = STANDARD[case]
    wire = text.replace("\n", line_end).encode()
    assert decoded(wire) == expected
    assert decoded(*(wire[n : n + 1] for n in range(len(wire)))) == expected
    for place in range(len(wire)):
        assert decoded(wire[:place], b"", wire[place:]) == expected, place


lines = st.lists(
    st.tuples(
        st.sampled_from(["data: ", "data:", "data", ": ", "event: ", "id: ", "", "", "retry: 1", "\ufeffdata: "]),
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=6),
        st.sampled_from(["\n", "\r\n", "\r"]),
    ),
    max_size=12,
)


@few
@given(lines, st.lists(st.integers(0, 400), max_size=12))
def test_no_chunking_changes_the_events(parts: list[tuple[str, str, str]], places: list[int]) -> None:
    wire = "".join(name + value + end for name, value, end in parts).encode()
    assert decoded(*cut(wire, places)) == decoded(wire) == _by_the_standard(wire)


def _by_the_standard(wire: bytes) -> list[Event]:
    """The standard's algorithm, line by line over the whole text: slow, plain, and written apart from ours."""
    text = wire.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events: list[Event] = []
    kind, data = "", ""
    for line in text.split("\n")[:-1]:
        if not line:
            if data:
                events.append((kind, data.removesuffix("\n")))
            kind, data = "", ""
        elif line.startswith("data:"):
            data += line[5:].removeprefix(" ") + "\n"
        elif line == "data":
            data += "\n"
        elif line.startswith("event:"):
            kind = line[6:].removeprefix(" ")
        elif line == "event":
            kind = ""
    return events


@pytest.mark.parametrize("name", ["stream", "tool_call", "unicode", "logprobs", "error_inside"])
def test_a_recorded_stream_for_every_cut(name: str, recorded_stream: Callable[[str], bytes]) -> None:
    wire = recorded_stream(name)
    events = [("", line.removeprefix("data: ")) for line in wire.decode().split("\n\n") if line]
    assert events[-1] == ("", "[DONE]")
    assert decoded(wire) == events
    for size in (1, 2, 3, 7, 64, 1000):
        assert decoded(*(wire[n : n + size] for n in range(0, len(wire), size))) == events


@pytest.mark.parametrize("data", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"a\x80b"])
def test_invalid_utf8_is_typed_and_not_quoted(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="not UTF-8") as caught:
        decoded(b"data: secret answer " + data + b"\n\n")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def until_fault(*chunks: bytes, most: int = MAX_EVENT_BYTES) -> tuple[list[Event], type[ProtocolError] | None]:
    """Return what is delivered before a fault, and the fault, as a reader of the stream sees them."""
    decoder = SSEDecoder(max_event_bytes=most)
    events = []
    for chunk in chunks:
        try:
            events += decoder.feed(chunk)
        except ProtocolError as error:
            return events, type(error)
        if decoder.fault is not None:
            return events, type(decoder.fault)
    return events, None


@pytest.mark.parametrize(
    ("wire", "fault"),
    [
        (b"data: good\n\ndata: \xff\n\ndata: later\n\n", ProtocolError),
        (b"data: good\n\ndata: much too long for one\n\ndata: later\n\n", ResponseTooLarge),
        (b"data: good\n\ndata: much too long and without an end", ResponseTooLarge),
    ],
)
def test_what_came_before_a_fault_is_delivered_for_every_cut(wire: bytes, fault: type[ProtocolError]) -> None:
    for place in range(len(wire)):
        assert until_fault(wire[:place], wire[place:], most=20) == ([("", "good")], fault), place


def test_nothing_is_read_after_a_fault() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: good\n\ndata: \xff\n\n") == [("", "good")]
    for chunk in (b"data: later\n\n", b""):
        with pytest.raises(ProtocolError, match="not UTF-8"):
            decoder.feed(chunk)


class TestCaps:
    def test_the_largest_event_passes(self) -> None:
        wire = b"data: " + b"x" * (MAX_EVENT_BYTES - 6) + b"\n\n"
        assert len(decoded(wire)[0][1]) == MAX_EVENT_BYTES - 6
        assert len(decoded(wire[:-2], wire[-2:])[0][1]) == MAX_EVENT_BYTES - 6

    @pytest.mark.parametrize("chunk", [b"x" * 4096, b"x\n" * 2048, b"\r" + b"x" * 4095], ids=["line", "lines", "CR"])
    def test_an_endless_event_is_refused_near_the_cap(self, chunk: bytes) -> None:
        decoder = SSEDecoder()
        for _ in range(MAX_EVENT_BYTES // len(chunk)):
            assert decoder.feed(chunk) == []
        with pytest.raises(ResponseTooLarge, match="1048576 bytes"):
            decoded_by(decoder, chunk, chunk)

    def test_one_chunk_over_the_cap(self) -> None:
        with pytest.raises(ResponseTooLarge):
            list(SSEDecoder(max_event_bytes=10).feed(b"data: 12345\n\n"))
        assert list(SSEDecoder(max_event_bytes=10).feed(b"data: 1234\n\n")) == [("", "1234")]

    def test_many_small_events_are_no_large_one(self) -> None:
        decoder = SSEDecoder(max_event_bytes=10)
        assert sum(len(list(decoder.feed(b"data: 1\n\n"))) for _ in range(100)) == 100
