"""Conversations and tools of a request, checked and in the shape that chat templates expect. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from llama70b.local import _tools
from llama70b.local._words import Refusal, invalid

ToolMode = Literal["none", "auto", "required", "named"]
"""Which tools may or must be called."""


def read_messages(messages: Any) -> tuple[Mapping[str, Any], ...]:
    """Bring a conversation into the shape that chat templates expect: texts as strings, arguments as objects.

    Raises:
        Refusal: 400, something is not as the API defines it, or is not text.
    """
    if not isinstance(messages, list):
        problem = "Field required" if messages is None else "Input should be a valid list"
        raise invalid("messages", problem, messages)
    return tuple(_message(message, f"messages.{place}") for place, message in enumerate(messages))


def _message(message: Any, path: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise invalid(path, "Input should be a valid dictionary", message)
    if not isinstance(message.get("role"), str):
        raise invalid(f"{path}.role", "Field required", message.get("role"))
    read = {key: value for key, value in message.items() if key not in ("content", "tool_calls") and value is not None}
    read["content"] = _content(message.get("content"), f"{path}.content")
    calls = message.get("tool_calls")
    if calls:
        read["tool_calls"] = [_history_call(call) for call in calls]
    return read


def _content(content: Any, path: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(path, "Input should be a valid string", content)
    texts = []
    for part in content:
        kind = "text" if isinstance(part, str) else part.get("type") if isinstance(part, Mapping) else None
        text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
        if kind != "text" or not isinstance(text, str):
            raise Refusal(f"this is not a multimodal model: {path} holds a part of type {kind!r}")
        texts.append(text)
    return "\n".join(texts)


def _history_call(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or call.get("type", "function") != "function":
        raise Refusal("chat completions only support assistant tool_calls of type 'function'.", param="tool_calls")
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        # Malformed arguments in the history stay as the text they are: refusing would end the conversation for good.
        parsed = _tools.parsed_object(arguments)
        arguments = arguments if parsed is None else parsed
    return {**call, "function": {**function, "arguments": arguments}}


def read_tools(tools: Any) -> tuple[Mapping[str, Any], ...]:
    """Check `tools` and bring them into the shape that templates show.

    Raises:
        Refusal: 400, a tool is malformed.
    """
    if tools is None:
        return ()
    if not isinstance(tools, list):
        raise invalid("tools", "Input should be a valid list", tools)
    shown = []
    for place, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping):
            raise invalid(f"tools.{place}.function", "Field required", tool)
        if not isinstance(function.get("name"), str) or not function["name"]:
            raise invalid(f"tools.{place}.function.name", "Field required", function.get("name"))
        if not isinstance(function.get("parameters", {}), Mapping | None):
            problem = "Input should be a valid dictionary"
            raise invalid(f"tools.{place}.function.parameters", problem, function["parameters"])
        kept = {key: function.get(key) for key in ("name", "description", "parameters")}
        if function.get("strict") is not None:
            kept["strict"] = function["strict"]  # shown to the model too, as vLLM does
        shown.append({"type": "function", "function": kept})
    return tuple(shown)


def read_tool_choice(body: Mapping[str, Any]) -> tuple[ToolMode, str | None]:
    tools = body.get("tools")
    if tools == []:
        raise Refusal(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.",
            param="tools",
        )
    choice = body.get("tool_choice", "auto" if tools else "none")
    if choice is None:
        return ("auto" if tools else "none"), None
    if choice == "none":
        return "none", None
    if tools is None:
        raise Refusal("When using `tool_choice`, `tools` must be set.", param="tool_choice")
    if choice == "auto":
        return "auto", None
    if choice == "required":
        return "required", None
    if not isinstance(choice, Mapping):
        raise Refusal(
            f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" are supported.',
            param="tool_choice",
        )
    return "named", _named_tool(choice, tools)


def _named_tool(choice: Mapping[str, Any], tools: Sequence[Any]) -> str:
    usage = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'
    function = choice.get("function")
    if not isinstance(function, Mapping):
        raise Refusal(
            f"Invalid value for `function`: `{function}` in `tool_choice`! {usage}", param="tool_choice.function"
        )
    if "name" not in function:
        raise Refusal(
            f"Expected field `name` in `function` in `tool_choice`! {usage}", param="tool_choice.function.name"
        )
    name = function["name"]
    if not isinstance(name, str) or not name:
        raise Refusal(
            f"Invalid `name` in `function`: `{name}` in `tool_choice`! {usage}", param="tool_choice.function.name"
        )
    if not any(tool["function"]["name"] == name for tool in read_tools(tools)):
        raise Refusal(
            "The tool specified in `tool_choice` does not match any of the specified `tools`", param="tool_choice"
        )
    return name
