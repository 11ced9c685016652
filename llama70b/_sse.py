r"""Server-sent events, sans-IO: bytes in any chunking in, events out.

https://html.spec.whatwg.org/multipage/server-sent-events.html. A line ends at LF, CR LF or CR and nowhere else:
splitlines-style readers also break at U+2028, U+0085 and \x0b, which occur inside JSON strings.
"""

from __future__ import annotations

from llama70b.errors import ProtocolError, ResponseTooLarge

MAX_EVENT_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"

Event = tuple[str, str]
"""Event type ("" for the default, message) and data."""


class SSEDecoder:
    """Decode a stream. Feed every chunk as it comes; an event left unterminated at the end is not delivered.

    Attributes:
        fault: What is wrong in the stream after the events last returned; the next `feed` raises it.
    """

    __slots__ = ("_after_cr", "_at_start", "_max", "_parts", "_size", "fault")

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._parts: list[bytes] = []  # the unfinished block, joined only when its end may have come
        self._size = 0
        self._max = max_event_bytes
        self._at_start = True
        self._after_cr = False
        self.fault: ProtocolError | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that this chunk completes, in order.

        Raises:
            ProtocolError: An event is not UTF-8.
            ResponseTooLarge: An event is over the cap.
        """
        if self.fault is not None:
            raise self.fault
        if self._after_cr or b"\r" in chunk:
            chunk = self._unify_line_ends(chunk)
        if not chunk:
            return []
        self._parts.append(chunk)
        self._size += len(chunk)
        if b"\n" not in chunk and not self._at_start:
            self._check_size(self._size - 1)  # the last byte may turn out to be half of a line end
            return []
        buffer = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if self._at_start:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                return []
            buffer = buffer.removeprefix(_BOM)
            self._at_start = False
        blocks = buffer.split(b"\n\n")
        tail = blocks.pop()
        self._parts = [tail] if tail else []
        self._size = len(tail)
        events: list[Event] = []
        try:
            for block in blocks:
                event = self._event(block)
                if event is not None:
                    events.append(event)
            self._check_size(self._size - 1)
        except ProtocolError as error:
            self.fault = error
            if not events:
                raise
        return events

    def _unify_line_ends(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a CR LF cut in two; the CR has been counted
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check_size(self, size: int) -> None:
        if size > self._max:
            raise ResponseTooLarge(f"one event of the stream is larger than {self._max} bytes")

    def _event(self, block: bytes) -> Event | None:
        self._check_size(len(block))
        try:
            text = block.decode()
        except UnicodeDecodeError as error:
            # `from None`: the exception's own arguments would carry the answer's bytes into logs.
            raise ProtocolError(f"the stream is not UTF-8 ({error.reason} in an event)") from None
        if text.startswith("data: ") and "\n" not in text:
            return "", text[6:]
        kind, data = "", []
        for line in text.split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "event":
                kind = value
        return (kind, "\n".join(data)) if data else None
