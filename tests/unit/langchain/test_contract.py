"""Promises of issue 3 that are no matter of one request: keys, sessions, granted tokens, repaired histories, traces."""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableParallel
from langchain_core.tools import tool
from langchain_core.tracers import LangChainTracer
from langgraph.graph import END, START, StateGraph
from langsmith import Client as LangSmithClient

from langchain_llama70b import ChatLlama70B, ConfigurationError
from llama70b import _history
from llama70b.local._render import ChatTemplate
from tests.unit.scripted_server import MODEL, Answer, ScriptedServer

Make = Callable[..., ChatLlama70B]
Ask = Callable[..., Any]
SESSION = ("modal-session-id", "modal-routing-affinity-key")


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


# Keys.


async def test_an_async_key_function(make: Make, scripted: ScriptedServer) -> None:
    scripted.require_key = False
    keys = iter(["one", "two", "two"])

    async def fetch() -> str:
        return next(keys)

    llm = make(api_key=fetch)
    assert (await llm.ainvoke("hi")).content == "ok"
    assert "".join([str(chunk.content) async for chunk in llm.astream("hi")]) == "ok"
    assert await llm.awarm_up() == 0.0
    sent = [request.headers.get("authorization") for request in scripted.chats]
    assert sent == ["Bearer one", "Bearer two"]
    await llm.aclose()


def test_an_async_key_function_cannot_serve_a_blocking_call(make: Make, scripted: ScriptedServer) -> None:
    async def fetch() -> str:
        return "never sent"

    llm = make(api_key=fetch)
    for call in (lambda: llm.invoke("hi"), lambda: list(llm.stream("hi")), lambda: llm.get_num_tokens("hi")):
        with pytest.raises(ConfigurationError, match="async function"):
            call()
    assert scripted.requests == []


# Sessions.


async def test_a_conversation_stays_on_its_replica(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    llm = make(session_affinity=True)
    for thread in ("ann@example.com", "ann@example.com", "bob"):
        await ask(llm, config={"configurable": {"thread_id": thread}})
    await ask(llm, config={"metadata": {"thread_id": "bob"}})
    await ask(llm)
    sent = [[request.headers.get(name) for name in SESSION] for request in scripted.chats]
    assert all(first == second for first, second in sent), "both names carry one value"
    ann, again, bob, other_place, none = (first for first, _ in sent)
    assert ann == again != bob == other_place
    assert none is None
    assert "ann" not in str(ann)
    await llm.aclose()


class State(TypedDict):
    text: str


async def test_a_graphs_thread_is_the_session(make: Make, scripted: ScriptedServer) -> None:
    llm = make(session_affinity=True)

    async def talk(state: State) -> dict[str, Any]:
        chain = ChatPromptTemplate.from_template("{text}") | llm
        return {"text": (await chain.ainvoke({"text": state["text"]})).text}

    def talk_again(state: State) -> dict[str, Any]:
        return {"text": "".join(str(chunk.text) for chunk in llm.stream(state["text"]))}

    graph = StateGraph(State).add_node("talk", talk).add_node("again", talk_again)
    app = graph.add_edge(START, "talk").add_edge("talk", "again").add_edge("again", END).compile()
    for thread in ("1", "2"):
        await app.ainvoke({"text": "hi"}, {"configurable": {"thread_id": thread}})
    first, second, third, fourth = (request.headers[SESSION[0]] for request in scripted.chats)
    assert first == second != third == fourth
    await llm.aclose()


async def test_affinity_is_for_modals_servers(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    thread: Any = {"configurable": {"thread_id": "1"}}
    await ask(make(), config=thread)
    await ask(make(session_affinity=False), config=thread)
    assert not any(name in request.headers for request in scripted.chats for name in SESSION)
    direct = ChatLlama70B(base_url="https://a--b.us-east.modal.direct", api_key="k")
    with direct:
        assert direct._session_headers(direct._client().endpoint, "1").keys() == {
            "Modal-Session-ID",
            "Modal-Routing-Affinity-Key",
        }


async def test_headers_of_a_call(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    await ask(llm, extra_headers={"X-Tenant": "a"})
    await ask(llm.bind(extra_headers={"X-Tenant": "b"}))
    await ask(llm)
    assert [request.headers.get("x-tenant") for request in scripted.chats] == ["a", "b", None]
    with pytest.raises(ConfigurationError, match="extra_headers"):
        await ask(llm, extra_headers=["X-Tenant"])
    with pytest.raises(ConfigurationError, match=r"(?i)authorization"):
        await ask(llm, extra_headers={"Authorization": "Bearer stolen"})
    assert "extra_headers" not in scripted.bodies[0]


# What the server granted.


async def test_granted_tokens_are_reported(
    ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.answer(Answer("It ends in the mid", finish_reason="length", usage=(4051, 45)))
    message = await ask(llm, max_tokens=200)
    assert message.response_metadata["granted_tokens"] == 45
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert "max_tokens=200 was cut to 45" in record.getMessage()
    assert "4096" in record.getMessage()


@pytest.mark.parametrize(
    "case",
    [
        (45, Answer("cut at the limit asked for", finish_reason="length", usage=(4051, 45))),
        (200, Answer("ended by itself", usage=(4051, 45))),
        (None, Answer("no limit was asked for", finish_reason="length", usage=(4051, 45))),
        (200, Answer("nobody counted", finish_reason="length", usage=None)),
    ],
)
async def test_what_was_granted_in_full_makes_no_noise(
    ask: Ask,
    llm: ChatLlama70B,
    scripted: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    case: tuple[int | None, Answer],
) -> None:
    asked, answer = case
    scripted.answer(answer)
    message = await ask(llm, max_tokens=asked)
    assert "granted_tokens" not in message.response_metadata
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# Histories.


def call(call_id: str) -> Any:
    return {"id": call_id, "name": "add", "args": {"a": 1, "b": 2}, "type": "tool_call"}


HISTORIES: dict[str, tuple[list[Any], list[str]]] = {
    "a result nobody asked for": (
        [HumanMessage("hi"), ToolMessage("3", tool_call_id="lost")],
        ["user", "tool"],
    ),
    "a result at the very beginning": (
        [ToolMessage("3", tool_call_id="lost"), HumanMessage("hi")],
        ["user", "tool", "user"],
    ),
    "empty tool calls": ([HumanMessage("hi"), AIMessage("yes", tool_calls=[]), HumanMessage("and?")], ["user"] * 3),
    "consecutive human messages": (
        [SystemMessage("Be brief."), HumanMessage("a"), HumanMessage("b"), HumanMessage("c")],
        ["system", "user", "user", "user"],
    ),
    "a call without a result": ([HumanMessage("hi"), AIMessage("", tool_calls=[call("1")])], ["user", "assistant"]),
    "only a system turn": ([SystemMessage("Be brief.")], ["system", "user"]),
}
HISTORIES["empty tool calls"][1][1] = "assistant"


@pytest.mark.parametrize("name", HISTORIES)
async def test_histories_that_templates_choke_on(
    ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, llama_template: Callable[..., str], name: str
) -> None:
    history, roles = HISTORIES[name]
    await ask(llm.bind_tools([add]), history)
    body = scripted.bodies[0]
    assert [turn["role"] for turn in body["messages"]] == roles
    assert all(turn.get("tool_calls", [0]) for turn in body["messages"])
    prompt = llama_template(body)
    for message in history:
        assert str(message.content) in prompt
    assert re.search(r'"name":\s*"add"', prompt)


TEMPLATES = ("server/templates/llama3_tools.jinja", "llama70b/local/chat_template.jinja")


@pytest.fixture(params=TEMPLATES, ids=["server", "local"])
def llama_template(request: pytest.FixtureRequest) -> Callable[[dict[str, Any]], str]:
    """What a server makes of a request: vLLM loads the arguments; then a template, the second of which raises."""
    source = (Path(__file__).parents[3] / request.param).read_text(encoding="utf-8")
    template = ChatTemplate(source, bos_token="<|begin_of_text|>")

    def render(body: dict[str, Any]) -> str:
        turns = json.loads(json.dumps(body["messages"]))
        for asked in (asked for turn in turns for asked in turn.get("tool_calls", ())):
            asked["function"]["arguments"] = json.loads(asked["function"]["arguments"])
        return template.render(turns, tools=body["tools"])

    return render


@pytest.fixture
def nothing_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_history, "_logged", set())


@pytest.mark.usefixtures("nothing_logged_yet")
async def test_a_repair_is_told_once(
    ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="llama70b")
    history: list[Any] = [HumanMessage("hi"), AIMessage("", tool_calls=[call("1"), call("2")])]
    history += [ToolMessage("3", tool_call_id="1"), ToolMessage("3", tool_call_id="2")]
    for _ in range(3):
        await ask(llm.bind_tools([add]), history)
    (line,) = [record for record in caplog.records if record.name.startswith("llama70b")]
    assert line.levelno == logging.INFO
    assert "split an assistant turn with several tool calls" in line.getMessage()
    assert len(history[1].tool_calls) == 2, "the caller's history is left as it was"


# Traces.


class _LangSmith:
    """Stands where LangSmith's HTTP session stands, and keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.headers: dict[str, str] = {}

    def request(self, method: str, url: str, *, data: bytes | None = None, **_: Any) -> Any:
        import requests

        self.sent.append((method, url, json.loads(data) if data else {}))
        answer = requests.Response()
        answer.status_code, answer._content = 202, b"{}"
        return answer

    def mount(self, *_: Any) -> None: ...

    def close(self) -> None: ...

    def run(self) -> dict[str, Any]:
        """The one model run, as LangSmith would have it after the last update."""
        whole: dict[str, Any] = {}
        for _, _, body in self.sent:
            if body.get("run_type", "llm") == "llm":
                whole |= {name: value for name, value in body.items() if value is not None}
        return whole


@pytest.fixture
def langsmith() -> tuple[_LangSmith, LangChainTracer]:
    session: Any = _LangSmith()
    client = LangSmithClient(
        api_url="http://127.0.0.1:9", api_key="not-a-key", session=session, auto_batch_tracing=False, info={}
    )
    return session, LangChainTracer(client=client, project_name="tests")


async def test_a_langsmith_trace_has_name_parameters_and_usage(
    ask: Ask, make: Make, scripted: ScriptedServer, langsmith: tuple[_LangSmith, LangChainTracer]
) -> None:
    session, tracer = langsmith
    scripted.answer(Answer("Hello there", usage=(11, 2)))
    llm = make(temperature=0.5, max_tokens=50, stop=["END"], seed=7, api_key="test-key")
    await ask(llm, config={"callbacks": [tracer]})
    run = session.run()
    assert run["name"] == "ChatLlama70B"
    metadata = run["extra"]["metadata"]
    expected = {
        "ls_provider": "llama70b",
        "ls_model_name": MODEL,
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_max_tokens": 50,
        "ls_stop": ["END"],
    }
    assert {name: metadata.get(name) for name in expected} == expected
    assert metadata["lc_versions"]["llama70b"]
    params = run["extra"]["invocation_params"]
    assert (params["model"], params["seed"], params["base_url"]) == (MODEL, 7, scripted.url)
    answer = run["outputs"]["generations"][0][0]["message"]["kwargs"]
    assert answer["content"] == "Hello there"
    assert answer["usage_metadata"] == {"input_tokens": 11, "output_tokens": 2, "total_tokens": 13}
    assert "test-key" not in json.dumps([body for _, _, body in session.sent])
    await llm.aclose()


async def test_a_trace_of_thirty_two_branches(
    llm: ChatLlama70B, scripted: ScriptedServer, langsmith: tuple[_LangSmith, LangChainTracer]
) -> None:
    session, tracer = langsmith
    scripted.answer(Answer("Hello", usage=(10, 1)))
    branches = RunnableParallel({f"b{n}": llm for n in range(32)})
    answers = await branches.ainvoke("hi", {"callbacks": [tracer]})
    assert len(answers) == 32
    ended = [body for method, _, body in session.sent if method == "PATCH" and "generations" in (body["outputs"] or {})]
    assert len(ended) == 32
    await llm.aclose()
