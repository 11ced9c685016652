"""The verdict lock: whatever the model says, the answer's verdict is the checker's."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama70b.acceptance import ROSES
from llama70b.reasoning import Stance, call_tool, decide, lock, read_stance
from llama70b.syllogism import check_argument

CASES = {
    "entailed": "All men are mortal. All Greeks are men. Therefore, all Greeks are mortal.",
    "undetermined": ROSES,
    "contradicted": "No birds are fish. All robins are birds. Therefore, some robins are fish.",
    "inconsistent_premises": "All cats are dogs. No cats are dogs. All dogs are birds. Therefore, all cats are birds.",
    "refused": "Most roses are flowers. All flowers fade quickly. Therefore, most roses fade quickly.",
}
SAYINGS = ["Yes, it follows.", "No, it does not follow.", "The conclusion must be false.", "", "Roses!", "Answer: 42"]
ALLOWED = {
    "entailed": {Stance.FOLLOWS, Stance.UNCLEAR},
    "undetermined": {Stance.DOES_NOT_FOLLOW},
    "contradicted": {Stance.CONTRADICTED, Stance.DOES_NOT_FOLLOW},
    "inconsistent_premises": {Stance.CONTRADICTED, Stance.DOES_NOT_FOLLOW, Stance.UNCLEAR},
    "refused": {Stance.UNCLEAR},
}


def tool_result(text: str) -> dict[str, object]:
    reading = check_argument(text).reading
    if reading is None:
        return {"error": "x", "hint": ""}
    sentences = [sentence.source for sentence in reading.sentences]
    return call_tool("check_argument", {"premises": sentences[:-1], "conclusion": sentences[-1]}, text=text)


@pytest.mark.parametrize("saying", SAYINGS)
@pytest.mark.parametrize("verdict", CASES)
def test_the_verdict_is_the_checkers(verdict: str, saying: str) -> None:
    text = CASES[verdict]
    answer = lock(text, saying, [tool_result(text)])
    assert answer.verdict == verdict
    stance = read_stance(answer.answer, claim=decide(text).claim).stance
    assert stance in ALLOWED[verdict], answer.answer
    assert answer.model_answer == saying
    json.dumps(answer.to_dict())


@settings(deadline=None)
@given(st.sampled_from(sorted(CASES)), st.lists(st.sampled_from(SAYINGS), max_size=4), st.text(max_size=60))
def test_the_verdict_is_the_checkers_whatever_is_said(verdict: str, sayings: list[str], noise: str) -> None:
    text = CASES[verdict]
    answer = lock(text, " ".join([*sayings, noise]))
    assert answer.verdict == verdict
    assert (
        read_stance(answer.answer, claim=decide(text).claim).stance in ALLOWED[verdict] or answer.agreement == "silent"
    )


def test_words_that_agree_are_kept_under_the_verdict() -> None:
    answer = lock(ROSES, "No, it does not follow: the fading flowers may be tulips.", [tool_result(ROSES)])
    assert answer.agreement == "agrees"
    assert not answer.corrected
    assert "tulips" in answer.answer


def test_words_that_disagree_are_replaced_and_flagged() -> None:
    answer = lock(ROSES, "Yes, we can conclude that some roses fade quickly.", [tool_result(ROSES)])
    assert answer.agreement == "disagrees"
    assert answer.corrected
    assert "we can conclude that" not in answer.answer
    assert answer.explanation in answer.answer


def test_words_without_a_verdict_are_replaced_but_not_called_wrong() -> None:
    answer = lock(ROSES, "Roses are beautiful.", [tool_result(ROSES)])
    assert answer.agreement == "silent"
    assert not answer.corrected
    assert "beautiful" not in answer.answer


def test_a_tool_call_about_another_argument_does_not_decide() -> None:
    other = {"verdict": "entailed", "explanation": "Barbara"}
    answer = lock(ROSES, "Yes, it follows.", [other])
    assert answer.verdict == "undetermined"
    assert answer.decided_by == "text"
    assert answer.corrected


def test_a_tool_call_decides_what_the_grammar_could_not_read() -> None:
    text = "Whales = mammals. Some mammals swim. Therefore some whales swim."
    assert check_argument(text).verdict == "refused"
    formal = {"verdict": "undetermined", "explanation": "Open.", "reading": ["a", "b"], "assumptions": ["by the model"]}
    answer = lock(text, "", [formal])
    assert answer.verdict == "undetermined"
    assert answer.decided_by == "tool"
    assert answer.assumptions == ("by the model",)


def test_what_is_outside_the_calculus_stays_undecided_whatever_a_tool_says() -> None:
    answer = lock(CASES["refused"], "Yes, it follows.", [{"verdict": "entailed", "explanation": "x"}])
    assert answer.verdict == "refused"
    assert answer.corrected
    assert answer.refused


def test_errors_of_tools_decide_nothing() -> None:
    assert lock(ROSES, "", [{"error": "x", "hint": "y"}]).verdict == "undetermined"


def test_small_talk_is_left_alone() -> None:
    assert lock("Thank you!", "You are welcome.").answer == "You are welcome."


def test_the_convention_of_import_is_kept() -> None:
    text = "All unicorns are white. All unicorns are horses. Therefore, some horses are white."
    assert lock(text, "").verdict == "entailed"
    answer = lock(text, "", import_="none")
    assert answer.verdict == "undetermined"
    assert answer.other_verdict == "entailed"
