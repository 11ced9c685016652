"""Answers of a fixed form: what goes out, what comes back, and what happens to a cut-off one."""

import enum
import warnings
from collections.abc import Callable
from typing import Any, Literal, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_llama70b import ChatLlama70B, ConfigurationError
from tests.unit.scripted_server import Answer, ScriptedServer

Ask = Callable[..., Any]


class Joke(BaseModel):
    """A joke."""

    setup: str = Field(description="the question")
    punchline: str


class JokeDict(TypedDict):
    """A joke."""

    setup: str
    punchline: str


class Node(BaseModel):
    value: int
    children: list["Node"] = []


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


JOKE = '{\n  "setup": "Why?",\n  "punchline": "Because."\n}'
VALUES = {"setup": "Why?", "punchline": "Because."}
METHODS = ["json_schema", "function_calling", "json_mode"]
Method = Any


def answer(method: str, text: str = JOKE, name: str = "Joke", **given: Any) -> Answer:
    if method == "function_calling":
        return Answer(tool_calls=[(name, text)], **given)
    return Answer(text, **given)


@pytest.mark.parametrize("method", METHODS)
async def test_pydantic(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, method: Method) -> None:
    scripted.answer(answer(method))
    assert await ask(llm.with_structured_output(Joke, method=method)) == Joke(**VALUES)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schema", [JokeDict, Joke.model_json_schema()], ids=["typeddict", "json schema"])
async def test_dicts(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, method: Method, schema: Any) -> None:
    name = "JokeDict" if schema is JokeDict else "Joke"
    scripted.answer(answer(method, name=name))
    assert await ask(llm.with_structured_output(schema, method=method)) == VALUES


async def test_old_pydantic(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic.v1 warns on newer Pythons
        from pydantic.v1 import BaseModel as OldBaseModel

        class Old(OldBaseModel):
            """A joke."""

            setup: str
            punchline: str

    scripted.answer(answer("json_schema"))
    assert await ask(llm.with_structured_output(Old)) == Old(**VALUES)


async def test_the_wire(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(answer("json_schema"))
    await ask(llm.with_structured_output(Joke))
    sent = scripted.bodies[-1]["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["name"] == "Joke"
    assert sent["json_schema"]["strict"] is True
    assert sent["json_schema"]["schema"]["required"] == ["setup", "punchline"]
    scripted.answer(answer("function_calling"))
    await ask(llm.with_structured_output(Joke, method="function_calling"))
    assert scripted.bodies[-1]["tool_choice"] == {"type": "function", "function": {"name": "Joke"}}
    assert scripted.bodies[-1]["tools"][0]["function"]["strict"] is True
    scripted.answer(answer("json_mode"))
    await ask(llm.with_structured_output(Joke, method="json_mode"))
    assert scripted.bodies[-1]["response_format"] == {"type": "json_object"}


async def test_recursive_schemas_keep_their_references(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.say('{"value": 1, "children": [{"value": 2, "children": []}]}')
    assert (await ask(llm.with_structured_output(Node))).children[0].value == 2
    assert "$defs" in scripted.bodies[0]["response_format"]["json_schema"]["schema"]


@pytest.mark.parametrize("method", METHODS)
async def test_include_raw(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, method: Method) -> None:
    scripted.answer(answer(method))
    model = llm.with_structured_output(Joke, method=method, include_raw=True)
    whole = await model.ainvoke("hi")
    assert set(whole) == {"raw", "parsed", "parsing_error"}
    assert whole["parsed"] == Joke(**VALUES)
    assert whole["parsing_error"] is None
    assert isinstance(whole["raw"], AIMessage)
    assert whole["raw"].usage_metadata is not None
    assert model.invoke("hi")["parsed"] == Joke(**VALUES)


CUT = '{\n  "setup": "Why?",\n  "punchl'


@pytest.mark.parametrize("method", METHODS)
async def test_a_cut_off_answer_is_an_error(
    ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, method: Method
) -> None:
    # A forced call that was cut off comes back from vLLM as content, if not streamed.
    for reply in (answer(method, CUT, finish_reason="length"), Answer(CUT, finish_reason="length")):
        for schema in (Joke, JokeDict):
            scripted.answer(reply)
            with pytest.raises(OutputParserException, match="max_tokens"):
                await ask(llm.with_structured_output(schema, method=method))
            raw = await llm.with_structured_output(schema, method=method, include_raw=True).ainvoke("hi")
            assert raw["parsed"] is None
            assert isinstance(raw["parsing_error"], OutputParserException)
            assert raw["raw"].response_metadata["finish_reason"] == "length"


async def test_a_whole_answer_that_ended_at_the_limit_is_taken(
    ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer
) -> None:
    scripted.answer(Answer(JOKE, finish_reason="length"))
    assert await ask(llm.with_structured_output(Joke)) == Joke(**VALUES)


@pytest.mark.parametrize("method", METHODS)
async def test_an_answer_that_breaks_the_schema(
    ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, method: Method
) -> None:
    scripted.answer(answer(method, '{"setup": 1}'))
    with pytest.raises(OutputParserException, match="does not satisfy Joke"):
        await ask(llm.with_structured_output(Joke, method=method))


async def test_no_call_is_an_error_not_none(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.say("I would rather not.")
    with pytest.raises(OutputParserException, match="no such call"):
        await ask(llm.with_structured_output(Joke, method="function_calling"))


def test_a_dict_grows_in_a_stream(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer(JOKE))
    grown = list(llm.with_structured_output(JokeDict).stream("hi"))
    assert grown[-1] == VALUES
    assert grown[0] == {}
    assert len(grown) > 2


async def test_choices(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.say("blue")
    assert await ask(llm.with_structured_output(Colour)) is Colour.BLUE
    assert await ask(llm.with_structured_output(Literal["red", "blue"])) == "blue"
    assert await ask(llm.with_choice(["red", "blue"])) == "blue"
    assert all(body["structured_outputs"] == {"choice": ["red", "blue"]} for body in scripted.bodies)
    scripted.say("bl")
    with pytest.raises(OutputParserException, match="not one of 'red', 'blue'"):
        await ask(llm.with_choice(Colour))
    assert (await llm.with_choice(Colour, include_raw=True).ainvoke("hi"))["parsed"] is None
    scripted.say("3")
    assert await ask(llm.with_choice([1, 2, 3])) == 3


async def test_regex_grammar_and_the_rest(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.say("yes!")
    assert await ask(llm.with_regex("(yes|no)!")) == "yes!"
    assert scripted.bodies[-1]["structured_outputs"] == {"regex": "(yes|no)!"}
    assert await ask(llm.with_grammar('root ::= "yes!"')) == "yes!"
    assert scripted.bodies[-1]["structured_outputs"] == {"grammar": 'root ::= "yes!"'}
    await ask(llm, structured_outputs={"structural_tag": {"type": "structural_tag"}})
    assert scripted.bodies[-1]["structured_outputs"] == {"structural_tag": '{"type": "structural_tag"}'}
    await ask(llm, structured_outputs={"json": Joke})
    assert scripted.bodies[-1]["structured_outputs"]["json"]["title"] == "Joke"
    scripted.answer(Answer("ye", finish_reason="length"))
    with pytest.raises(OutputParserException, match="cut off"):
        await ask(llm.with_regex("(yes|no)!"))


@pytest.mark.parametrize(
    "wrong", [{}, {"regex": "a", "choice": ["b"]}, {"guided_regex": "a"}, {"choice": []}, {"choice": "red"}, "a+"]
)
async def test_wrong_constraints(ask: Ask, llm: ChatLlama70B, wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        await ask(llm, structured_outputs=wrong)


async def test_the_schema_can_be_shown(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(answer("json_schema"))
    model = llm.with_structured_output(Joke, include_format_instructions=True)
    await ask(model, [("system", "Be funny."), ("human", "hi")])
    await ask(model, "hi")
    first, second = (body["messages"][0] for body in scripted.bodies)
    assert first["role"] == second["role"] == "system"
    assert first["content"].startswith("Be funny.\n\n")
    assert '"punchline"' in first["content"]
    assert '"punchline"' in second["content"]


class _Started(BaseCallbackHandler):
    formats: list[Any]

    def __init__(self) -> None:
        self.formats = []

    def on_chat_model_start(self, *args: Any, options: Any = None, **kwargs: Any) -> None:
        self.formats.append((options or {}).get("ls_structured_output_format"))


@pytest.mark.parametrize("method", METHODS)
async def test_tracers_are_told_the_schema_once(
    ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, method: Method
) -> None:
    scripted.answer(answer(method))
    started = _Started()
    await ask(llm.with_structured_output(Joke, method=method), config={"callbacks": [started]})
    (told,) = started.formats
    assert told["schema"]["title"] == "Joke"
    assert told["kwargs"]["method"] == method
    assert "ls_structured_output_format" not in scripted.bodies[0]


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return city


FORMAT = {"type": "json_schema", "json_schema": {"name": "Joke", "schema": Joke.model_json_schema(), "strict": True}}


@pytest.mark.parametrize("form", [FORMAT, Joke])
async def test_tools_and_an_answers_schema(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, form: Any) -> None:
    model = llm.bind_tools([weather], response_format=form)
    scripted.answer(Answer(tool_calls=[("weather", '{"city": "Rome"}')]))
    message = await ask(model)
    assert message.tool_calls[0]["name"] == "weather"
    sent = scripted.bodies[0]
    assert "response_format" not in sent
    assert sent["tool_choice"] == "required"
    assert [offered["function"]["name"] for offered in sent["tools"]] == ["weather", "Joke"]
    assert sent["tools"][1]["function"]["parameters"]["required"] == ["setup", "punchline"]
    scripted.answer(Answer(tool_calls=[("Joke", JOKE)]))
    message = await ask(model)
    assert message.tool_calls == []
    assert message.content == JOKE
    assert message.response_metadata["finish_reason"] == "stop"
    assert Joke.model_validate_json(message.text) == Joke(**VALUES)


async def test_where_a_call_is_forced_or_forbidden_the_format_waits(
    ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer
) -> None:
    await ask(llm.bind_tools([weather], tool_choice="any", response_format=FORMAT))
    assert "response_format" not in scripted.bodies[-1]
    assert len(scripted.bodies[-1]["tools"]) == 1
    await ask(llm.bind_tools([weather], tool_choice="none", response_format=FORMAT))
    assert scripted.bodies[-1]["response_format"]["type"] == "json_schema"
    assert scripted.bodies[-1]["tool_choice"] == "none"


async def test_tools_and_a_regex_cannot_work(ask: Ask, llm: ChatLlama70B) -> None:
    with pytest.raises(ConfigurationError, match="one request"):
        await ask(llm.bind_tools([weather]), structured_outputs={"regex": "a"})


def test_a_tool_of_the_schemas_name_is_not_shadowed(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    class Weather(BaseModel):
        city: str

    llm.bind_tools([Weather], response_format=Weather).invoke("hi")
    assert [offered["function"]["name"] for offered in scripted.bodies[0]["tools"]] == ["Weather", "Weather_"]


def test_what_is_no_schema_is_refused(llm: ChatLlama70B) -> None:
    with pytest.raises(ConfigurationError):
        llm.with_structured_output(None)
    with pytest.raises(ConfigurationError, match="json_mode"):
        llm.with_structured_output(Joke, method="magic")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        llm.with_structured_output(3)


def test_a_bare_schema_without_a_title(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    bare = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    scripted.answer(Answer(tool_calls=[("answer", '{"a": 1}')]))
    assert llm.with_structured_output(bare, method="function_calling").invoke("hi") == {"a": 1}
    scripted.say('{"a": 2}')
    assert llm.with_structured_output(bare).invoke("hi") == {"a": 2}
