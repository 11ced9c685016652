"""The four tests of the original deployment: what is asked, and what counts as passed. Pure but for the sandbox."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from llama70b.acceptance import _fibonacci
from llama70b.acceptance._sandbox import run_functions
from llama70b.reasoning.stance import Claim, Stance, read_stance

ROSES = (
    "If all roses are flowers and some flowers fade quickly, can we conclude that some roses fade quickly? "
    "Explain your reasoning."
)
_ROSES_CLAIM = Claim.of("Some roses fade quickly.", "roses", "fade quickly", "some")
_MOST_CHARACTERS = 100
_FEWEST_HAN = 10
_HAN_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Original:
    """What the original report printed for a test, on two A100-80GB in BF16.

    Attributes:
        tokens: Tokens, as reported (the report does not say whether the prompt is among them).
        seconds: Seconds.
    """

    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Check:
    """One acceptance test.

    Attributes:
        name: Short name, used in `--only` and in the JSON report.
        title: Name for people.
        prompt: What is asked, as the only message.
        max_tokens: Most tokens of the answer.
        original: The original report's figures.
        judge: Takes answer and finish reason; returns pass or fail, and the reason.
    """

    name: str
    title: str
    prompt: str
    max_tokens: int
    original: Original
    judge: Callable[[str, str], tuple[bool, str]]


def judge_hello(answer: str, finish_reason: str) -> tuple[bool, str]:
    """Pass an answer that greets; it may be cut off by its five tokens."""
    del finish_reason
    if re.search(
        r"\b(?:hello|hi|hey|greetings|good (?:morning|day|evening|afternoon)|howdy)\b|你好", answer, re.IGNORECASE
    ):
        return True, "greets"
    return False, "no greeting in the answer" if answer.strip() else "the answer is empty"


def judge_code(answer: str, finish_reason: str) -> tuple[bool, str]:
    """Pass an answer whose code calculates Fibonacci numbers when it is run (in a sandbox)."""
    code = _fibonacci.extract_code(answer)
    cut = " (the answer was cut off by max_tokens)" if finish_reason == "length" else ""
    if code is None:
        return False, f"no Python code in the answer{cut}"
    run = run_functions(code)
    if run.isolation == "none":
        return False, run.failure
    passed, reason = _fibonacci.judge(run.records, run.failure)
    kept_out = "an empty network namespace" if run.isolation == "namespace" else "Python's audit hook only"
    return passed, f"{reason}{'' if passed else cut} [run without network: {kept_out}]"


def judge_chinese(answer: str, finish_reason: str) -> tuple[bool, str]:
    """Pass a finished explanation in Chinese of at most 100 characters.

    Counted is every character that is not white space, punctuation and Latin letters included: an answer within the
    limit by this count is within it by any other (Word's count of Chinese text takes a Latin word as one). Chinese
    means at least ten Han characters, 70 % of all words (a Latin word counts as one), and no kana or Hangul. It must
    speak of machine learning: one of a few words that no explanation of it does without.
    """
    text = "".join(answer.split())
    han = sum(_is_han(char) for char in text)
    words = han + len(re.findall(r"[^\W\d_\u3400-\u9fff]+", answer))
    if any("\u3040" <= char <= "\u30ff" or "\uac00" <= char <= "\ud7af" for char in text):
        return False, "the answer holds Japanese or Korean letters"
    if han < _FEWEST_HAN or han < _HAN_SHARE * words:
        return False, f"the answer is not Chinese: {han} Han characters in {words} words"
    if not re.search(r"机器|機器|算法|演算法|数据|數據|資料|模型|计算机|電腦|电脑|计算機|人工智能|人工智慧", text):
        return False, "the answer does not speak of machine learning"
    if len(text) > _MOST_CHARACTERS:
        return False, f"{len(text)} characters, more than {_MOST_CHARACTERS} ({han} of them Han)"
    if finish_reason != "stop":
        return False, f"not finished: {finish_reason}"
    return True, f"{len(text)} characters ({han} of them Han), finished"


def judge_logic(answer: str, finish_reason: str) -> tuple[bool, str]:
    """Pass an answer whose last explicit verdict is that the conclusion does not follow."""
    reading = read_stance(answer, claim=_ROSES_CLAIM)
    if finish_reason == "length":
        said = "none" if reading.stance is Stance.UNCLEAR else reading.stance.value.replace("_", " ")
        return False, f"not finished: cut off by max_tokens (verdict so far: {said})"
    if reading.weak:
        return False, f"no explicit verdict, only a hint that it does not follow: \u201c{reading.quote}\u201d"
    quote = f": \u201c{reading.quote}\u201d" if reading.quote else ""
    note = "; it had said otherwise before" if reading.changed else ""
    match reading.stance:
        case Stance.DOES_NOT_FOLLOW:
            return True, f"says that it does not follow{quote}{note}"
        case Stance.FOLLOWS:
            return False, f"says that it follows, which is wrong{quote}{note}"
        case Stance.CONTRADICTED:
            return False, f"says that it is false, but it is open{quote}{note}"
        case Stance.UNCLEAR:
            return False, "no clear verdict in the answer"


def _is_han(char: str) -> bool:
    return "\u4e00" <= char <= "\u9fff" or "\u3400" <= char <= "\u4dbf"


CHECKS: tuple[Check, ...] = (
    Check("hello", "Simple question", "Say hello", 5, Original(17, 2.0), judge_hello),
    Check(
        "code",
        "Code generation",
        "Write a Python function to calculate fibonacci numbers.",
        768,
        Original(170, 7.6),
        judge_code,
    ),
    Check(
        "chinese",
        "Chinese",
        "用中文解释什么是机器学习，不超过100字。",
        256,
        Original(59, 2.2),
        judge_chinese,
    ),
    Check("logic", "Logic", ROSES, 1024, Original(284, 13.0), judge_logic),
)
"""The four tests. The original report does not print its Fibonacci prompt; this wording is ours."""
