"""Every failure is ours and LangChain's at once, in each of the four ways to ask."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents.middleware.model_retry import ModelRetryMiddleware
from langchain_core import exceptions as lc
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage

import langchain_llama70b as ours
from langchain_llama70b import ChatLlama70B
from langchain_llama70b._errors import as_langchain
from llama70b import Timeouts, errors
from tests.unit.scripted_server import Answer, Raw, ScriptedServer, error

Make = Callable[..., ChatLlama70B]
Ask = Callable[..., Any]

OVERFLOW = (
    "This model's maximum context length is 4096 tokens. However, your prompt contains at least 4097 input tokens. "
    "Please reduce the length of the input prompt."
)
CASES = [
    (Raw(401, {"error": "Unauthorized"}), "AuthenticationError", lc.ModelAuthenticationError, False),
    (Raw(403, {"error": {"message": "no"}}), "PermissionDenied", lc.ModelPermissionDeniedError, False),
    (error(404, "The model `x` does not exist.", "NotFoundError"), "NotFound", lc.ModelNotFoundError, False),
    (error(400, "temperature must be non-negative"), "BadRequest", lc.ModelInvalidRequestError, False),
    (error(400, OVERFLOW, param="input_tokens"), "ContextOverflow", lc.ContextOverflowError, False),
    (error(429, "slow down"), "RateLimited", lc.ModelRateLimitError, True),
    (error(500, "boom", "InternalServerError"), "ServerError", lc.ModelAPIError, True),
    (Raw(200, "<html>login</html>", {"Content-Type": "text/html"}), "ProtocolError", lc.ModelAPIError, False),
]


@pytest.mark.parametrize("case", CASES, ids=[case[1] for case in CASES])
async def test_answers_that_are_errors(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, case: Any) -> None:
    answer, name, theirs, retryable = case
    scripted.answer(answer)
    with pytest.raises(theirs) as caught:
        await ask(llm)
    raised = caught.value
    assert isinstance(raised, lc.ModelError)
    assert isinstance(raised, getattr(errors, name))
    assert type(raised) is getattr(ours, name)
    assert raised.is_retryable is retryable
    assert "test-key" not in repr(raised) + str(raised)
    if answer.status >= 400:
        assert raised.response is not None
        assert raised.response.status_code == answer.status
        assert raised.response.json() or answer.status == 401
        assert raised.request_id == scripted.chats[0].headers["x-request-id"]


async def test_no_connection(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    llm = make(timeout=Timeouts(cold_start=0.3, connect=0.3, poll=0.05))
    scripted.close()
    with pytest.raises(lc.ModelError) as caught:
        await ask(llm)
    assert isinstance(caught.value, errors.ConnectionFailed | errors.ColdStartTimeout)
    assert caught.value.is_retryable
    assert isinstance(caught.value, lc.ModelConnectionError | lc.ModelTimeoutError)


async def test_too_slow(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    scripted.answer(Raw(200, {}, delay_s=3))
    with pytest.raises(lc.ModelTimeoutError) as caught:
        await ask(make(timeout=0.2))
    assert isinstance(caught.value, TimeoutError)


async def test_never_awake(ask: Ask, make: Make, scripted: ScriptedServer) -> None:
    scripted.answer(Raw(503, {"error": "cold"}))
    scripted.routes["/health"] = Raw(503, "")
    with pytest.raises(ours.ColdStartTimeout) as caught:
        await ask(make(timeout=Timeouts(cold_start=0.2, poll=0.05)))
    assert isinstance(caught.value, lc.ModelTimeoutError)
    assert isinstance(caught.value, ours.EndpointUnavailable)
    assert len(scripted.chats) <= 1


async def test_an_overflow_has_both_counts_if_told(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(error(400, OVERFLOW, param="input_tokens"))
    with pytest.raises(ours.ContextOverflow) as caught:
        await ask(llm)
    assert caught.value.max_model_len == 4096
    assert isinstance(caught.value, ours.BadRequest)
    assert isinstance(caught.value, ValueError)


BROKEN = [
    (Answer("one two", cut=True), ours.ConnectionFailed | ours.IncompleteStream, True),
    (Answer("one two", finish_reason=None), ours.IncompleteStream, True),
    (Answer("one two", error_after={"message": "boom", "code": 500}), ours.ServerError, True),
    (Answer("one two", error_after={"message": "bad regex", "code": 400}), ours.BadRequest, False),
]


async def collect(llm: ChatLlama70B, way: str, got: list[Any]) -> None:
    if way == "stream":
        got.extend(iter(llm.stream("hi")))
        return
    async for chunk in llm.astream("hi"):
        got.append(chunk)  # noqa: PERF401 - what came before the error must stay


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_stream_that_breaks_keeps_what_came(
    llm: ChatLlama70B, scripted: ScriptedServer, case: Any, way: str
) -> None:
    answer, kind, retryable = case
    scripted.answer(answer)
    got: list[Any] = []
    with pytest.raises(lc.ModelError) as caught:
        await collect(llm, way, got)
    assert isinstance(caught.value, kind)
    assert caught.value.is_retryable is retryable
    assert caught.value.text == "one two"
    assert "".join(str(chunk.content) for chunk in got) == "one two"
    await llm.aclose()


async def test_a_broken_tool_call_is_kept(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(Answer(tool_calls=[("f", '{"x": 1')], finish_reason=None))
    with pytest.raises(ours.IncompleteStream) as caught:
        list(llm.stream("hi"))
    assert [(call.name, call.arguments) for call in caught.value.tool_calls] == [("f", '{"x": 1')]


class _Tracer(BaseCallbackHandler):
    def __init__(self) -> None:
        self.error: Any = None
        self.message: AIMessage | None = None

    def on_llm_error(self, error: BaseException, *, response: Any = None, **kwargs: Any) -> None:
        self.error = error
        self.message = response.generations[-1][-1].message


async def test_tracers_see_the_servers_words(ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(error(400, "temperature must be non-negative"))
    tracer = _Tracer()
    with pytest.raises(ours.BadRequest):
        await ask(llm, config={"callbacks": [tracer]})
    assert tracer.message is not None
    assert "temperature must be non-negative" in str(tracer.message.response_metadata["body"])
    assert tracer.message.response_metadata["status_code"] == 400
    assert tracer.message.response_metadata["request_id"]
    assert isinstance(tracer.error, ours.BadRequest)


def test_every_error_of_the_core_has_a_twin() -> None:
    def kinds(kind: type[errors.Llama70BError]) -> list[type[errors.Llama70BError]]:
        own = [below for below in kind.__subclasses__() if below.__module__ == "llama70b.errors"]
        return own + [deeper for below in own for deeper in kinds(below)]

    for kind in kinds(errors.Llama70BError):
        if issubclass(kind, errors.MissingExtra):
            continue
        original = kind.__new__(kind)
        errors.Llama70BError.__init__(original, "what", hint="do", status=400, body={"a": 1})
        original.text = "part"
        twin = as_langchain(original)
        assert isinstance(twin, kind), kind
        assert isinstance(twin, lc.ModelError), kind
        assert str(twin) == "what (do)"
        assert twin.text == "part"
        assert twin.is_retryable is kind.retryable, kind
        again = pickle.loads(pickle.dumps(twin))
        assert type(again) is type(twin)
        assert again.__dict__ == twin.__dict__
        assert as_langchain(twin) is twin


def test_the_retry_middleware_agrees(llm: ChatLlama70B, scripted: ScriptedServer) -> None:
    scripted.answer(error(400, "no"))
    with pytest.raises(ours.BadRequest) as refused:
        llm.invoke("hi")
    scripted.answer(error(500, "boom"))
    with pytest.raises(ours.ServerError) as failed:
        llm.invoke("hi")
    retry_on = ModelRetryMiddleware().retry_on
    assert callable(retry_on)
    assert not isinstance(retry_on, tuple)
    assert retry_on(failed.value) is True
    assert retry_on(refused.value) is False


async def test_no_endpoint_at_all(ask: Ask) -> None:
    with pytest.raises(ours.ConfigurationError, match="LLAMA70B_BASE_URL") as caught:
        await ask(ChatLlama70B())
    assert "llama70b local" in str(caught.value)
    assert isinstance(caught.value, lc.ModelInvalidRequestError)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/v1",
        "not a url",
        "http://far.example.com/v1",
        "https://user:hunter2@host/v1",
        "https://h/v1?k=hunter2",
    ],
)
def test_a_url_that_cannot_work_is_refused_at_once(url: str) -> None:
    with pytest.raises(ours.ConfigurationError) as caught:
        ChatLlama70B(base_url=url, api_key="hunter3")
    assert "hunter" not in str(caught.value)


def test_a_wrong_type_does_not_print_the_key() -> None:
    with pytest.raises(ValueError, match="temperature") as caught:
        ChatLlama70B(temperature="hot", api_key="hunter2")  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("name", ["base_url", "api_key", "modal_secret"])
async def test_the_connection_is_not_for_a_call_to_change(
    ask: Ask, llm: ChatLlama70B, scripted: ScriptedServer, name: str
) -> None:
    with pytest.raises(ours.ConfigurationError, match=name):
        await ask(llm, **{name: "https://evil.example.com/v1"})
    assert scripted.requests == []


async def test_a_misspelt_argument_is_not_lost(ask: Ask, llm: ChatLlama70B) -> None:
    with pytest.raises(ours.ConfigurationError, match="did you mean temperature"):
        await ask(llm, temprature=0)
    with pytest.raises(ours.ConfigurationError, match="did you mean temperature"):
        ChatLlama70B(temprature=0)  # type: ignore[call-arg]


async def test_guided_fields_are_refused(ask: Ask, llm: ChatLlama70B) -> None:
    for given in ({"guided_choice": ["a"]}, {"extra_body": {"guided_regex": "a"}}):
        with pytest.raises(ours.ConfigurationError, match="structured_outputs"):
            await ask(llm, **given)
