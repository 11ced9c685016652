"""The checker as tools: quoting, completeness, errors as data, the form that cannot misquote."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b.acceptance import ROSES
from llama70b.reasoning import TOOLS, call_tool, constrained, for_model

PREMISES = ["all roses are flowers", "some flowers fade quickly"]
CONCLUSION = "some roses fade quickly"


def test_the_schemas_are_schemas() -> None:
    for tool in TOOLS:
        jsonschema.Draft202012Validator.check_schema(tool.parameters)
        assert tool.as_openai()["function"]["name"] == tool.name


def test_the_users_own_words_are_decided() -> None:
    told = call_tool("check_argument", {"premises": PREMISES, "conclusion": CONCLUSION}, text=ROSES)
    assert told["verdict"] == "undetermined"
    assert told["countermodel"]
    assert json.loads(for_model(told))["explanation"]


@pytest.mark.parametrize(
    "arguments",
    [
        {
            "premises": ["All roses are flowers.", " Some  flowers fade quickly"],
            "conclusion": "SOME roses fade quickly?",
        },
        {"premises": PREMISES[::-1], "conclusion": CONCLUSION},
    ],
)
def test_case_spaces_and_order_do_not_matter(arguments: dict[str, Any]) -> None:
    assert call_tool("check_argument", arguments, text=ROSES)["verdict"] == "undetermined"


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("check_argument", {"premises": ["all roses are red", PREMISES[1]], "conclusion": CONCLUSION}, "did not say"),
        ("check_argument", {"premises": ["all rose"], "conclusion": CONCLUSION}, "did not say"),
        ("check_argument", {"premises": PREMISES[:1], "conclusion": CONCLUSION}, "left out"),
        ("check_argument", {"premises": PREMISES}, "missing"),
        ("check_argument", {"conclusion": CONCLUSION}, "premises is missing"),
        ("check_argument", {"premises": "all roses are flowers", "conclusion": CONCLUSION}, "not a list"),
        ("check_argument", {"premises": [], "conclusion": CONCLUSION}, "premises is missing"),
        ("check_argument", {"premises": [7], "conclusion": CONCLUSION}, "not text"),
        ("check_argument", {"premises": PREMISES * 20, "conclusion": CONCLUSION}, "40 premises"),
        ("conclusions", {"premises": ["all roses are red"]}, "did not say"),
        ("check_statements", {"premises": ["x"], "conclusion": {}}, "not an object"),
        ("check_statements", {"premises": [{"quantifier": "most", "subject": "roses", "predicate": "flowers"}],
                              "conclusion": {}}, "unknown quantifier"),
        ("check_statements", {"premises": [{"quantifier": "all", "subject": "roses", "predicate": "tulips"}],
                              "conclusion": {}}, "did not say 'tulips'"),
        ("check_statements", {"premises": [{"quantifier": "all", "subject": "roses", "predicate": "roses"}],
                              "conclusion": {}}, "the same"),
        ("check_statements", {"premises": [{"quantifier": "all", "subject": "some roses", "predicate": "flowers"}],
                              "conclusion": {}}, "logical word"),
        ("rm_rf", {}, "no tool"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_as_data(name: str, arguments: dict[str, Any], error: str) -> None:
    told = call_tool(name, arguments, text=ROSES)
    assert error in told["error"]
    assert told["hint"]


def test_statements_are_decided() -> None:
    def statement(quantifier: str, subject: str, predicate: str) -> dict[str, str]:
        return {"quantifier": quantifier, "subject": subject, "predicate": predicate}

    told = call_tool(
        "check_statements",
        {
            "premises": [statement("all", "roses", "flowers"), statement("some", "flowers", "fade quickly")],
            "conclusion": statement("some", "roses", "fade quickly"),
        },
        text=ROSES,
    )
    assert told["verdict"] == "undetermined"
    assert told["formalised_by_model"]


def test_what_follows_is_listed() -> None:
    text = "All men are mortal. All Greeks are men. What follows?"
    told = call_tool("conclusions", {"premises": ["All men are mortal", "All Greeks are men"]}, text=text)
    assert "All Greeks are mortal." in told["follows"]


def test_one_question_leaves_no_room_for_a_misquotation() -> None:
    tool = constrained(ROSES)
    assert tool is not None
    assert tool.name == "check_argument"
    validator = jsonschema.Draft202012Validator(tool.parameters)
    assert validator.is_valid({"premises": PREMISES, "conclusion": CONCLUSION})
    assert not validator.is_valid({"premises": PREMISES[:1], "conclusion": CONCLUSION})
    assert not validator.is_valid({"premises": PREMISES, "conclusion": PREMISES[0]})


def test_every_allowed_call_is_accepted_and_decided_alike() -> None:
    tool = constrained(ROSES)
    assert tool is not None
    properties = tool.parameters["properties"]
    for premises in properties["premises"]["enum"]:
        for conclusion in properties["conclusion"]["enum"]:
            told = call_tool(tool.name, {"premises": premises, "conclusion": conclusion}, text=ROSES)
            assert told["verdict"] == "undetermined"


def test_an_open_question_is_constrained_to_its_premises() -> None:
    tool = constrained("All men are mortal. All Greeks are men. What follows?")
    assert tool is not None
    assert tool.name == "conclusions"


def test_a_text_that_cannot_be_read_may_still_be_quoted() -> None:
    tool = constrained("Most roses are flowers. All flowers fade quickly. Therefore, most roses fade quickly.")
    assert tool is not None
    assert len(tool.parameters["properties"]["premises"]["enum"]) == len(
        tool.parameters["properties"]["conclusion"]["enum"]
    )


@pytest.mark.parametrize("text", ["", "Hello!", "What time is it?"])
def test_no_argument_no_tool(text: str) -> None:
    assert constrained(text) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from([tool.name for tool in TOOLS]),
    st.dictionaries(st.sampled_from(["premises", "conclusion", "import"]), json_values, max_size=3),
)
def test_no_argument_raises(name: str, arguments: dict[str, Any]) -> None:
    told = call_tool(name, arguments, text=ROSES)
    assert "error" in told or "verdict" in told
    json.dumps(told)
