"""Model-assisted reading: a model is believed only where the sentence bears it out, whatever it answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama70b.client import AsyncClient, Client
from llama70b.endpoint import Endpoint
from llama70b.reasoning import AssistedResult, acheck_assisted, acompleter, check_assisted, completer
from llama70b.reasoning._ask import sentence_question
from llama70b.reasoning._guards import Doubt, Proposal, guarded
from llama70b.syllogism import Quantifier, Reason, check_argument
from tests.unit.scripted_server import KEY, MODEL, ScriptedServer


class Scripted:
    """A model that answers from a list, and remembers what it was asked."""

    def __init__(self, *answers: object) -> None:
        self.answers = [one if isinstance(one, str) else json.dumps(one) for one in answers]
        self.asked: list[tuple[Sequence[Mapping[str, str]], Mapping[str, Any]]] = []

    def __call__(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any]) -> str:
        self.asked.append((messages, schema))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]

    async def later(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any]) -> str:
        await asyncio.sleep(0)
        return self(messages, schema)


def reading(quantifier: str, subject: str, predicate: str) -> dict[str, str]:
    return {"quantifier": quantifier, "subject": subject, "predicate": predicate}


Check = Callable[..., AssistedResult]


@pytest.fixture(params=["sync", "async"])
def check(request: pytest.FixtureRequest) -> Check:
    def run(text: str, model: Scripted, **options: Any) -> AssistedResult:
        if request.param == "sync":
            return check_assisted(text, model, **options)
        return asyncio.run(acheck_assisted(text, model.later, **options))

    return run


HARD = "All cats are wombles. Never does a womble glorp loudly. So never does a cat glorp loudly."
"""Two of its sentences are refused: no inversion is in the grammar."""
GOOD = [reading("no", "womble", "glorp loudly"), reading("no", "cat", "glorp loudly")]


def test_the_fixture_is_refused_by_the_grammar() -> None:
    assert {span.reason for span in check_argument(HARD).refused} == {Reason.NEGATION}


def test_a_faithful_model_gets_the_argument_decided_and_is_named(check: Check) -> None:
    model = Scripted(*GOOD)
    result = check(HARD, model)
    assert result.verdict == "entailed"
    assert result.result.form == "Celarent"
    assert [one.words for one in result.readings] == [
        "No wombles are things that glorp loudly.",
        "No cats are things that glorp loudly.",
    ]
    assert sum("a model read this sentence as" in words for words in result.assumptions) == 2
    told = json.loads(json.dumps(result.to_dict()))
    assert told["verdict"] == "entailed"
    assert [one["source"] for one in told["assisted"]["readings"]] == [one.source for one in result.readings]
    assert [sentence["by_model"] for sentence in told["reading"]["sentences"]] == [False, True, True]
    assert result.calls == len(model.asked) == 2


def test_one_sentence_a_call_and_a_schema_of_its_own_words(check: Check) -> None:
    model = Scripted(*GOOD)
    check(HARD, model)
    messages, schema = model.asked[0]
    jsonschema.Draft202012Validator.check_schema(dict(schema))
    validator = jsonschema.Draft202012Validator(dict(schema))
    assert messages[-1] == {"role": "user", "content": "Never does a womble glorp loudly"}
    assert "cats" not in json.dumps(schema)
    assert validator.is_valid(GOOD[0])
    assert not validator.is_valid({**GOOD[0], "predicate": "sleep"})
    assert not validator.is_valid({**GOOD[0], "valid": True})


def test_what_the_grammar_reads_is_never_asked(check: Check) -> None:
    model = Scripted(reading("no", "cats", "pets"))
    result = check("All cats are pets. All pets are tame. So all cats are tame.", model)
    assert (result.verdict, result.calls, model.asked) == ("entailed", 0, [])


@pytest.mark.parametrize(
    "text",
    [
        "Most roses are flowers. All flowers glorp. So most roses glorp.",
        "All cats are pets unless they glorp. All pets are tame. So all cats are tame.",
        "Three cats glorp. All cats are pets. So some pets glorp.",
        "Cats usually glorp. All pets are cats. So pets usually glorp.",
        "All cats may glorp. All pets are cats. So all pets may glorp.",
    ],
)
def test_what_is_outside_the_calculus_is_never_asked(check: Check, text: str) -> None:
    model = Scripted(reading("all", "cats", "glorp"))
    result = check(text, model)
    assert (result.verdict, model.asked) == ("refused", [])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reading("all", "womble", "glorp loudly"), "the sentence says 'no'"),
        (reading("some", "womble", "glorp loudly"), "the sentence says 'no'"),
        (reading("no", "womble", "glorp"), "leaves out"),
        (reading("no", "womble", "womble"), "overlap"),
        (reading("no", "cat", "glorp loudly"), "does not say 'cat'"),
        (reading("no", "womble", "glorp loudly today"), "does not say"),
        (reading("no", "no womble", "glorp loudly"), "does not say"),
        (reading("unclear", "womble", "glorp loudly"), "no quantifier"),
        ({"quantifier": "no", "subject": "womble"}, "not an object"),
        ({**reading("no", "womble", "glorp loudly"), "valid": "yes"}, "not an object"),
        ({"quantifier": "all", "subject": ["womble"], "predicate": 7}, "not text"),
        ("I think that it is valid.", "not an object"),
        ("", "not an object"),
        ("{{{", "not an object"),
        (reading("all", "", ""), "empty"),
    ],
)
def test_a_model_that_says_something_else_is_refused(check: Check, answer: object, why: str) -> None:
    result = check(HARD, Scripted(answer, GOOD[1]))
    assert result.verdict == "refused"
    assert result.doubts[0][0] == "Never does a womble glorp loudly"
    assert why in result.doubts[0][1]
    assert result.result.reading is None


@pytest.mark.parametrize(
    ("sentence", "answer"),
    [
        ("All the cats there glorp.", reading("all", "cats", "glorp")),
        ("It is cats that glorp.", reading("all", "cats", "glorp")),
        ("Some cats can glorp.", reading("some", "cats", "glorp")),
        ("Every cat has fleas that glorp.", reading("all", "cat", "fleas that glorp")),
        ("Every cat does not glorp.", reading("no", "cat", "glorp")),
        ("Not all cats do not glorp.", reading("some_not", "cats", "glorp")),
        ("All cats and dogs glorp.", reading("all", "cats", "glorp")),
        ("All cats and dogs glorp.", reading("all", "cats and dogs", "glorp")),
        ("All kind cats glorp.", reading("all", "cats", "glorp")),
        ("All single cats glorp.", reading("all", "cats", "glorp")),
        ("Some people who glorp wibble.", reading("some", "glorp", "wibble")),
        ("Only cats glorp.", reading("all", "cats", "glorp")),
        ("Cats glorp dogs.", reading("all", "cats", "glorp dogs")),
        ("没有猫不会飞", {"quantifier": "no", "subject": "猫", "predicate": "会飞"}),
        ("大多数猫会飞", {"quantifier": "all", "subject": "猫", "predicate": "会飞"}),
        ("所有猫都不会飞", {"quantifier": "all", "subject": "猫", "predicate": "会飞"}),
    ],
)
def test_a_reading_that_drops_or_adds_a_meaning_word_fails_a_guard(sentence: str, answer: dict[str, str]) -> None:
    with pytest.raises(Doubt):
        guarded(sentence, Proposal(Quantifier(answer["quantifier"]), answer["subject"], answer["predicate"]))


@pytest.mark.parametrize(
    ("sentence", "answer", "words"),
    [
        ("Never does a cat glorp.", reading("no", "cat", "glorp"), "No cats are things that glorp."),
        ("Every cat has wibbling fleas.", reading("all", "cat", "has wibbling fleas"),
         "All cats are things that have wibbling fleas."),
        ("Not every cat glorps loudly.", reading("some_not", "cat", "glorps loudly"),
         "Some cats are not things that glorp loudly."),
        ("Some cats do not glorp.", reading("some_not", "cats", "glorp"), "Some cats are not things that glorp."),
        ("凡是猫都会飞", reading("all", "猫", "会飞"), "所有猫都是会飞的。"),
        ("并非所有猫都会飞", reading("some_not", "猫", "会飞"), "有些猫不是会飞的。"),
    ],
)  # fmt: skip
def test_a_faithful_reading_passes(sentence: str, answer: dict[str, str], words: str) -> None:
    proposal = Proposal(Quantifier(answer["quantifier"]), answer["subject"], answer["predicate"])
    assert str(guarded(sentence, proposal)) == words


def test_votes_are_counted_by_form(check: Check) -> None:
    wrong, right = reading("all", "womble", "glorp loudly"), GOOD[0]
    text = "All cats are wombles. Never does a womble glorp loudly. What follows?"
    model = Scripted(wrong, right, right)
    result = check(text, model, votes=3)
    assert result.verdict == "entailed"
    assert result.readings[0].votes == 2
    orders = [messages[1]["content"] for messages, _ in model.asked]
    assert len(set(orders)) == 3
    assert check(text, Scripted(right, wrong, "?"), votes=3).verdict == "refused"
    with pytest.raises(ValueError, match="votes"):
        check(text, model, votes=0)


def test_terms_of_the_same_words_may_be_joined_and_that_is_said(check: Check) -> None:
    text = "All wine drinkers are patient. All people who drink wine are tall. So some patient things are tall."
    assert check_argument(text).refused[0].reason is Reason.FOUR_TERMS
    model = Scripted({"same": "yes"})
    result = check(text, model)
    assert result.verdict == "entailed"
    assert result.aligned == (("wine drinkers", "people who drink wine"),)
    assert any("a model took" in words for words in result.assumptions)
    assert check(text, Scripted({"same": "no"})).verdict == "refused"
    assert check(text, Scripted("rubbish")).verdict == "refused"


@pytest.mark.parametrize(
    "text",
    [
        "All roses are flowers. Some flowers fade. So some tulips fade.",
        "All dogs that bark are loud. Rex barks. So Rex is loud.",
        "All red roses are pretty. All roses are flowers. So all flowers are pretty.",
    ],
)
def test_terms_of_other_words_are_never_joined(check: Check, text: str) -> None:
    assert check(text, Scripted({"same": "yes"})).verdict == check_argument(text).verdict


ANSWERS = st.one_of(
    st.builds(
        reading,
        st.sampled_from(["all", "no", "some", "some_not", "unclear", "most"]),
        st.sampled_from(["womble", "cat", "glorp", "glorp loudly", "no womble", "", "not wombles", "dogs"]),
        st.sampled_from(["womble", "cat", "glorp", "glorp loudly", "loudly", "never glorp", "not glorp", "dogs"]),
    ),
    st.text(max_size=30),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(ANSWERS, ANSWERS)
def test_whatever_is_answered_the_verdict_is_the_right_one_or_none(first: object, second: object) -> None:
    result = check_assisted(HARD, Scripted(first, second))
    assert result.verdict in ("entailed", "refused")
    if result.verdict == "entailed":  # "no A are B" is "no B are A", so the terms may change places
        assert [sorted(dict(answer).values()) for answer in (first, second)] == [  # type: ignore[call-overload]
            sorted(answer.values()) for answer in GOOD
        ]


def test_the_core_clients_are_asked_with_a_schema_and_greedily(scripted: ScriptedServer) -> None:
    for answer in (*GOOD, *GOOD):
        scripted.say(json.dumps(answer))
    endpoint = Endpoint(scripted.url, model=MODEL, api_key=KEY, max_retries=0)
    with Client(endpoint) as client:
        first = check_assisted(HARD, completer(client))

    async def ask() -> AssistedResult:
        async with AsyncClient(endpoint) as client:
            return await acheck_assisted(HARD, acompleter(client))

    second = asyncio.run(ask())
    assert first.verdict == second.verdict
    for body in scripted.bodies:
        assert body["response_format"]["type"] == "json_schema"
        assert body["temperature"] == 0


def test_a_long_sentence_gets_free_strings(check: Check) -> None:
    del check
    schema = sentence_question(" ".join(f"word{number}" for number in range(40))).json_schema
    assert "enum" not in schema["properties"]["subject"]
