"""Every arm against a scripted model: what it asks, what it makes of the reply, what it counts."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from llama70b.errors import ConfigurationError
from llama70b.evaluation import Item, Record, Settings, generate
from llama70b.evaluation._arms import ARMS, open_arm
from tests.unit.scripted_server import Answer, Request, ScriptedServer, error

# LlamaIndex looks at every attribute of its own agents, two of which pydantic has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:(The `__fields|Accessing the 'model_):DeprecationWarning")

Evaluate = Callable[..., dict[tuple[str, str], Record]]
VALID = Item("v", "All roses are flowers. All flowers are plants. Therefore, all roses are plants.", valid=True)
FALLACY = Item("f", "All roses are flowers. Some flowers fade quickly. So some roses fade quickly.", valid=False)
MOST = Item("m", "Most roses are flowers. All flowers are plants. So most roses are plants.", valid=True)
CHINESE = Item("z", "所有玫瑰都是花。所有花都是植物。因此，所有玫瑰都是植物。", valid=True, language="zh")


def said(records: dict[tuple[str, str], Record], item: Item, arm: str) -> tuple[str | None, str | None]:
    outcome = records[item.id, arm].outcome
    assert outcome is not None, records[item.id, arm].error
    return outcome.answer, outcome.unanswered


def test_arms_that_need_no_model(evaluate: Evaluate, scripted: ScriptedServer) -> None:
    arms = ("parser_only", "always_invalid", "atmosphere")
    records = evaluate([VALID, FALLACY, MOST], *arms)
    assert said(records, VALID, "parser_only") == ("valid", None)
    assert said(records, FALLACY, "parser_only") == ("invalid", None)
    answer, why = said(records, MOST, "parser_only")
    assert answer is None
    assert why == "refused: quantity"
    assert {said(records, item, "always_invalid")[0] for item in (VALID, FALLACY, MOST)} == {"invalid"}
    assert said(records, VALID, "atmosphere") == ("valid", None)
    assert said(records, FALLACY, "atmosphere") == ("valid", None)  # the very mistake it stands for
    assert said(records, MOST, "atmosphere") == (None, "the form could not be read")
    assert not scripted.bodies


def test_atmosphere_on_designed_items(evaluate: Evaluate) -> None:
    items = generate(128, seed=2)
    records = evaluate(items, "atmosphere")
    for item in items:
        assert item.design is not None
        major, minor, conclusion = item.design.mood
        negative, particular = {major, minor} & set("EO"), {major, minor} & set("IO")
        expected = ("O" if negative else "I") if particular else ("E" if negative else "A")
        assert said(records, item, "atmosphere")[0] == ("valid" if conclusion == expected else "invalid")


def test_bare_is_constrained_to_one_word(evaluate: Evaluate, scripted: ScriptedServer) -> None:
    scripted.answer(lambda request: Answer("有效" if "玫瑰" in str(request.body) else "invalid", usage=(50, 2)))
    records = evaluate([VALID, CHINESE], "bare")
    assert said(records, VALID, "bare") == ("invalid", None)
    assert said(records, CHINESE, "bare") == ("valid", None)
    english = next(body for body in scripted.bodies if "玫瑰" not in str(body))
    assert english["structured_outputs"] == {"choice": ["valid", "invalid"]}
    assert (english["temperature"], english["seed"], english["max_tokens"]) == (0, 0, 8)
    assert "at least one member" in english["messages"][0]["content"]
    assert VALID.text in english["messages"][1]["content"]
    outcome = records["v", "bare"].outcome
    assert outcome is not None
    assert (outcome.prompt_tokens, outcome.completion_tokens, outcome.calls) == (50, 2, 1)
    assert outcome.model == "meta-llama/Llama-3.3-70B-Instruct vllm-scripted"


@pytest.mark.parametrize("arm", ["cot", "rules"])
def test_written_out_answers_are_read_strictly(evaluate: Evaluate, scripted: ScriptedServer, arm: str) -> None:
    replies = {
        VALID.text: Answer("All of them are.\n\nAnswer: valid"),
        FALLACY.text: Answer("It is surely valid, I would say."),
        MOST.text: Answer("Let us see", finish_reason="length"),
    }
    scripted.answer(lambda request: next(reply for text, reply in replies.items() if text in str(request.body)))
    records = evaluate([VALID, FALLACY, MOST], arm, settings=Settings(max_tokens=33, import_="none"))
    assert said(records, VALID, arm) == ("valid", None)
    assert said(records, FALLACY, arm) == (None, "no answer line")
    assert said(records, MOST, arm) == (None, "cut off at max_tokens (no answer line)")
    outcome = records["f", arm].outcome
    assert outcome is not None
    assert outcome.raw == "It is surely valid, I would say."
    system = scripted.bodies[0]["messages"][0]["content"]
    assert scripted.bodies[0]["max_tokens"] == 33
    assert "may have no member" in system
    assert ("distributed" in system) is (arm == "rules")
    assert ("needs a premise I or O" in system) is (arm == "rules")


def test_read_and_check_asks_only_about_what_is_refused(evaluate: Evaluate, scripted: ScriptedServer) -> None:
    odd = Item(
        "o",
        "Whichever rose you take, it turns out a flower. All flowers are plants. So all roses are plants.",
        valid=True,
    )
    reading = {"quantifier": "all", "subject": "rose", "predicate": "flower"}
    scripted.answer(Answer(json.dumps(reading), usage=(70, 9)))
    records = evaluate([VALID, MOST, odd], "read_and_check")
    assert said(records, VALID, "read_and_check") == ("valid", None)
    assert said(records, MOST, "read_and_check") == (None, "refused: quantity")
    for item in (VALID, MOST):
        outcome = records[item.id, "read_and_check"].outcome
        assert outcome is not None
        assert (outcome.calls, outcome.prompt_tokens) == (0, 0)
    outcome = records["o", "read_and_check"].outcome
    assert outcome is not None
    assert outcome.calls == len(scripted.bodies) > 0
    assert "Whichever" in scripted.bodies[0]["messages"][-1]["content"]


@pytest.mark.parametrize("arm", ["langchain_agent", "llamaindex_agent"])
def test_agents_have_the_checkers_verdict(evaluate: Evaluate, scripted: ScriptedServer, arm: str) -> None:
    def reply(request: Request) -> Answer:
        last = request.body["messages"][-1]
        if last["role"] == "tool" or "roses" not in str(request.body["messages"]):
            return Answer("Yes, it follows.", usage=(200, 10))
        text = VALID.text if VALID.text in str(request.body) else FALLACY.text
        sentences = [
            part.strip() for part in text.replace("Therefore, ", "").replace("So ", "").split(".") if part.strip()
        ]
        call = {"premises": sentences[:2], "conclusion": sentences[2]}
        return Answer(tool_calls=[("check_argument", json.dumps(call))], usage=(100, 20))

    scripted.answer(reply)
    records = evaluate([VALID, FALLACY], arm, settings=Settings(agent_tokens=99, seed=4))
    assert said(records, VALID, arm) == ("valid", None)
    assert said(records, FALLACY, arm) == ("invalid", None)  # whatever the model says
    outcome = records["f", arm].outcome
    assert outcome is not None
    assert outcome.raw == "Yes, it follows."
    assert (outcome.prompt_tokens, outcome.completion_tokens, outcome.calls) == (300, 30, 2)
    assert outcome.details["corrected"] is True
    assert outcome.details["tool_calls"] == 1
    assert outcome.model
    assert "Llama-3.3-70B" in outcome.model
    assert {(body["temperature"], body["max_tokens"], body["seed"]) for body in scripted.bodies} == {(0, 99, 4)}


@pytest.mark.parametrize("arm", ["langchain_agent", "llamaindex_agent"])
def test_agents_that_decide_nothing_are_unanswered(evaluate: Evaluate, scripted: ScriptedServer, arm: str) -> None:
    scripted.say("Most plants are lovely.")
    answer, why = said(evaluate([MOST], arm), MOST, arm)
    assert answer is None
    assert why == "refused: quantity"


@pytest.mark.parametrize("arm", [name for name, arm in ARMS.items() if arm.needs_model])
def test_a_failing_endpoint_makes_an_error_row(evaluate: Evaluate, scripted: ScriptedServer, arm: str) -> None:
    odd = Item(
        "o",
        "Whichever rose you take, it turns out a flower. All flowers are plants. So all roses are plants.",
        valid=True,
    )
    scripted.answer(error(400, "no such field"))
    record = evaluate([odd], arm)["o", arm]
    assert record.outcome is None
    assert record.error
    assert "no such field" in record.error


def test_exactness_is_measured_against_the_design(evaluate: Evaluate) -> None:
    items = generate(30, seed=9)
    records = evaluate(items, "parser_only")
    exact = [records[item.id, "parser_only"].outcome.exact for item in items]  # type: ignore[union-attr]
    assert set(exact) <= {True, None}
    assert exact.count(True) > 20
    unanswered = [record.outcome for record in records.values() if record.outcome and record.outcome.answer is None]
    assert all(outcome.exact is None for outcome in unanswered)


def test_arms_that_cannot_be_opened() -> None:
    with pytest.raises(ConfigurationError, match="there is no arm 'nosuch'"):
        open_arm("nosuch", None, Settings(), {})
    with pytest.raises(ConfigurationError, match="the arm bare needs a model"):
        open_arm("bare", None, Settings(), {})
