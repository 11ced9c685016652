"""From text to explained verdict."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from llama70b.syllogism import Statement, check_argument

if TYPE_CHECKING:
    from collections.abc import Callable

Items = list[dict[str, Any]]
QUESTION = (
    "If all roses are flowers and some flowers fade quickly, can we conclude that some roses fade quickly? "
    "Explain your reasoning."
)


def test_natural_arguments_are_read_and_decided_as_listed(items: Callable[[str], Items]) -> None:
    listed = items("arguments.json")
    wrong = []
    for item in listed:
        result = check_argument(item["text"])
        if result.reading is None:
            wrong.append((item["text"], result.explanation))
            continue
        conclusion = str(result.reading.conclusion) if result.reading.conclusion else None
        found = {
            "text": item["text"],
            "verdict": result.verdict,
            "form": result.form,
            "premises": [str(premise) for premise in result.reading.premises],
            "conclusion": conclusion,
        }
        if found != item:
            wrong.append((item, found))
    assert wrong == []
    assert len(listed) >= 200


def test_arguments_with_something_out_of_the_fragment_are_refused(items: Callable[[str], Items]) -> None:
    listed = items("refused_arguments.json")
    wrong = [
        (item["text"], result.verdict, [span.reason.value for span in result.refused])
        for item in listed
        for result in (check_argument(item["text"]),)
        if result.verdict != "refused" or result.refused[0].reason.value != item["reason"]
    ]
    assert wrong == []
    assert len(listed) >= 90


def test_labelled_arguments_are_never_decided_wrongly_and_seldom_refused(
    rows: Callable[[str], list[dict[str, str]]],
) -> None:
    listed = rows("labelled_arguments_en.tsv")  # labelled by hand before the reader saw them
    found = [(row["text"], row["verdict"], check_argument(row["text"]).verdict) for row in listed]
    assert [item for item in found if item[2] not in (item[1], "refused")] == []
    read = sum(verdict != "refused" for _, _, verdict in found)
    assert len(listed) >= 390
    assert read / len(listed) >= 0.93


def test_the_last_of_several_hedged_conclusions_is_the_conclusion() -> None:
    text = "We can say that all cats are pets. It must be the case that all pets are tame. {} all cats are tame."
    assert check_argument(text.format("Therefore,")).verdict == "entailed"
    first = check_argument("We can say that all cats are tame. All cats are pets. All pets are tame.")
    assert first.verdict == "refused"
    assert first.refused[0].reason.value == "ambiguous"
    both = check_argument("Therefore, all cats are pets. Hence, all pets are tame. So all cats are tame.")
    assert both.refused[0].reason.value == "several_conclusions"


def test_an_answer_after_an_open_question_is_the_conclusion() -> None:
    result = check_argument("All cats are pets. All pets are tame. What follows? All cats are tame.")
    assert (result.verdict, result.form) == ("entailed", "Barbara")
    several = check_argument("All cats are pets. What follows? All pets are tame. All cats are tame.")
    assert several.verdict == "refused"


def test_these_must_be_the_same_ones_throughout() -> None:
    same = check_argument("Some of these fruits are apples. No apples are blue. So some of these fruits are not blue.")
    assert same.verdict == "entailed"
    assert "“these fruits” are taken as the same ones throughout" in same.assumptions
    for text in (
        "Some of these fruits are apples. No apples are blue. So some fruits are not blue.",
        "Some of these fruits are apples. No apples are blue. So some of those fruits are not blue.",
        "All apples are fruits. Some of these fruits are red. So some apples are red.",
    ):
        refused = check_argument(text)
        assert refused.verdict == "refused"
        assert refused.refused[0].reason.value == "pronoun"


def test_a_description_with_a_name_is_the_named_class_as_an_assumption() -> None:
    result = check_argument(
        "Some aquatic creatures, which are known as whales, are blue. No whales are fish. "
        "So some blue things are not fish."
    )
    assert result.verdict == "entailed"
    assert any("taken as naming the class “whales”" in words for words in result.assumptions)


def test_the_roses_are_undetermined_and_the_explanation_names_the_two_flowers() -> None:
    result = check_argument(QUESTION)
    assert result.verdict == "undetermined"
    assert result.form == "IAI-1"
    assert "a rose that is a flower and does not fade quickly" in result.explanation
    assert "a flower that fades quickly and is not a rose" in result.explanation
    assert result.needed_premises == ()
    assert result.refused == ()


def test_the_roses_in_chinese() -> None:
    result = check_argument("如果所有玫瑰都是花，有些花很快凋谢，能否得出有些玫瑰很快凋谢？请解释你的推理。")
    assert result.verdict == "undetermined"
    assert result.language == "zh"
    assert result.explanation.startswith("不能推出：有些玫瑰是很快凋谢的。")
    assert "一个个体（是玫瑰，是花，不是很快凋谢的）" in result.explanation


def test_the_json_object_of_the_command() -> None:
    loaded = json.loads(json.dumps(check_argument(QUESTION).to_dict()))
    assert loaded["verdict"] == "undetermined"
    assert {"reading", "countermodel", "form", "needed_premises", "assumptions", "refused"} <= set(loaded)
    assert loaded["refused"] == []
    assert loaded["reading"]["conclusion"] == "Some roses are things that fade quickly."
    assert loaded["countermodel"]["individuals"][0] == {
        "name": "a",
        "has": ["roses", "flowers"],
        "lacks": ["fade quickly"],
    }
    refused = json.loads(json.dumps(check_argument("Most dogs bark. So all dogs bark.").to_dict()))
    assert refused["verdict"] == "refused"
    assert refused["reading"] is None
    assert refused["refused"][0]["span"] == [0, 14]
    assert refused["refused"][0]["reason"] == "quantity"


def test_ambiguous_negation_is_decided_both_ways_or_refused() -> None:
    same = check_argument("All roses are not cats. Rex is a cat. All cats are pets. So some pets are cats.")
    assert same.verdict == "entailed"
    assert any("both were decided" in assumption for assumption in same.assumptions)
    differing = check_argument("All roses are not cats. Some pets are cats. So some pets are not roses.")
    assert differing.verdict == "refused"
    assert differing.refused[0].reason.value == "ambiguous"
    assert differing.refused[0].text == "All roses are not cats"


def test_what_follows() -> None:
    result = check_argument("All poets are dreamers. No dreamers are bankers. What follows?")
    assert result.verdict == "entailed"
    assert [str(statement) for statement in result.follows] == [
        "No poets are bankers.",
        "No bankers are poets.",
        "Some poets are not bankers.",
        "Some bankers are not poets.",
    ]
    nothing = check_argument("All roses are flowers. Some flowers are red. What follows?")
    assert nothing.verdict == "undetermined"
    assert nothing.follows == ()
    clash = check_argument("All roses are flowers. Some roses are not flowers. What follows?")
    assert clash.verdict == "inconsistent_premises"
    either = check_argument("All roses are not flowers. All flowers are red. What follows?")
    assert either.verdict == "refused"


def test_both_conventions_are_reported_where_they_differ() -> None:
    text = "All dogs are mammals. All dogs are pets. So some pets are mammals."
    traditional = check_argument(text)
    assert (traditional.verdict, traditional.form) == ("entailed", "Darapti")
    assert "otherwise the verdict is “undetermined”" in traditional.explanation
    modern = check_argument(text, import_="none")
    assert modern.verdict == "undetermined"
    assert modern.result is not None
    assert modern.result.other_verdict == "entailed"


def test_premises_and_conclusion_apart() -> None:
    result = check_argument(["All men are mortal.", "Socrates is a man."], "Socrates is mortal.")
    assert (result.verdict, result.form) == ("entailed", "Barbara")
    assert check_argument(["All men are mortal."]).reading is not None
    assert result.reading is not None
    statements: list[Statement | str] = list(result.reading.premises)
    assert check_argument(statements, result.reading.conclusion).verdict == "entailed"


def test_a_fourth_term_is_refused_not_called_invalid() -> None:
    result = check_argument("All roses are flowers. Some flowers fade. So some tulips fade.")
    assert result.verdict == "refused"
    assert result.refused[0].reason.value == "four_terms"


def test_needed_premises_are_named() -> None:
    result = check_argument("All cats are pets. All cats are mammals. All mammals breathe. So all cats breathe.")
    assert result.needed_premises == (1, 2)
    assert "Only premises 2, 3 are needed." in result.explanation


@pytest.mark.parametrize("text", ["", "   ", "?", "Explain your reasoning.", "Hello there!", "。", "\n\n1.\n"])
def test_nothing_to_decide_is_refused(text: str) -> None:
    assert check_argument(text).verdict == "refused"


def test_the_subpackage_imports_itself_and_the_standard_library_only() -> None:
    code = (
        "import sys, llama70b; before = set(sys.modules); import llama70b.syllogism; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.split(".")[0] not in sys.stdlib_module_names}
    assert loaded
    assert {name for name in loaded if not name.startswith("llama70b.syllogism")} == set()
