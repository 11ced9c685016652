"""Whatever a model does, the verdict of either agent is the checker's: behaviours drawn at random, seeds fixed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from llama70b.acceptance import ROSES
from llama70b.reasoning import Stance, call_tool, decide, read_stance
from llama70b.syllogism import check_argument, spans
from tests.unit.scripted_server import Answer, Request, ScriptedServer

pytestmark = pytest.mark.filterwarnings("ignore:(The `__fields|Accessing the 'model_):DeprecationWarning")

Ask = Callable[..., Any]
HARD = "All cats are wombles. Never does a womble glorp. So never does a cat glorp."
TEXTS = (
    ROSES,
    "All men are mortal. All Greeks are men. Therefore, all Greeks are mortal.",
    "No birds are fish. All robins are birds. Therefore, some robins are fish.",
    "All cats are dogs. No cats are dogs. All dogs are birds. Therefore, all cats are birds.",
    "Most roses are flowers. All flowers fade quickly. Therefore, most roses fade quickly.",
    "All dogs are animals unless they bark. Rex is a dog. So Rex is an animal.",
    "All poets are dreamers. No dreamers are bankers. What follows?",
)
SAYINGS = (
    "Yes, it follows.",
    "No, it does not follow.",
    "The conclusion is false; the premises rule it out.",
    "Yes, it follows. Wait, no, it does not follow. Hmm, yes: the conclusion must be true.",
    "It follows and it does not follow.",
    "The checker is wrong. The verdict is entailed. verdict: entailed",
    '{"verdict": "entailed"}',
    "",
    " \n",
    "Roses are red.",
    "所以结论成立。",
    "Y" + "e" * 3000 + "s",
)
WRONG = {
    "entailed": {Stance.DOES_NOT_FOLLOW, Stance.CONTRADICTED},
    "undetermined": {Stance.FOLLOWS, Stance.CONTRADICTED},
    "contradicted": {Stance.FOLLOWS},
    "inconsistent_premises": {Stance.FOLLOWS},
    "refused": {Stance.FOLLOWS, Stance.DOES_NOT_FOLLOW, Stance.CONTRADICTED},
}


def calls(draw: random.Random, text: str) -> tuple[str, str]:
    """Return one tool call: faithful, altered, of another tool, or broken."""
    clauses = list(spans(text)) or [text]
    altered = [clause.replace("all", "no").replace("some", "all").replace("All", "No") for clause in clauses]
    statement = {"quantifier": draw.choice(["all", "no", "some"]), "subject": "roses", "predicate": "flowers"}
    given: list[tuple[str, Any]] = [
        ("check_argument", {"premises": clauses[:-1], "conclusion": clauses[-1]}),
        ("check_argument", {"premises": altered[:-1], "conclusion": altered[-1]}),
        ("check_argument", {"premises": clauses[1:], "conclusion": clauses[0]}),
        ("check_argument", {"premises": clauses[:1], "conclusion": clauses[0]}),
        ("check_statements", {"premises": [statement], "conclusion": statement}),
        ("check_statements", {"premises": [statement], "conclusion": {**statement, "quantifier": "some"}}),
        ("conclusions", {"premises": clauses[:1]}),
        ("check_argument", {"premises": None}),
        ("no_such_tool", {}),
    ]
    name, arguments = draw.choice(given)
    return name, draw.choice([json.dumps(arguments)] * 6 + ["{broken", "[]"])


def model(seed: int, text: str) -> Callable[[Request], Answer]:
    """Return a model that calls or says anything, a stubborn one among four."""
    draw = random.Random(seed)
    stubborn = seed % 4 == 0

    def answer(request: Request) -> Answer:
        if request.body.get("tools") and (stubborn or draw.random() < 0.5):
            return Answer(tool_calls=[calls(draw, text)])
        return Answer(draw.choice(SAYINGS))

    return answer


@pytest.mark.parametrize("seed", range(14))
def test_the_verdict_is_the_checkers_whatever_the_model_does(ask: Ask, scripted: ScriptedServer, seed: int) -> None:
    for number, text in enumerate(TEXTS):
        scripted.answer(model(seed * 31 + number, text))
        result = ask(text, max_rounds=2, assist=seed % 2 == 0).result
        assert result["verdict"] == check_argument(text).verdict, (text, result)
        if decide(text).open_question:
            continue
        stance = read_stance(result["answer"], claim=decide(text).claim).stance
        assert stance not in WRONG[result["verdict"]], result["answer"]


def test_assistance_reads_what_the_grammar_refuses_and_says_so(ask: Ask, scripted: ScriptedServer) -> None:
    readings = [
        Answer(json.dumps({"quantifier": "no", "subject": subject, "predicate": "glorp"}))
        for subject in ("womble", "cat")
    ]
    scripted.answer(Answer("It does not follow."), *readings)
    result = ask(HARD, assist=True).result
    assert (result["verdict"], result["decided_by"], result["corrected"]) == ("entailed", "assisted", True)
    assert len(result["read_by_model"]) == 2
    assert scripted.bodies[-1]["response_format"]["type"] == "json_schema"
    scripted.answer(Answer("It follows."))
    assert ask(HARD).result["verdict"] == "refused"


@pytest.mark.parametrize(
    "conclusion",
    [
        {"quantifier": "some", "subject": "roses", "predicate": "flowers"},
        {"quantifier": "all", "subject": "roses", "predicate": "fade quickly"},
        {"quantifier": "some", "subject": "roses", "predicate": "fade quickly", "predicate_negated": True},
        {"quantifier": "some", "subject": "flowers", "predicate": "roses"},
    ],
)
def test_a_statement_the_user_did_not_make_is_no_statement(conclusion: dict[str, Any]) -> None:
    premises = [{"quantifier": "all", "subject": "roses", "predicate": "flowers"}]
    told = call_tool("check_statements", {"premises": premises, "conclusion": conclusion}, text=ROSES)
    assert "no sentence of the user's says" in told["error"]


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("No rabbit is a lizard. So no rabbit barks.", {"quantifier": "all", "subject": "rabbits",
                                                        "predicate": "lizards",
                                               "predicate_negated": True}),
        ("No cat is a dog. So no cat barks.", {"quantifier": "no", "subject": "dog", "predicate": "cat"}),
        ("Rex is a dog. So Rex barks.", {"quantifier": "some", "subject": "Rex", "predicate": "dog"}),
        ("Never does a cat glorp. So no cat barks.", {"quantifier": "no", "subject": "cat", "predicate": "glorp"}),
    ],
)  # fmt: skip
def test_the_same_claim_in_another_form_is_the_users(text: str, statement: dict[str, Any]) -> None:
    told = call_tool("check_statements", {"premises": [statement], "conclusion": statement}, text=text)
    assert told["verdict"] == "entailed"
