"""F59, F60 through both frameworks: a marker secret is hunted through all that they print, trace, dump and log."""

import asyncio
import contextlib
import copy
import io
import json
import logging
import pickle
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps
from langchain_core.tracers.base import BaseTracer
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import ChatMessage
from pydantic import SecretStr

from langchain_llama70b import ChatLlama70B
from llamaindex_llama70b import Llama70B
from tests.fault.asking import QUICK
from tests.fault.faultd import DONE, Case, FaultServer, data, delta, vllm_error

MARKER = "marker5ecret"
KEYS = {"api_key": f"sk-{MARKER}-a", "modal_key": f"wk-{MARKER}-b", "modal_secret": f"ws-{MARKER}-c"}
FORMS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "SecretStr": SecretStr,
    "function": lambda clear: lambda: clear,
}
FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "works": ("ok", {}),
    "401 that echoes the key": ("fixed", {"status": 401, "body": vllm_error(f"bad key {KEYS['api_key']}", 401)}),
    "400 that echoes headers": ("fixed", {"status": 400, "body": {"error": {"message": "x", "headers": KEYS}}}),
    "error in the stream that echoes": (
        "events",
        {"blocks": [delta("a"), data(vllm_error(f"bad key {KEYS['modal_secret']}", 500)), DONE]},
    ),
    "cut by a reset": ("events", {"blocks": [delta("a")], "then": "reset"}),
    "silent": ("silent", {}),
    "redirect": ("redirect", {"status": 307, "location": f"https://elsewhere.invalid/{KEYS['modal_key']}"}),
    "no http": ("bytes", {"raw": f"no http {KEYS['api_key']}\r\n\r\n".encode()}),
}


HEAD = {"redirect", "no http"}
"""Faults that echo a key in the answer's head, which httpcore logs at DEBUG as it comes; ours is what the rest says."""


def _said(logged: io.StringIO, fault: str) -> str:
    lines = logged.getvalue().splitlines()
    return "\n".join(line for line in lines if fault not in HEAD or not line.startswith("httpcore"))


class Everything(BaseCallbackHandler):
    """Remembers the arguments of every callback."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *args, **kwargs: self.heard.append((name, args, kwargs))
        return super().__getattribute__(name)


class Tracer(BaseTracer):
    """Keeps what LangSmith's tracer would send."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def _persist_run(self, run: Any) -> None:
        self.sent.append(run.model_dump_json() if hasattr(run, "model_dump_json") else run.json())
        self.sent.append(repr(run))


class Events(BaseEventHandler):
    """Remembers LlamaIndex's events."""

    heard: list[Any] = []  # noqa: RUF012 - a pydantic field

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def handle(self, event: Any, **_: Any) -> None:
        self.heard.append(event)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that anybody logs at DEBUG, with arguments and tracebacks."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    names = ("", "httpx", "httpcore", "llama70b", "langchain", "langchain_core", "llama_index", "llamaindex_llama70b")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def _shown(value: Any, depth: int = 5) -> str:
    """Return what a curious dump would print: the value's repr, and that of all it holds."""
    text = [repr(value), str(value)]
    with contextlib.suppress(Exception):
        text.append(value.model_dump_json())
    if depth:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple | set) else ()
        text += [_shown(item, depth - 1) for item in inside]
        if isinstance(value, BaseException):
            text += [_shown(item, depth - 1) for item in value.__dict__.values()]
    return "\n".join(text)


def _printed(error: BaseException) -> str:
    """Return an exception and all behind it, with the variables of every frame, and all attributes."""
    text = []
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        todo += [one.__cause__, one.__context__]
        text += traceback.TracebackException.from_exception(one, capture_locals=True).format()
        text.append(_shown(one))
    return "\n".join(text)


async def _collected(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


def _langchain_calls(llm: ChatLlama70B, config: Any) -> list[Callable[[], Any]]:
    return [
        lambda: llm.invoke("Say hello", config),
        lambda: list(llm.stream("Say hello", config)),
        lambda: asyncio.run(llm.ainvoke("Say hello", config)),
        lambda: asyncio.run(_collected(llm.astream_events("Say hello", config, version="v2"))),
    ]


def _llamaindex_calls(llm: Llama70B) -> list[Callable[[], Any]]:
    said = [ChatMessage(role="user", content="Say hello")]

    async def astream() -> list[Any]:
        return await _collected(await llm.astream_chat(said))

    return [
        lambda: llm.chat(said),
        lambda: list(llm.stream_chat(said)),
        lambda: asyncio.run(llm.achat(said)),
        lambda: asyncio.run(astream()),
        lambda: llm.complete("Say hello"),
    ]


def _outcome(call: Callable[[], Any]) -> str:
    """Return all that can be printed of what a call returns or raises; no frame of it holds the marker by itself."""
    try:
        return _shown(call())
    except Exception as error:  # noqa: BLE001 - whatever it is
        return _printed(error)


def _sent(case: Case) -> str:
    return repr([arrival.headers for arrival in case.log])


def _options(case: Case, form: str) -> dict[str, Any]:
    timeouts = type(QUICK)(
        connect=2, pool=2, write=2, first_byte=0.3, stream_idle=0.3, total=0.6, cold_start=1, poll=0.05
    )
    keys = {name: FORMS["SecretStr" if form == "function" else form](clear) for name, clear in KEYS.items()}
    keys["api_key"] = FORMS[form](KEYS["api_key"])
    return {"base_url": case.url, "timeout": timeouts, "max_retries": 0, "progress_bar": False, **keys}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("form", FORMS)
def test_f59_langchain(faultd: FaultServer, logged: io.StringIO, fault: str, form: str) -> None:
    if form != "text" and fault not in {"works", "401 that echoes the key"}:
        return  # the form of the key makes no difference after the client is made
    name, params = FAULTS[fault]
    case = faultd.case(name, **params)
    llm = ChatLlama70B(**_options(case, form))
    heard, tracer = Everything(), Tracer()
    config = {"callbacks": [heard, tracer], "metadata": {"user": "me"}}
    said = [_outcome(call) for call in _langchain_calls(llm, config)]
    assert MARKER in _sent(case)  # it was really sent
    assert len(heard.heard) > 4
    assert len(tracer.sent) >= 4
    for text in (*said, _shown(heard.heard), *tracer.sent, _said(logged, fault)):
        assert MARKER not in text
    assert "httpcore" in logged.getvalue()
    llm.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_f59_llamaindex(faultd: FaultServer, logged: io.StringIO, fault: str) -> None:
    name, params = FAULTS[fault]
    case = faultd.case(name, **params)
    llm = Llama70B(**_options(case, "text"))
    root, events, spans = get_dispatcher(), Events(heard=[]), SimpleSpanHandler()
    root.add_event_handler(events)
    root.add_span_handler(spans)
    try:
        said = [_outcome(call) for call in _llamaindex_calls(llm)]
    finally:
        root.event_handlers.remove(events)
        root.span_handlers.remove(spans)
    assert MARKER in _sent(case)
    assert len(events.heard) > 4
    spanned = [*spans.completed_spans, *spans.dropped_spans]
    assert spanned
    for text in (*said, _shown(events.heard), _shown(spanned), _said(logged, fault)):
        assert MARKER not in text
    llm.close()


@pytest.mark.parametrize("form", FORMS)
def test_f59_langchain_objects(form: str, faultd: FaultServer) -> None:
    llm = ChatLlama70B(**_options(faultd.case("ok"), form))
    llm.invoke("Say hello")  # with a client inside
    for model in (llm, copy.copy(llm), copy.deepcopy(llm), llm.bind(stop=["x"]), llm.with_config(tags=["a"])):
        dumped = [dumps(model), json.dumps(dumpd(model)), repr(model), str(model), f"{model}", repr([model])]
        dumped += [repr(model.get_graph()), str(model.get_graph().to_json())]
        assert MARKER not in "".join(dumped)
        for html in ("_repr_html_", "_repr_pretty_", "_repr_mimebundle_"):
            assert not hasattr(model, html)
    assert MARKER not in repr(llm.model_dump()) + llm.model_dump_json() + str(llm.to_json()) + repr(llm.lc_attributes)
    assert MARKER not in repr(llm._identifying_params) + repr(llm._get_ls_params()) + repr(list(llm))
    assert MARKER.encode() not in pickle.dumps(llm)
    llm.close()


def test_f59_llamaindex_objects(faultd: FaultServer) -> None:
    llm = Llama70B(**_options(faultd.case("ok"), "text"))
    llm.complete("Say hello")
    for model in (llm, copy.copy(llm), copy.deepcopy(llm)):
        dumped = [repr(model), str(model), f"{model}", repr(model.model_dump()), model.model_dump_json()]
        dumped += [repr(model.to_dict()), model.to_json(), repr(model.to_payload()), repr(list(model))]
        dumped += [repr(model.metadata)]
        assert MARKER not in "".join(dumped)
        for html in ("_repr_html_", "_repr_mimebundle_"):
            assert not hasattr(model, html)
        assert MARKER.encode() not in pickle.dumps(model)
    llm.close()


def _langchain_without_url() -> ChatLlama70B:
    return ChatLlama70B(**KEYS)


def _llamaindex_without_url() -> Llama70B:
    return Llama70B(**KEYS)


@pytest.mark.parametrize("make", [_langchain_without_url, _llamaindex_without_url])
@pytest.mark.parametrize("source", ["arguments", "environment"])
def test_f59_a_missing_url_shows_no_key(make: Callable[[], Any], source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if source == "environment":
        for name, clear in KEYS.items():
            monkeypatch.setenv(f"LLAMA70B_{name.upper()}", clear)
        llm = type(make())()
    else:
        llm = make()
    printed = _outcome(lambda: llm.complete("x") if isinstance(llm, Llama70B) else llm.invoke("x"))
    assert "no endpoint is configured" in printed
    assert MARKER not in printed


@pytest.mark.parametrize("form", ["text", "SecretStr"])
@pytest.mark.parametrize("model", [ChatLlama70B, Llama70B])
def test_f58_a_key_that_cannot_be_is_not_shown(model: Any, form: str) -> None:
    printed = _outcome(lambda: model(base_url="https://host", api_key=FORMS[form](f"{MARKER}\nx")).metadata)
    assert "line break" in printed
    # Its own text and attributes; the frames of a call that was given clear text hold it, and are the caller's.
    assert MARKER not in printed.split("Traceback")[0]


OTHERS = {
    "OPENAI_API_KEY": f"sk-{MARKER}",
    "OPENAI_ORG_ID": MARKER,
    "OPENAI_ORGANIZATION": MARKER,
    "OPENAI_PROJECT_ID": MARKER,
    "OPENAI_BASE_URL": "http://127.0.0.1:9",
    "OPENAI_API_BASE": "http://127.0.0.1:9",
    "OPENAI_API_TYPE": MARKER,
    "OPENAI_API_VERSION": MARKER,
    "OPENAI_CUSTOM_HEADERS": f"X-Marker: {MARKER}",
    "OPENAI_PROXY": "http://127.0.0.1:9",
    "OPENAI_MODEL": MARKER,
    "OPENAI_MODEL_NAME": MARKER,
    "AZURE_OPENAI_API_KEY": MARKER,
    "HF_TOKEN": MARKER,
}


@pytest.mark.parametrize("framework", ["langchain", "llamaindex"])
def test_f60_variables_of_others(faultd: FaultServer, monkeypatch: pytest.MonkeyPatch, framework: str) -> None:
    for name, clear in OTHERS.items():
        monkeypatch.setenv(name, clear)
    case = faultd.case("ok")
    if framework == "langchain":
        chat = ChatLlama70B(base_url=case.url, timeout=QUICK, progress_bar=False)
        said = [_outcome(call) for call in _langchain_calls(chat, {})]
    else:
        llm = Llama70B(base_url=case.url, timeout=QUICK, progress_bar=False)
        said = [_outcome(call) for call in _llamaindex_calls(llm)]
    assert all("Hello" in text for text in said)
    assert len(case.log) >= len(said)
    assert MARKER not in repr(case.log)
    assert not [h for a in case.log for h in a.headers if h.startswith(("openai", "x-stainless", "authorization"))]
