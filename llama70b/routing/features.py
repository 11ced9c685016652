"""Cheap features of a prompt: what can be seen without a model, in well under two milliseconds.

Only the user's turn is scored. A system prompt or retrieved text would dominate length and keywords, and prompt text is
untrusted: a request that says "this is complex" proves nothing (notes/routing_usage 4, 8). Text is read up to
`MOST_CHARS`; what is longer says no more about difficulty.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MOST_CHARS: Final = 8000

# The seventeen of notes/routing_usage 2, in the order of the model file.
TEXT_FEATURES: Final = (
    "log_chars",
    "words",
    "sentences",
    "digit_share",
    "numbers",
    "reasoning_cues",
    "code_cues",
    "simple_opening",
    "question_marks",
    "newlines",
    "multiple_choice",
    "non_ascii_share",
    "mean_word_length",
    "type_token_ratio",
    "math_share",
    "commas",
    "capitalised_share",
)
# Seen in production, not in the public sets the first seventeen were chosen on.
FACT_FEATURES: Final = ("turns", "log_context_tokens", "tools", "structured", "log_max_tokens")
FEATURES: Final = TEXT_FEATURES + FACT_FEATURES

_WORD: Final = re.compile(r"[^\W\d_]+|[\u4e00-\u9fff]")
_CAPITALISED: Final = re.compile(r"\b[A-Z]")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_SENTENCE: Final = re.compile(r"[.!?]+(?:\s|$)|[\u3002\uff01\uff1f]")
# Words are looked up in a count of all words, which is far cheaper than searching for each pattern.
_REASONING: Final = frozenset(
    """prove proof derive why explain because therefore step steps reason reasoning compare contrast analyse analyze
    evaluate design optimise optimize tradeoff tradeoffs implication implications justify deduce infer suppose assume if
    unless only all none some""".split()
)
_REASONING_ZH: Final = ("证明", "推导", "为什么", "解释", "分析", "比较", "推理", "所有", "如果")
_CODE: Final = frozenset(
    """def class function import return const let var select async await struct void regex sql python javascript
    typescript java rust bash stacktrace exception compile compiler compiled api json algorithm""".split()
)
_CODE_MARKS: Final = ("```", "();", "=>", "==", "{\n", "};", "代码", "函数", "算法")
_SIMPLE: Final = re.compile(
    r"\s*(?:(?:hi|hello|hey|thanks|thank you|what is|what's|who is|who was|when|where|define|list|name|translate|spell|"
    r"summari[sz]e)\b|你好|谢谢|什么是|谁是|翻译)",
    re.IGNORECASE,
)
_CHOICE: Final = re.compile(r"(?:^|\n)\s*\(?[A-D][).:]\s")
_MATH: Final = "+-*/=<>^%×÷±√∑∫≤≥≠≈π∞\\$|"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a request beside the user's words.

    Attributes:
        turns: Messages of the conversation so far, this one included.
        context_tokens: Tokens of the whole prompt, counted or estimated.
        tools: How many tools are offered.
        structured: Whether a schema, a choice, a pattern or a grammar is asked for.
        images: How many images there are.
        max_tokens: Longest answer asked for; None for no limit.
    """

    turns: int = 1
    context_tokens: int = 0
    tools: int = 0
    structured: bool = False
    images: int = 0
    max_tokens: int | None = None


def text_features(text: str) -> tuple[float, ...]:
    """Return the seventeen features of a user's turn, in the order of `TEXT_FEATURES`."""
    text = text[:MOST_CHARS]
    length = max(1, len(text))
    words = Counter(_WORD.findall(text.lower()))
    total = words.total()
    count = max(1, total)
    return (
        math.log1p(len(text)),
        float(total),
        float(max(1, len(_SENTENCE.findall(text)))),
        sum(map(text.count, "0123456789")) / length,
        float(len(_NUMBER.findall(text))),
        float(_known(words, _REASONING) + sum(map(text.count, _REASONING_ZH))),
        float(_known(words, _CODE) + sum(map(text.count, _CODE_MARKS))),
        float(_SIMPLE.match(text) is not None),
        float(text.count("?") + text.count("？")),
        float(text.count("\n")),
        float(len(_CHOICE.findall(text)) >= 2),  # noqa: PLR2004 - one option is no choice
        (len(text) - len(text.encode("ascii", "ignore"))) / length,
        sum(len(word) * times for word, times in words.items()) / count,
        len(words) / count,
        sum(map(text.count, _MATH)) / length,
        float(text.count(",") + text.count("，")),
        len(_CAPITALISED.findall(text)) / count,
    )


def _known(words: Counter[str], cues: frozenset[str]) -> int:
    return sum(words[word] for word in words.keys() & cues)


def fact_features(facts: Facts) -> tuple[float, ...]:
    """Return the features that are not of the text, in the order of `FACT_FEATURES`."""
    return (
        float(facts.turns),
        math.log1p(facts.context_tokens),
        float(facts.tools),
        float(facts.structured),
        math.log1p(facts.max_tokens or 0),
    )


def features(text: str, facts: Facts | None = None) -> tuple[float, ...]:
    """Return all features, in the order of `FEATURES`."""
    return text_features(text) + fact_features(facts or Facts())


def has_evidence(text: str) -> bool:
    """Return whether there is anything to score: silence is not the same as simple."""
    return _WORD.search(text[:MOST_CHARS]) is not None or _NUMBER.search(text[:MOST_CHARS]) is not None


def named(values: Sequence[float]) -> dict[str, float]:
    """Return features by name."""
    return dict(zip(FEATURES, values, strict=True))
