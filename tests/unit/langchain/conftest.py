"""Models on the scripted server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import Runnable

from langchain_llama70b import ChatLlama70B
from tests.unit.scripted_server import KEY, ScriptedServer

_VARIABLES = ("BASE_URL", "API_KEY", "MODAL_KEY", "MODAL_SECRET", "MODEL")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see no endpoint but their own."""
    for name in _VARIABLES:
        monkeypatch.delenv(f"LLAMA70B_{name}", raising=False)


@pytest.fixture
def make(scripted: ScriptedServer) -> Iterator[Callable[..., ChatLlama70B]]:
    """Make a model on the scripted server; closed at the end."""
    made: list[ChatLlama70B] = []

    def make_one(**given: Any) -> ChatLlama70B:
        model = ChatLlama70B(**{"base_url": scripted.url, "api_key": KEY, "max_retries": 0, **given})
        made.append(model)
        return model

    yield make_one
    for model in made:
        model.close()


@pytest.fixture
def llm(make: Callable[..., ChatLlama70B]) -> ChatLlama70B:
    return make()


@pytest.fixture(params=["invoke", "ainvoke", "stream", "astream"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Ask in each of the four ways; pieces of a stream come back added up."""

    async def run(model: Runnable[Any, Any], question: Any = "hi", /, **given: Any) -> Any:
        match request.param:
            case "invoke":
                return model.invoke(question, **given)
            case "ainvoke":
                return await model.ainvoke(question, **given)
            case "stream":
                pieces = list(model.stream(question, **given))
            case _:
                pieces = [piece async for piece in model.astream(question, **given)]
        whole = pieces[0]
        for piece in pieces[1:]:
            whole = whole + piece if isinstance(whole, AIMessageChunk) else piece
        return whole

    return run
