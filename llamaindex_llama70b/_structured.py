"""Structured output: one pydantic object an answer, constrained by the engine, with what it cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import BaseModel, ValidationError
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.program.function_program import get_function_tool
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.types import PydanticProgramMode
from llama_index_instrumentation import get_dispatcher

from llama70b._names import CUT_OFF
from llamaindex_llama70b._calls import Calls
from llamaindex_llama70b._errors import OutputError, OutputInvalid, OutputTruncated
from llamaindex_llama70b._request import json_schema_format
from llamaindex_llama70b._streaming import PartialJson
from llamaindex_llama70b._tools import openai_tool, selections

Model = TypeVar("Model", bound=BaseModel)

_dispatcher = get_dispatcher(__name__)
_NOT_OURS = frozenset({"tool_choice", "tool_required", "allow_parallel_tool_calls"})


def parsed_output(output_cls: type[Model], response: ChatResponse) -> Model:
    """Return the object in a finished answer: its first tool call if it has any, else its text.

    Raises:
        OutputTruncated: The answer was cut off.
        OutputInvalid: It does not fit the class (a validator of its own, or the server did not constrain it).
        ToolArgumentsInvalid: The arguments of the call are no JSON object.
    """
    text = response.message.content or ""
    try:
        if response.message.additional_kwargs.get("tool_calls"):
            return output_cls.model_validate(selections(response, demanded=True)[0].tool_kwargs)
        return output_cls.model_validate_json(text)
    except ValidationError as error:
        raise _refusal(output_cls, response, error, text) from error


def _refusal(output_cls: type[BaseModel], response: ChatResponse, error: ValidationError, text: str) -> OutputError:
    refusal: OutputError
    if response.additional_kwargs.get("finish_reason") in CUT_OFF:
        refusal = OutputTruncated(f"the {output_cls.__name__}")
    else:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        refusal = OutputInvalid(
            f"the answer does not fit {output_cls.__name__}: {where}: {first['msg']} ({error.error_count()} in all)",
            hint="say in a field's description what its validator demands, or ask again",
        )
    refusal.text = text
    return refusal


class Growing(Generic[Model]):
    """The object of a stream while it grows, and whole at its end."""

    def __init__(self, output_cls: type[Model]) -> None:
        self._cls = output_cls
        self._lenient = create_flexible_model(output_cls)
        self._partial = PartialJson()
        self._seen: dict[str, Any] = {}
        self._last: ChatResponse | None = None

    def take(self, response: ChatResponse) -> Model | FlexibleModel | None:
        """Return the object so far if this element of the stream changed it."""
        self._last = response
        if "finish_reason" in response.additional_kwargs:  # the last element: `whole` reads that
            return None
        if calls := response.message.additional_kwargs.get("tool_calls"):
            value = selections(response, demanded=False)[0].tool_kwargs if calls else {}
        else:
            self._partial.read(response.message.content or "")
            value = self._partial.value
        if value == self._seen:
            return None
        self._seen = value
        try:
            return self._cls.model_validate(value)
        except ValidationError:
            return self._lenient.model_validate(value)

    def blank(self) -> FlexibleModel:
        """Return the object of an answer that has shown nothing yet."""
        return self._lenient()

    def whole(self) -> Model:
        """Return the finished object; raises as `parsed_output` does."""
        assert self._last is not None, "a stream has a last element, or has raised"
        return parsed_output(self._cls, self._last)


class Structured(Calls):
    """The four structured methods of `Llama70B`.

    Core's own are worked around: its function program streams with `tool_choice` "auto", so that the model may answer
    in prose; its async form forgets the system prompt; a cut-off answer is a bare parse error
    [notes: llamaindex 1.5]. In DEFAULT mode the server constrains the answer to the JSON schema; FUNCTION forces one
    strict tool call; LLM and the rest are core's.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Return one object of `output_cls`.

        Args:
            output_cls: A pydantic class.
            prompt: What is asked.
            llm_kwargs: For `chat`.
            **prompt_args: For the prompt.

        Raises:
            OutputTruncated: `max_tokens` or the window cut it off; `.text` holds what came.
            OutputInvalid: It does not fit the class.
        """
        if self._core_does_it():
            made: Model = super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return made
        _started(output_cls, prompt, prompt_args)
        response = self.chat(self._asked(prompt, prompt_args), **self._constraint(output_cls, llm_kwargs))
        result = parsed_output(output_cls, response)
        _dispatcher.event(LLMStructuredPredictEndEvent(output=result))
        return result

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Return one object of `output_cls`; see `structured_predict`."""
        if self._core_does_it():
            made: Model = await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
            return made
        _started(output_cls, prompt, prompt_args)
        response = await self.achat(self._asked(prompt, prompt_args), **self._constraint(output_cls, llm_kwargs))
        result = parsed_output(output_cls, response)
        _dispatcher.event(LLMStructuredPredictEndEvent(output=result))
        return result

    def _structured_stream_call(
        self,
        output_cls: type[Any],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Any, None, None]:
        """Yield growing objects, the last one complete and of the class; `stream_structured_predict` calls it."""
        if self._core_does_it():
            yield from super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
            return
        stream = self.stream_chat(self._asked(prompt, prompt_args), **self._constraint(output_cls, llm_kwargs))
        growing: Growing[Any] = Growing(output_cls)
        with closing(stream):
            for response in stream:
                if (partial := growing.take(response)) is not None:
                    yield partial
        yield growing.whole()

    async def _structured_astream_call(
        self,
        output_cls: type[Any],
        prompt: Any,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Any, None]:
        """Return an async generator of growing objects; see `_structured_stream_call`."""
        if self._core_does_it():
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        stream = await self.astream_chat(self._asked(prompt, prompt_args), **self._constraint(output_cls, llm_kwargs))

        async def objects() -> AsyncGenerator[Any, None]:
            growing: Growing[Any] = Growing(output_cls)
            async with aclosing(stream):
                async for response in stream:
                    if (partial := growing.take(response)) is not None:
                        yield partial
            yield growing.whole()

        return objects()

    def _core_does_it(self) -> bool:
        return self.pydantic_program_mode not in {PydanticProgramMode.DEFAULT, PydanticProgramMode.FUNCTION}

    def _asked(self, prompt: Any, prompt_args: dict[str, Any]) -> list[ChatMessage]:
        return self._extend_messages(prompt.format_messages(llm=self, **prompt_args))

    def _constraint(self, output_cls: type[BaseModel], llm_kwargs: dict[str, Any] | None) -> dict[str, Any]:
        """Return kwargs for `chat` that constrain the answer to the class."""
        kwargs = {name: value for name, value in (llm_kwargs or {}).items() if name not in _NOT_OURS}
        if self.pydantic_program_mode == PydanticProgramMode.FUNCTION:
            tool = openai_tool(get_function_tool(output_cls))
            return kwargs | {"tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
        return kwargs | {"response_format": json_schema_format(output_cls, strict=True)}


def _started(output_cls: type[Any], prompt: Any, prompt_args: dict[str, Any]) -> None:
    _dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=prompt_args))
