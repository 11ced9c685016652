"""Answers of a fixed form: the parsers behind `with_structured_output`, and the runnables made of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from operator import itemgetter
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import BaseGenerationOutputParser, JsonOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from pydantic import BaseModel, ValidationError


def validator_of(schema: Any) -> type[Any] | None:
    """Return the class whose instances are the parsed answers: a pydantic class of either version, else None."""
    if not isinstance(schema, type):
        return None
    return schema if issubclass(schema, BaseModel) or hasattr(schema, "__get_validators__") else None


def validated(values: Any, schema: type[Any] | None, text: str) -> Any:
    """Return the instance of `schema`, or the values themselves without one.

    Raises:
        OutputParserException: They do not satisfy it.
    """
    if schema is None:
        return values
    try:
        return schema.model_validate(values) if issubclass(schema, BaseModel) else schema.parse_obj(values)
    except (ValidationError, ValueError, TypeError) as error:
        raise OutputParserException(
            f"the answer does not satisfy {schema.__name__}: {error}", llm_output=text
        ) from error


def _message_in(result: list[Generation]) -> AIMessage | None:
    message = result[0].message if result and isinstance(result[0], ChatGeneration) else None
    return message if isinstance(message, AIMessage) else None


def _cut(message: BaseMessage | None) -> str:
    """Return why an answer may be incomplete, "" if it is not."""
    reason = None if message is None else message.response_metadata.get("finish_reason")
    if reason == "interrupted":
        return "the stream was cut off, and on_interrupt is 'return': ask again. "
    if reason == "length":
        return "the answer was cut off at the token limit (finish_reason is length): raise max_tokens. "
    return ""


class JsonAnswerParser(JsonOutputParser):
    """Reads an answer whose text is JSON; a cut-off one is an error, not a guess at what was meant.

    In a stream a dict comes in growing pieces, an instance of a class once, at the end.
    """

    answer_type: Any = None

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the parsed answer; with `partial`, what there is of it so far or None.

        Raises:
            OutputParserException: It is not JSON, is incomplete, or does not satisfy the class.
        """
        if partial:
            return None if self.answer_type is not None else super().parse_result(result, partial=True)
        text = result[0].text.strip()
        try:
            values = json.loads(text)
        except ValueError as error:
            message = _message_in(result)
            if not text.startswith("```") or _cut(message):  # json_mode of an engine without a grammar may fence it
                raise OutputParserException(
                    f"{_cut(message)}Invalid json output: {text or 'empty'}", llm_output=text
                ) from error
            values = super().parse_result(result)
        return validated(values, self.answer_type, text)

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:  # noqa: A002 - the base class's name
        heard: list[str | BaseMessage] = []

        def listened() -> Iterator[str | BaseMessage]:
            for chunk in input:
                heard.append(chunk)
                yield chunk

        if self.answer_type is None:
            yield from super()._transform(listened())
        else:
            heard.extend(input)
        yield from self._end(heard)

    async def _atransform(self, input: AsyncIterator[str | BaseMessage]) -> AsyncIterator[Any]:  # noqa: A002
        heard: list[str | BaseMessage] = []

        async def listened() -> AsyncIterator[str | BaseMessage]:
            async for chunk in input:
                heard.append(chunk)
                yield chunk

        if self.answer_type is None:
            async for value in super()._atransform(listened()):
                yield value
        else:
            heard.extend([chunk async for chunk in input])
        for value in self._end(heard):
            yield value

    def _end(self, heard: list[str | BaseMessage]) -> Iterator[Any]:
        """Check the whole answer, which pieces do not show to be complete; yield it if it was not yielded."""
        text = "".join(chunk if isinstance(chunk, str) else str(chunk.text) for chunk in heard)
        reasons = [
            chunk.response_metadata["finish_reason"]
            for chunk in heard
            if isinstance(chunk, BaseMessage) and "finish_reason" in chunk.response_metadata
        ]
        whole = AIMessage(text, response_metadata={"finish_reason": reasons[-1]} if reasons else {})
        value = self.parse_result([ChatGeneration(message=whole)])
        if self.answer_type is not None:
            yield value


class ToolAnswerParser(BaseGenerationOutputParser[Any]):
    """Reads an answer given as the arguments of a tool call. No call, or a cut-off one, is an error, not None."""

    tool_name: str
    answer_type: Any = None

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:  # noqa: ARG002
        """Return the parsed arguments.

        Raises:
            OutputParserException: There is no such call, or its arguments do not satisfy the class.
        """
        message = _message_in(result)
        text = result[0].text if result else ""
        for call in message.tool_calls if message is not None else ():
            if call["name"] == self.tool_name and not self._incomplete(message):
                return validated(call["args"], self.answer_type, json.dumps(call["args"], default=str))
        broken = message.invalid_tool_calls if message is not None else []
        if broken or self._incomplete(message):
            what = "the call's arguments are no whole JSON object"
        else:
            what = "it made no such call"
        raise OutputParserException(
            f"{_cut(message)}The model was to answer by calling {self.tool_name}, but {what}", llm_output=text
        )

    @staticmethod
    def _incomplete(message: AIMessage | None) -> bool:
        """Return whether a streamed call's arguments ended in the middle: LangChain closes such JSON by itself."""
        for chunk in getattr(message, "tool_call_chunks", ()):
            try:
                json.loads(chunk.get("args") or "{}")
            except ValueError:
                return True
        return False


class ChoiceParser(BaseGenerationOutputParser[Any]):
    """Reads an answer that is one of given texts, as the value it stands for."""

    choices: dict[str, Any]

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:  # noqa: ARG002
        """Return the value.

        Raises:
            OutputParserException: The answer is none of the texts.
        """
        text = result[0].text if result else ""
        if text not in self.choices:
            expected = ", ".join(map(repr, self.choices))
            raise OutputParserException(
                f"{_cut(_message_in(result))}The answer is {text!r}, not one of {expected}", llm_output=text
            )
        return self.choices[text]


class TextParser(BaseGenerationOutputParser[str]):
    """Reads an answer whose text has a fixed form (regex, grammar); a cut-off one is an error."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> str:  # noqa: ARG002
        """Return the text.

        Raises:
            OutputParserException: It was cut off, so it has not the form.
        """
        text = result[0].text if result else ""
        if cut := _cut(_message_in(result)):
            raise OutputParserException(f"{cut}It has not the form asked for: {text!r}", llm_output=text)
        return text


def parsed_by(
    model: Runnable[LanguageModelInput, AIMessage], parser: Runnable[Any, Any], *, include_raw: bool
) -> Runnable[LanguageModelInput, Any]:
    """Return `model | parser`, or with `include_raw` a dict of `raw`, `parsed` and `parsing_error`."""
    if not include_raw:
        return model | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    not_parsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | parsed.with_fallbacks([not_parsed], exception_key="parsing_error")
