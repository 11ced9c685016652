"""What passes and what fails, and how the report says it."""

import json

import pytest

from llama70b.acceptance import CHECKS, Measured, Outcome, Report, to_markdown
from llama70b.acceptance._checks import judge_chinese, judge_code, judge_hello, judge_logic
from llama70b.acceptance._results import printable

GOOD_CHINESE = "机器学习是人工智能的一个分支,它让计算机从数据中自动学习规律,并用学到的规律对新数据做出预测或决策。"


def test_the_four_tests_are_those_of_the_original() -> None:
    assert [(c.original.tokens, c.original.seconds) for c in CHECKS] == [(17, 2.0), (170, 7.6), (59, 2.2), (284, 13.0)]
    assert CHECKS[0].prompt == "Say hello"
    assert CHECKS[0].max_tokens == 5
    assert CHECKS[2].prompt == "用中文解释什么是机器学习，不超过100字。"
    assert "some roses fade quickly" in CHECKS[3].prompt


@pytest.mark.parametrize("answer", ["Hello! How can I", "Hi", "hey there", "你好！", "**Hello**"])
def test_a_greeting_passes_even_cut_off(answer: str) -> None:
    assert judge_hello(answer, "length")[0]


@pytest.mark.parametrize("answer", ["", "The capital of", "Othello", "this is"])
def test_no_greeting_fails(answer: str) -> None:
    assert not judge_hello(answer, "stop")[0]


@pytest.mark.parametrize(
    ("answer", "finish", "passes", "why"),
    [
        (GOOD_CHINESE, "stop", True, "characters"),
        ("機器學習是讓電腦從資料中學習規律的技術,屬於人工智慧。", "stop", True, "characters"),
        ("机器学习(Machine Learning)是AI的一个分支,让计算机从数据中学习规律并做出预测。", "stop", True, "characters"),
        (GOOD_CHINESE, "length", False, "not finished"),
        (GOOD_CHINESE * 3, "stop", False, "more than 100"),
        ("Machine learning is a branch of AI.", "stop", False, "not Chinese"),
        (
            "Sure! Here is the explanation you asked for in Chinese: 机器学习是从数据中学习的方法。",
            "stop",
            False,
            "not Chinese",
        ),
        ("機械学習はデータから学習する技術です。人工知能の一分野です。", "stop", False, "Japanese"),
        ("玫瑰是一种美丽的花,常常用来表达爱情和友谊。", "stop", False, "does not speak of"),
        ("", "stop", False, "not Chinese"),
        ("机" * 100, "stop", False, "does not speak of"),
        ("机器学习" * 25, "stop", True, "100 characters"),
        ("机器学习" * 25 + "。", "stop", False, "101 characters"),
        ("机器学习 \n" * 25, "stop", True, "100 characters"),
    ],
)
def test_chinese(answer: str, finish: str, passes: bool, why: str) -> None:
    passed, reason = judge_chinese(answer, finish)
    assert passed is passes, reason
    assert why in reason


@pytest.mark.parametrize(
    ("answer", "finish", "passes", "why"),
    [
        ("No, we cannot conclude that some roses fade quickly.", "stop", True, "does not follow"),
        ("No, we cannot conclude that some roses fade quickly.", "length", False, "not finished"),
        ("Yes, some roses fade quickly.", "stop", False, "which is wrong"),
        ("Therefore, no roses fade quickly.", "stop", False, "it is open"),
        ("Roses are beautiful.", "stop", False, "no clear verdict"),
        ("The fading flowers may or may not be roses.", "stop", False, "only a hint"),
        (
            "Yes, it follows. Wait, the middle is undistributed. No, it does not follow.",
            "stop",
            True,
            "otherwise before",
        ),
        ("不能得出这个结论。", "stop", True, "does not follow"),
    ],
)
def test_logic(answer: str, finish: str, passes: bool, why: str) -> None:
    passed, reason = judge_logic(answer, finish)
    assert passed is passes
    assert why in reason


def test_code_says_what_kept_it_from_the_network() -> None:
    code = "```python\ndef fib(n):\n    if n < 0: return None\n    return n if n < 2 else fib(n-1) + fib(n-2)\n```"
    passed, reason = judge_code(code, "stop")
    assert passed
    assert "network" in reason
    passed, reason = judge_code("I would rather not.", "length")
    assert not passed
    assert "cut off" in reason


def outcome(index: int, *, passed: bool, answer: str = "fine", measured: Measured | None = None) -> Outcome:
    return Outcome(CHECKS[index], passed, "because `it` *is* <so>\n# really", answer, "stop", measured)


MEASURED = Measured(prompt_tokens=40, completion_tokens=101, seconds=5.5, first_token_s=0.5)


def test_tokens_per_second_are_those_after_the_first() -> None:
    assert MEASURED.total_tokens == 141
    assert MEASURED.tokens_per_s == pytest.approx(20.0)
    assert Measured(40, 1, 1.0, 0.5).tokens_per_s is None
    assert Measured(None, None, 1.0, 0.5).tokens_per_s is None
    assert Measured(40, 5, 1.0, None).tokens_per_s is None


def test_one_failure_fails_the_report_and_is_shown() -> None:
    report = Report("m", "2026-01-01", 12.0, (outcome(0, passed=True), outcome(3, passed=False)))
    assert not report.passed
    text = to_markdown(report)
    assert "**FAIL**: 1 of 2" in text
    assert "| Logic | **FAIL** |" in text
    assert "Logic: FAIL" in text
    assert "12 s to wake" in text
    assert not Report("m", "d", 0.0, ()).passed


def test_the_original_figures_stand_beside() -> None:
    report = Report("m", "2026-01-01", 0.0, tuple(outcome(i, passed=True, measured=MEASURED) for i in range(4)))
    text = to_markdown(report)
    for check in CHECKS:
        assert f"| {check.original.tokens} | {check.original.seconds:g} |" in text
    assert "21-22 tok/s" in text
    assert "8B" not in text


def test_the_sibling_has_a_column_and_decides_nothing() -> None:
    report = Report("big", "d", 0.0, (outcome(0, passed=True, measured=MEASURED),))
    sibling = Report("small", "d", 0.0, (outcome(0, passed=False, measured=MEASURED),))
    text = to_markdown(report, sibling)
    assert report.passed
    assert "8B tok/s" in text
    assert "| **FAIL** | 5.50 | 20.0 | 17 | 2 |" in text


@pytest.mark.parametrize("answer", ["```\n# not a heading\n```", "`````", "\x1b[31mred\x1b[0m", "<script>x</script>"])
def test_nothing_an_answer_holds_leaves_its_quotation(answer: str) -> None:
    lines = to_markdown(Report("m", "d", 0.0, (outcome(0, passed=True, answer=answer),))).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("```") and line.endswith("text"))
    fence = lines[start].removesuffix("text")
    inside = lines[start + 1 : lines.index(fence, start + 1)]
    assert "\n".join(inside) == printable(answer)
    assert "\x1b" not in "\n".join(lines)
    assert any("because \\`it\\` \\*is\\* \\<so\\> \\# really" in line for line in lines)


def test_json_holds_all_and_no_answer_is_null() -> None:
    broken = Outcome(CHECKS[1], passed=False, reason="no answer: x", answer="", finish_reason=None, measured=None)
    shown = json.loads(
        json.dumps(Report("m", "d", 0.0, (outcome(0, passed=True, measured=MEASURED), broken)).as_dict())
    )
    assert shown["passed"] is False
    assert shown["checks"][0]["total_tokens"] == 141
    assert shown["checks"][1]["total_tokens"] is None
    assert shown["checks"][1]["original"] == {"tokens": 170, "seconds": 7.6}
