"""Construction, secrets, copies, metadata: what is known without a call and never shown."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.llms import LLM, ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import SecretStr, ValidationError

from llama70b import Secret, Timeouts
from llamaindex_llama70b import (
    AuthenticationError,
    ConfigurationError,
    Llama70B,
    recommended_memory,
    recommended_settings,
)
from tests.unit.scripted_server import KEY, MODEL, Raw, ScriptedServer

Make = Callable[..., Llama70B]


class TestConstruction:
    def test_what_it_is(self) -> None:
        assert {c.__name__ for c in Llama70B.__mro__} >= {"BaseLLM", "LLM", "FunctionCallingLLM"}
        assert issubclass(Llama70B, BaseLLM | LLM | FunctionCallingLLM)
        assert Llama70B.class_name() == "Llama70B"

    def test_nothing_is_needed_to_construct(self) -> None:
        llm = Llama70B()
        with pytest.raises(ConfigurationError, match=r"LLAMA70B_BASE_URL.*`llama70b local`"):
            llm.complete("hi")
        with pytest.raises(ConfigurationError, match="LLAMA70B_BASE_URL"):
            next(llm.stream_complete("hi"))
        with pytest.raises(ConfigurationError, match="LLAMA70B_BASE_URL"):
            asyncio.run(llm.acomplete("hi"))

    def test_the_environment(self, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LLAMA70B_BASE_URL", scripted.url)
        monkeypatch.setenv("LLAMA70B_API_KEY", KEY)
        monkeypatch.setenv("LLAMA70B_MODEL", "another")
        monkeypatch.setenv("OPENAI_API_KEY", "not-for-us")
        monkeypatch.setenv("OPENAI_API_BASE", "http://127.0.0.1:1/v1")
        llm = Llama70B()
        assert llm.complete("hi").text == "ok"
        assert scripted.bodies[-1]["model"] == llm.model == "another"
        llm.close()

    def test_a_foreign_url_gets_no_key_from_the_environment(
        self, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LLAMA70B_BASE_URL", "https://elsewhere.example")
        monkeypatch.setenv("LLAMA70B_API_KEY", KEY)
        llm = Llama70B(base_url=scripted.url)
        with pytest.raises(AuthenticationError):
            llm.complete("hi")
        llm.close()

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"base_url": "ftp://x"}, "not an http"),
            ({"base_url": "http://example.org"}, "unencrypted"),
            ({"base_url": "https://u:p@example.org"}, "user name or password"),
            ({"bas_url": "https://example.org"}, "unknown argument 'bas_url' .did you mean base_url"),
            ({"temprature": 1}, "did you mean temperature"),
        ],
    )
    def test_what_cannot_work(self, given: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            Llama70B(**given)

    def test_other_integrations_names(self) -> None:
        llm = Llama70B(
            model_name="m",
            api_base="https://example.org",
            request_timeout=3.0,
            max_completion_tokens=4,
            stop_sequences=["x"],
        )
        assert (llm.base_url, llm.timeout, llm.model) == ("https://example.org", 3.0, "m")
        assert (llm.max_tokens, llm.stop) == (4, ["x"])

    def test_key_forms(self, scripted: ScriptedServer) -> None:
        for key in (KEY, SecretStr(KEY), Secret(KEY)):
            llm = Llama70B(base_url=scripted.url, api_key=key)
            assert llm.complete("hi").text == "ok"
            llm.close()

    def test_settings_accept_it(self, llm: Llama70B, settings: Any) -> None:
        assert Settings.llm is llm

    def test_an_assigned_setting_counts(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        other = ScriptedServer()
        try:
            other.say("other")
            assert llm.complete("hi").text == "ok"
            llm.base_url = other.url
            assert llm.complete("hi").text == "other"
        finally:
            llm.close()
            other.close()


class TestSecrets:
    SECRET = "sk-very-secret-42"

    def shown(self, llm: Llama70B) -> str:
        return "\n".join(
            (
                repr(llm),
                str(llm),
                str(llm.to_dict()),
                llm.to_json(),
                llm.model_dump_json(),
                str(llm.to_payload()),
                str(llm.__getstate__()),
                pickle.dumps(llm).decode("latin-1"),
                str(vars(llm)),
                json.dumps(Llama70B.model_json_schema(mode="serialization"), default=str),
            )
        )

    def test_nowhere(self) -> None:
        llm = Llama70B(
            base_url="https://example.org",
            api_key=self.SECRET,
            modal_key="wk-" + self.SECRET,
            modal_secret="ws-" + self.SECRET,
        )
        assert self.SECRET not in self.shown(llm)
        assert self.SECRET not in repr(llm.client)

    def test_not_in_a_validation_error(self) -> None:
        with pytest.raises(ValidationError) as caught:
            Llama70B(api_key=[self.SECRET])  # type: ignore[arg-type]
        assert self.SECRET not in str(caught.value)

    def test_not_in_an_error_nor_in_its_traceback(self, scripted: ScriptedServer) -> None:
        import traceback

        llm = Llama70B(base_url=scripted.url, api_key=self.SECRET)
        with pytest.raises(AuthenticationError) as caught:
            llm.complete("hi")
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        assert self.SECRET not in shown
        llm.close()


class TestCopies:
    def test_pickle(self, make: Make, scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
        llm = make(temperature=0.5, timeout=Timeouts(connect=3), stop=["x"])
        llm.complete("hi")
        twin = pickle.loads(pickle.dumps(llm))
        assert (twin.temperature, twin.timeout, twin.stop, twin.base_url) == (0.5, llm.timeout, ["x"], llm.base_url)
        assert twin.api_key is None
        monkeypatch.setenv("LLAMA70B_BASE_URL", scripted.url)
        monkeypatch.setenv("LLAMA70B_API_KEY", KEY)
        assert twin.complete("hi").text == "ok"
        twin.close()

    def test_what_cannot_be_pickled_is_left_out_and_said(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        llm = make(on_progress=lambda progress: None)
        with caplog.at_level(logging.WARNING):
            twin = pickle.loads(pickle.dumps(llm))
        assert twin.on_progress is None
        assert llm.on_progress is not None
        assert "on_progress cannot be pickled" in caplog.text

    @pytest.mark.parametrize("used", [False, True])
    def test_deepcopy_and_copy(self, llm: Llama70B, used: bool) -> None:
        if used:
            llm.complete("hi")
        for twin in (copy.deepcopy(llm), copy.copy(llm), llm.model_copy(update={"temperature": 0.1})):
            assert twin.complete("hi").text == "ok"
            twin.close()

    def test_a_copy_to_another_url_uses_it(self, llm: Llama70B) -> None:
        other = ScriptedServer()
        try:
            other.say("other")
            llm.complete("hi")
            twin = llm.model_copy(update={"base_url": other.url})
            assert twin.complete("hi").text == "other"
            assert llm.complete("hi").text == "ok"
            twin.close()
        finally:
            other.close()

    def test_dicts(self, make: Make, scripted: ScriptedServer) -> None:
        llm = make(temperature=0.5, timeout=Timeouts(connect=3), extra_body={"priority": 1}, system_prompt="s")
        twin = Llama70B.from_dict(llm.to_dict(), api_key=KEY)
        assert twin.to_dict() == llm.to_dict()
        assert twin.timeout == Timeouts(connect=3)
        assert Llama70B.from_json(llm.to_json()).to_dict() == llm.to_dict()
        assert twin.complete("hi").text == "ok"
        twin.close()


class TestMetadata:
    def test_from_the_server_once(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        scripted.routes["/v1/models"] = Raw(200, {"data": [{"id": MODEL, "max_model_len": 8192}]})
        assert llm.metadata.context_window == 8192 - 48
        assert llm.metadata.context_window == 8192 - 48
        assert [request.path for request in scripted.requests] == ["/v1/models"]
        assert llm.metadata.is_chat_model
        assert llm.metadata.is_function_calling_model
        assert llm.metadata.model_name == MODEL
        assert llm.metadata.num_output == 512

    async def test_in_an_event_loop(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        assert llm.metadata.context_window == 4048

    def test_by_alias_or_root(self, make: Make, scripted: ScriptedServer) -> None:
        entries = [
            {"id": "other", "max_model_len": 1},
            {"id": "alias", "max_model_len": 2048, "root": "weights"},
        ]
        scripted.routes["/v1/models"] = Raw(200, {"data": entries})
        assert make(model="alias").metadata.context_window == 2000
        assert make(model="weights").metadata.context_window == 2000
        assert make(model="unknown").metadata.context_window == 4048

    def test_given_beats_the_server(self, make: Make, scripted: ScriptedServer) -> None:
        llm = make(context_window=1000, max_tokens=100)
        assert (llm.metadata.context_window, llm.metadata.num_output) == (952, 100)
        assert make(context_window=1000).metadata.num_output == 500
        assert not scripted.requests

    @pytest.mark.parametrize(
        "answer", [Raw(401, {"error": "Unauthorized"}), Raw(404, {}), Raw(200, "<html>"), Raw(503, ""), Raw(500, "x")]
    )
    def test_a_server_that_does_not_tell(self, llm: Llama70B, scripted: ScriptedServer, answer: Raw) -> None:
        scripted.routes["/v1/models"] = answer
        assert llm.metadata.context_window == 4048

    def test_no_endpoint_at_all(self) -> None:
        assert Llama70B().metadata.context_window == 4048

    def test_a_silent_server_costs_two_seconds_once(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, never answers
            llm = Llama70B(base_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
            began = time.monotonic()
            assert llm.metadata.context_window == 4048
            first = time.monotonic() - began
            assert llm.metadata.context_window == 4048
            assert first < 5
            assert time.monotonic() - began - first < 0.1
            llm.close()

    def test_asked_again_once_the_endpoint_answers(self, llm: Llama70B, scripted: ScriptedServer) -> None:
        good = scripted.routes["/v1/models"]
        scripted.routes["/v1/models"] = Raw(503, "")
        assert llm.metadata.context_window == 4048
        scripted.routes["/v1/models"] = Raw(200, {"data": [{"id": MODEL, "max_model_len": 8192}]})
        assert llm.metadata.context_window == 4048  # not asked again so soon
        llm.complete("hi")
        assert llm.metadata.context_window == 8144
        assert good is not None

    def test_count_tokens(self, llm: Llama70B, call: Any) -> None:
        assert call._whole(llm, "count_tokens", [ChatMessage("hi")]).max_model_len == 4096


class TestRecommended:
    def test_for_the_small_window(self, llm: Llama70B, settings: Any) -> None:
        advice = recommended_settings(llm)
        assert (advice.context_window, advice.num_output, advice.chunk_size) == (4048, 512, 512)
        used = advice.memory_token_limit + advice.similarity_top_k * advice.chunk_size + advice.num_output
        assert used <= 4048 - 256
        advice.apply(llm)
        assert Settings.llm is llm
        assert Settings.prompt_helper.context_window == 4048
        assert Settings.node_parser.chunk_size == 512
        assert recommended_memory(llm).token_limit == advice.memory_token_limit
        assert recommended_memory(llm, token_limit=99).token_limit == 99

    def test_for_other_windows(self, make: Make) -> None:
        assert recommended_settings(make(context_window=131072)).chunk_size == 1024
        tiny = recommended_settings(make(context_window=1024))
        assert tiny.chunk_size * tiny.similarity_top_k + tiny.num_output < 1024
