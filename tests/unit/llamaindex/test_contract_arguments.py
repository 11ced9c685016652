"""What arguments mean: of the call, of the model, and those that mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

from llamaindex_llama70b import ConfigurationError, Llama70B
from tests.unit.scripted_server import ScriptedServer

Make = Callable[..., Llama70B]
USER = [ChatMessage(role="user", content="hi")]


class TestArguments:
    def test_an_unset_field_is_not_sent(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        call.chat(llm)
        assert scripted.bodies[-1].keys() == {"model", "messages", "stream"}

    def test_none_means_not_given(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        call.chat(make(temperature=0.3), temperature=None)
        assert scripted.bodies[-1]["temperature"] == 0.3

    def test_an_empty_stop_list_lifts_the_default(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        llm = make(stop=["Observation:"])
        call.chat(llm)
        call.chat(llm, stop=[])
        assert scripted.bodies[0]["stop"] == ["Observation:"]
        assert "stop" not in scripted.bodies[1]

    def test_sampling_fields(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        given = {
            "temperature": 0.0,
            "top_p": 0.9,
            "max_tokens": 7,
            "seed": 4,
            "presence_penalty": 0.1,
            "frequency_penalty": 0.2,
            "top_k": 5,
            "min_p": 0.05,
            "repetition_penalty": 1.1,
        }
        call.chat(make(**given))
        call.chat(make(), **given)
        for body in scripted.bodies:
            assert {name: body[name] for name in given} == given

    def test_vllm_fields_by_name_and_by_extra_body(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        llm = make(extra_body={"priority": 1, "cache_salt": "a"}, min_tokens=2)
        call.chat(llm, extra_body={"priority": 2}, ignore_eos=True)
        body = scripted.bodies[-1]
        assert (body["priority"], body["cache_salt"], body["min_tokens"], body["ignore_eos"]) == (2, "a", 2, True)

    def test_model_of_one_call(self, llm: Llama70B, scripted: ScriptedServer, call: Any) -> None:
        call.chat(llm, model="other")
        assert scripted.bodies[-1]["model"] == "other"

    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ({"regex": "[ab]+"}, {"regex": "[ab]+"}),
            ({"choice": ["yes", "no"]}, {"choice": ["yes", "no"]}),
            ({"grammar": 'root ::= "a"'}, {"grammar": 'root ::= "a"'}),
            ({"json_schema": {"type": "object"}}, {"json": {"type": "object"}}),
            ({"structured_outputs": {"choice": ["a"]}}, {"choice": ["a"]}),
            ({"structured_outputs": {"json_object": True}}, {"json_object": True}),
        ],
    )
    def test_constraints(
        self, llm: Llama70B, scripted: ScriptedServer, call: Any, given: dict[str, Any], sent: dict[str, Any]
    ) -> None:
        call.chat(llm, **given)
        call.stream_complete(llm, **given)
        assert scripted.bodies[-1]["structured_outputs"] == scripted.bodies[-2]["structured_outputs"] == sent

    def test_a_constraint_for_every_answer(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        llm = make(structured_outputs={"regex": "a"})
        call.chat(llm)
        call.chat(llm, response_format={"type": "json_object"})
        assert scripted.bodies[0]["structured_outputs"] == {"regex": "a"}
        assert "structured_outputs" not in scripted.bodies[1]

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"temprature": 1}, "unknown argument 'temprature' .did you mean temperature"),
            ({"quux": 1}, "unknown argument 'quux' .a field of a newer vLLM goes into extra_body"),
            ({"api_key": "k-42"}, "api_key cannot be changed by a call"),
            ({"guided_choice": ["a"]}, "guided_choice: vLLM removed"),
            ({"extra_body": {"guided_json": {}}}, "guided_json: vLLM removed"),
            ({"choice": "yes"}, "choice is one string"),
            ({"choice": []}, "choice is empty"),
            ({"regex": "a", "choice": ["b"]}, "exactly one constraint"),
            ({"structured_outputs": {"regexp": "a"}}, "structured_outputs"),
            ({"structured_outputs": ["a"]}, "structured_outputs is list"),
            ({"structured_outputs": {"regex": "a"}, "choice": ["b"]}, "give one constraint"),
            ({"tool_choice": "required"}, "no tools are given"),
            ({"context_guard": "maybe"}, "context_guard is 'maybe'"),
            ({"response_format": "json"}, "response_format is 'json'"),
            ({"response_format": int}, "int is no pydantic class"),
        ],
    )
    def test_what_cannot_work_is_refused_before_sending(
        self, llm: Llama70B, scripted: ScriptedServer, call: Any, given: dict[str, Any], said: str
    ) -> None:
        for method in (call.chat, call.stream_chat, call.complete, call.stream_complete):
            with pytest.raises(ConfigurationError, match=said):
                method(llm, **given)
        assert not scripted.chats


class TestSystemPrompt:
    def test_a_conversation_with_its_own_keeps_it(self, make: Make, scripted: ScriptedServer, call: Any) -> None:
        call.chat(make(system_prompt="Be terse."), [ChatMessage(role="system", content="Be long."), *USER])
        assert [m["content"] for m in scripted.bodies[-1]["messages"]] == ["Be long.", "hi"]
