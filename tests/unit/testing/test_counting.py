"""The server we offer for tests: Llama 3.3's own counts, and vLLM's refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llama70b import ChatRequest, Client, Endpoint, Message
from llama70b.errors import BadRequest, ContextOverflow
from llama70b.testing import KEY, Answer, CountingServer, Raw, TemplateError, prompt_tokens, text_tokens
from llama70b.testing.tokens import render

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
USER = {"role": "user", "content": "hi"}


@pytest.fixture
def server() -> Iterator[CountingServer]:
    server = CountingServer()
    yield server
    server.close()


@pytest.fixture
def client(server: CountingServer) -> Iterator[Client]:
    with Client(Endpoint(server.url, api_key=KEY, max_retries=0)) as client:
        yield client


def request(text: str = "hi", **given: Any) -> ChatRequest:
    return ChatRequest(messages=(Message("user", text),), **given)


class TestCounts:
    def test_texts(self) -> None:
        assert text_tokens("") == 0
        assert text_tokens("Hello world") == 2
        assert text_tokens("<|eot_id|>") > 1  # a special token's name in a text is text
        assert text_tokens("用中文解释什么是机器学习") < 12

    def test_the_tokenizer_agrees_with_meta_s_own(self) -> None:
        from llama_models.llama3.tokenizer import Tokenizer

        theirs = Tokenizer.get_instance()
        for text in ("Hello world", "def f(x):\n    return x ** 2\n", "用中文", " 1234567 🦙\n\n\nx"):
            assert text_tokens(text) == len(theirs.encode(text, bos=False, eos=False))

    def test_the_template(self) -> None:
        # measured on the model's published template: 35 around one user turn, 5 more for every other turn
        assert prompt_tokens([USER]) == 35 + 1
        assert prompt_tokens([USER, {"role": "assistant", "content": "a"}, USER]) == 36 + 2 * (5 + 1)
        assert prompt_tokens([{"role": "system", "content": "Be terse."}, USER]) == 36 + text_tokens("Be terse.")
        assert prompt_tokens([USER], [ADD]) > 36 + text_tokens(json.dumps(ADD, indent=4))

    def test_tools_stand_in_the_first_user_turn(self) -> None:
        prompt = render([USER, {"role": "assistant", "content": "a"}], [ADD])
        assert prompt.index("Given the following functions") < prompt.index('"name": "add"') < prompt.index("hi<|eot")
        assert "Environment: ipython" in prompt

    @pytest.mark.parametrize("calls", [[], [{"function": {"name": "f"}}] * 2])
    def test_what_the_template_refuses(self, calls: list[Any]) -> None:
        with pytest.raises(TemplateError, match="single tool-calls"):
            prompt_tokens([USER, {"role": "assistant", "content": "", "tool_calls": calls}])

    def test_without_the_wheel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from llama70b.testing import tokens

        tokens._encoding.cache_clear()
        monkeypatch.setattr(tokens.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ImportError, match="pip install llama-models"):
            text_tokens("x")


class TestServer:
    def test_usage_is_counted(self, server: CountingServer, client: Client) -> None:
        server.say("Hello there")
        for usage in (client.chat(request()).usage, list(client.stream(request()))[-1].usage):
            assert usage is not None
            assert (usage.prompt_tokens, usage.completion_tokens) == (36, 3)
        assert server.prompts == [36, 36]
        assert client.count_tokens(request()).count == 36

    def test_an_answer_without_usage_stays_so(self, server: CountingServer, client: Client) -> None:
        server.answer(Answer("a", usage=None))
        assert client.chat(request()).usage is None

    def test_overflow(self, server: CountingServer, client: Client) -> None:
        with pytest.raises(ContextOverflow) as caught:
            client.chat(request("word " * 4500))
        assert caught.value.max_model_len == 4096
        with pytest.raises(BadRequest, match="max_tokens=5000"):
            client.chat(request(max_tokens=5000))
        assert client.chat(request("word " * 4000, max_tokens=500)).text == "ok"  # cut silently, as vLLM does
        server.clamp = False
        with pytest.raises(ContextOverflow):
            client.chat(request("word " * 4000, max_tokens=500))
        assert len(server.prompts) == 1
        assert len(server.refused) == 3

    def test_another_window(self, server: CountingServer, client: Client) -> None:
        server.set_window(8192)
        assert client.models()[0].max_model_len == 8192
        assert client.chat(request("word " * 4500)).text == "ok"

    @pytest.mark.parametrize(
        "body",
        [
            {"tool_choice": "required"},
            {"tools": []},
            {"temperature": -1},
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
            {"response_format": {"json_schema": {"schema": {"uniqueItems": True}}}},
            {"messages": [USER, {"role": "assistant", "tool_calls": []}]},
        ],
        ids=str,
    )
    def test_what_vllm_refuses(self, server: CountingServer, body: dict[str, Any]) -> None:
        from llama70b.testing import Request

        refused = server.refusal(Request("POST", "/v1/chat/completions", {}, {"messages": [USER], **body}))
        assert refused is not None
        assert refused.status == 400
        assert server.refusal(Request("POST", "/v1/chat/completions", {}, {"messages": [USER]})) is None

    def test_a_refusal_does_not_use_up_the_script(self, server: CountingServer, client: Client) -> None:
        server.answer(Answer("first"), Raw(500, "x"))
        with pytest.raises(ContextOverflow):
            client.chat(request("word " * 5000))
        assert client.chat(request()).text == "first"


def test_neither_the_package_nor_the_adapter_imports_it() -> None:
    import subprocess
    import sys

    code = (
        "import sys, llama70b, llama70b.client, llamaindex_llama70b\n"
        "assert not [m for m in sys.modules if m.endswith('70b.testing') or m == 'pytest']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
