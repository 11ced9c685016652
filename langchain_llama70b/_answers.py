"""Tools and answers of a fixed form: the binding part of `ChatLlama70B`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal, get_origin

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from langchain_llama70b._connection import Llama70BConnection
from langchain_llama70b._errors import ConfigurationError
from langchain_llama70b._request import choices_of, json_schema_format, response_format_of
from langchain_llama70b._structured import (
    ChoiceParser,
    JsonAnswerParser,
    TextParser,
    ToolAnswerParser,
    parsed_by,
    validator_of,
)
from langchain_llama70b._tools import ToolLike, json_schema_of, openai_tool
from langchain_llama70b._tools import tool_choice as checked_choice

Method = Literal["json_schema", "function_calling", "json_mode"]


class StructuredAnswers(Llama70BConnection):
    """`bind_tools`, `with_structured_output`, `with_choice`, `with_regex`, `with_grammar`."""

    def bind_tools(
        self,
        tools: Sequence[ToolLike],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools it may call.

        Args:
            tools: Functions, `BaseTool`s, pydantic classes, `TypedDict`s, or dicts in OpenAI's or Anthropic's form.
            tool_choice: None or "auto": the model decides. "any", "required", True: it calls some tool. "none", False:
                it calls none. A tool's name, or OpenAI's dict: it calls that one.
            strict: Constrain the arguments to the schema; None means yes, unless a tool says otherwise.
            parallel_tool_calls: Allow several calls in one turn; None means no, because Llama 3.3's template knows one.
            response_format: JSON schema (class, dict) of the final answer. With tools it becomes one more tool, some
                call is required, and a call of that one comes back as the answer's text: vLLM would otherwise never
                call your tools.
            **kwargs: Further arguments of every call, as for `invoke`.

        Raises:
            ConfigurationError: Something is no tool, or `tool_choice` names none of them.
        """
        bound = [openai_tool(tool, strict=strict) for tool in tools]
        checked_choice(tool_choice, [tool["function"]["name"] for tool in bound])
        options = {
            "tool_choice": tool_choice,
            "parallel_tool_calls": parallel_tool_calls,
            "response_format": response_format_of(response_format),
        }
        kwargs.update((name, value) for name, value in options.items() if value is not None)
        return self.bind(tools=bound, **kwargs)

    def with_structured_output(
        self,
        schema: Any = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        include_format_instructions: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return this model with answers of a fixed form, constrained by the engine while it writes.

        Args:
            schema: A pydantic class (answers are its instances), a `TypedDict`, a JSON schema or OpenAI function dict
                (answers are dicts); an Enum class or a `Literal` type (answers are one of its values). None with
                method "json_mode" allows any object.
            method: "json_schema" constrains the text. "function_calling" makes the model call the schema as a tool.
                "json_mode" constrains to JSON only: name the fields in the prompt.
            include_raw: Return a dict of `raw` (the message), `parsed` and `parsing_error`. An answer cut off at
                `max_tokens` is a parsing error.
            strict: For "function_calling": constrain the arguments (default yes). Passed on for "json_schema".
            include_format_instructions: Show the schema to the model too: the grammar alone does not.
            **kwargs: Further arguments of every call.

        Raises:
            ConfigurationError: No schema, or an unknown method.
        """
        if (isinstance(schema, type) and issubclass(schema, Enum)) or get_origin(schema) is Literal:
            return self.with_choice(schema, include_raw=include_raw, **kwargs)
        if schema is None and method != "json_mode":
            raise ConfigurationError("with_structured_output has no schema", hint='give one, or method="json_mode"')
        traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema or {"type": "object"}}
        kwargs["ls_structured_output_format"] = traced
        parser: Runnable[Any, Any]
        match method:
            case "function_calling":
                tool = openai_tool(_titled(schema), strict=strict)
                name = tool["function"]["name"]
                model = self.bind_tools([tool], tool_choice=name, **kwargs)
                parser = ToolAnswerParser(tool_name=name, answer_type=validator_of(schema))
            case "json_schema":
                described = json_schema_of(schema)
                if include_format_instructions:
                    kwargs["format_instructions"] = described
                strictly = True if strict is None else strict
                model = self.bind(response_format=json_schema_format(described, strict=strictly), **kwargs)
                parser = JsonAnswerParser(answer_type=validator_of(schema))
            case "json_mode":
                if include_format_instructions and schema is not None:
                    kwargs["format_instructions"] = json_schema_of(schema)
                model = self.bind(response_format={"type": "json_object"}, **kwargs)
                parser = JsonAnswerParser(answer_type=validator_of(schema))
            case _:
                raise ConfigurationError(f"method is {method!r}", hint="json_schema, function_calling or json_mode")
        return parsed_by(model, parser, include_raw=include_raw)

    def with_choice(
        self, options: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Return this model with answers that are one of the options, held to them by the engine.

        Args:
            options: An Enum class, a `Literal` type, or an iterable of values; the model writes `str` of the value.
            include_raw: As in `with_structured_output`.
            **kwargs: Further arguments of every call.
        """
        choices = choices_of(options)
        model = self.bind(structured_outputs={"choice": list(choices)}, **kwargs)
        return parsed_by(model, ChoiceParser(choices=choices), include_raw=include_raw)

    def with_regex(
        self, pattern: str, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Return this model with answers that match a regular expression as a whole (a `str`)."""
        model = self.bind(structured_outputs={"regex": pattern}, **kwargs)
        return parsed_by(model, TextParser(), include_raw=include_raw)

    def with_grammar(
        self, grammar: str, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Return this model with answers of a context-free grammar in EBNF, as vLLM's xgrammar reads it (a `str`)."""
        model = self.bind(structured_outputs={"grammar": grammar}, **kwargs)
        return parsed_by(model, TextParser(), include_raw=include_raw)


def _titled(schema: Any) -> Any:
    """Return a bare JSON schema with a title, without which it makes no tool."""
    bare = isinstance(schema, dict) and "properties" in schema and "name" not in schema
    return {"title": "answer", **schema} if bare else schema
