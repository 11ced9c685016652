"""Tool calls: the grammar that forces them, and the parsers that find them in what the model writes. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

MARKER = "<|python_tag|>"
"""Llama 3's sign before a tool call; vLLM's parser `llama3_json` accepts the call with and without it."""

_MOST_FORCED_CALLS = 4  # a tiny model told "required" may never close the list by itself


@dataclass(frozen=True, slots=True)
class Call:
    """A whole tool call: name and JSON text of the arguments."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A fragment of a call in a stream.

    Attributes:
        index: Number of the call, from 0.
        name: Set on the first piece of a call only.
        arguments: JSON text to append.
    """

    index: int
    name: str | None
    arguments: str


def required_schema(tools: Sequence[Mapping[str, Any]], *, single: bool) -> dict[str, Any]:
    """Schema of the answer to `tool_choice: "required"`: a list of `{"name": ..., "parameters": ...}`.

    Args:
        tools: The request's `tools`.
        single: Exactly one call (`parallel_tool_calls: false`); else 1 to 4, or one per tool if there are more.
    """
    definitions: dict[str, Any] = {}
    calls = []
    for number, tool in enumerate(tools):
        function = tool["function"]
        place = f"tool{number}"
        # Each tool's schema keeps its own `$defs`: its references are moved along with it.
        definitions[place] = _moved(parameters_of(tool), f"#/$defs/{place}")
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": function["name"]}, "parameters": {"$ref": f"#/$defs/{place}"}},
                "required": ["name", "parameters"],
            }
        )
    most = 1 if single else max(_MOST_FORCED_CALLS, len(calls))
    return {"type": "array", "items": {"anyOf": calls}, "minItems": 1, "maxItems": most, "$defs": definitions}


def parameters_of(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tool's JSON schema; a tool without one takes an empty object."""
    return tool["function"].get("parameters") or {"type": "object", "properties": {}}


def _moved(node: Any, root: str) -> Any:
    if isinstance(node, Mapping):
        return {
            key: root + value[1:]
            if key == "$ref" and isinstance(value, str) and value.startswith("#")
            else _moved(value, root)
            for key, value in node.items()
        }
    return [_moved(item, root) for item in node] if isinstance(node, list) else node


def forced_calls(text: str) -> list[Call]:
    """Read the answer to "required"; an answer cut off before its end has no calls, as in vLLM."""
    try:
        items = json.loads(text)
    except json.JSONDecodeError:
        return []
    return [Call(item["name"], json.dumps(item["parameters"], ensure_ascii=False)) for item in items]


def calls_in_text(text: str) -> list[Call]:
    """Find calls a model wrote of its own accord: `{"name": ..., "parameters" or "arguments": ...}` anywhere.

    vLLM's `llama3_json` rules: several objects make several calls; one object that is no call makes the whole
    answer plain text.
    """
    calls = []
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
            arguments = found["arguments"] if "arguments" in found else found["parameters"]
            calls.append(Call(str(found["name"]), json.dumps(arguments, ensure_ascii=False)))
        except (json.JSONDecodeError, KeyError):
            return []
        at = text.find("{", end)
    return calls


_Expect = Literal["key", "colon", "value", "text", "nested", "scalar", "comma"]


@dataclass(slots=True)
class CallScanner:
    """Reads calls out of JSON text that arrives in pieces, both of `[{...}, {...}]` and of `{...}; {...}`.

    A call is announced when its name and the start of its arguments are known; then every further character of the
    arguments is passed on as it comes.
    """

    _index: int = -1
    _depth: int = 0  # 0 between calls, 1 inside a call object, more inside a value
    _expect: _Expect = "key"
    _in_string: bool = False
    _escaped: bool = False
    _token: list[str] = field(default_factory=list)  # raw text of the key or value being read
    _key: str = ""
    _name: str | None = None
    _announced: bool = False
    _held: list[str] = field(default_factory=list)  # arguments read before the name was known
    _fresh: list[str] = field(default_factory=list)  # arguments read since the last piece
    _has_arguments: bool = False

    def feed(self, text: str) -> list[CallPiece]:
        """Return the pieces that `text` adds."""
        pieces: list[CallPiece] = []
        for char in text:
            ended = self._step(char)
            if ended or self._ready():
                self._flush(pieces)
        self._flush(pieces)
        return pieces

    def _ready(self) -> bool:
        return self._name is not None and self._has_arguments and not self._announced

    def _flush(self, pieces: list[CallPiece]) -> None:
        if self._ready():
            self._index += 1
            self._announced = True
            pieces.append(CallPiece(self._index, self._name, "".join(self._held)))
        elif self._announced and self._fresh:
            more = "".join(self._fresh)
            if pieces and pieces[-1].index == self._index:
                pieces[-1] = replace(pieces[-1], arguments=pieces[-1].arguments + more)
            else:
                pieces.append(CallPiece(self._index, None, more))
        else:
            return
        self._held.clear()
        self._fresh.clear()

    def _step(self, char: str) -> bool:
        """Read one character; True when it closes a call object."""
        if self._depth == 0:
            if char == "{":
                self._begin()
            return False
        if self._in_string:
            self._string(char)
        elif char == '"':
            self._in_string = True
            if self._depth == 1:
                self._token.clear()
                self._expect = "text" if self._expect == "value" else self._expect
            self._take(char)
        elif char in "{[":
            self._depth += 1
            self._expect = "nested" if self._expect == "value" else self._expect
            self._take(char)
        elif char in "}]":
            return self._close(char)
        elif self._depth > 1:
            self._take(char)
        else:
            self._between(char)
        return False

    def _begin(self) -> None:
        self._depth, self._expect, self._key, self._name = 1, "key", "", None
        self._announced = self._has_arguments = False
        self._held.clear()
        self._fresh.clear()

    def _string(self, char: str) -> None:
        self._take(char)
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == '"':
            self._in_string = False
            if self._depth == 1:
                self._end_token()

    def _end_token(self) -> None:
        try:
            token = str(json.loads("".join(self._token)))
        except json.JSONDecodeError:
            token = ""  # free text may hold a faulty escape; then this is no key or name we know
        if self._expect == "key":
            self._key, self._expect = token, "colon"
        elif self._expect == "text":
            self._name = token if token and self._key == "name" else self._name
            self._expect = "comma"
        self._token.clear()

    def _close(self, char: str) -> bool:
        if self._depth > 1:
            self._take(char)
        self._depth -= 1
        if self._depth == 1 and self._expect == "nested":
            self._expect = "comma"
        return self._depth == 0

    def _between(self, char: str) -> None:
        """A character at the call's own level that is neither string nor bracket."""
        if char == ":" and self._expect == "colon":
            self._expect = "value"
        elif char == ",":
            self._expect = "key"
        elif not char.isspace():
            self._expect = "scalar" if self._expect == "value" else self._expect
            self._take(char)

    def _take(self, char: str) -> None:
        """Keep a character of the value being read, where it belongs."""
        if self._depth == 1 and self._expect in ("key", "text"):
            self._token.append(char)
        if self._key in ("parameters", "arguments") and self._expect in ("text", "nested", "scalar"):
            self._has_arguments = True
            (self._fresh if self._announced else self._held).append(char)


@dataclass(slots=True)
class AutoScanner:
    """Splits what a model writes under `tool_choice: "auto"` into text and calls while it arrives.

    Text that begins like a call (`{`, or Llama's marker) is held back until a call shows, and given back as text at
    the end if none did.
    """

    _scanner: CallScanner = field(default_factory=CallScanner)
    _seen: str = ""
    _mode: Literal["unsure", "text", "calls"] = "unsure"
    _called: bool = False

    def feed(self, text: str) -> tuple[str, list[CallPiece]]:
        """Return the new plain text and the new pieces of calls."""
        if self._mode == "text":
            return text, []
        self._seen += text
        if self._mode == "unsure":
            start = self._seen.lstrip()
            if not start or (len(start) < len(MARKER) and MARKER.startswith(start)):
                return "", []
            if not start.startswith(("{", MARKER)):
                self._mode = "text"
                return self._seen, []
            self._mode = "calls"
            text = self._seen
        pieces = self._scanner.feed(text)
        self._called = self._called or bool(pieces)
        return "", pieces

    def finish(self) -> str:
        """Return text that was held back in the belief that it began a call."""
        return "" if self._called or self._mode == "text" else self._seen


def parsed_object(text: str) -> dict[str, Any] | None:
    """Parse JSON text that should be an object; None when it is not."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
